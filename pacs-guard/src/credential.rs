//! Files of credentials: certificates, keys and tokens, each read within a bound.

use std::{
    fmt::Display,
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// The most bytes of a file: a system's whole bundle of authorities fits.
const MOST: u64 = 1 << 20;
/// What nobody else may do with a secret; its group may read it.
const OTHERS: u32 = 0o027;

/// A file that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct Unusable {
    /// The file.
    pub file: PathBuf,
    /// Why, and what mends it.
    pub why: String,
}

impl Unusable {
    pub(crate) fn new(file: &Path, why: impl Display) -> Self {
        Self { file: file.to_owned(), why: why.to_string() }
    }
}

/// What a file holds.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Unusable> {
    contents(file, &open(file)?)
}

/// What a file holds that others can't read, and its group can't change.
pub(crate) fn read_secret(file: &Path) -> Result<Vec<u8>, Unusable> {
    let opened = open(file)?;
    let mode = opened.metadata().map_err(|why| Unusable::new(file, why))?.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        let why = format!("mode {mode:04o} lets others read or change it: `chmod 640 {}`", file.display());
        return Err(Unusable::new(file, why));
    }
    contents(file, &opened)
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err(Unusable::new(file, "it holds no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(why) => Err(Unusable::new(file, why)),
    }
}

/// The first private key in what a PEM file holds.
pub(crate) fn key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Unusable> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|why| Unusable::new(file, why))
}

fn open(file: &Path) -> Result<File, Unusable> {
    // A FIFO would never begin to be open, and a device never end.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file);
    let opened = opened.map_err(|why| Unusable::new(file, why))?;
    match opened.metadata() {
        Ok(found) if found.is_file() => Ok(opened),
        Ok(_) => Err(Unusable::new(file, "it is no regular file")),
        Err(why) => Err(Unusable::new(file, why)),
    }
}

fn contents(file: &Path, opened: &File) -> Result<Vec<u8>, Unusable> {
    let mut bytes = Vec::new();
    opened.take(MOST).read_to_end(&mut bytes).map_err(|why| Unusable::new(file, why))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "secret").unwrap();
        for mode in [0o400, 0o440, 0o600, 0o640] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret(&file).unwrap(), b"secret", "{mode:o}");
        }
        for mode in [0o644, 0o604, 0o602, 0o601, 0o660, 0o777] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let why = read_secret(&file).unwrap_err().to_string();
            let named = format!("{}: mode {mode:04o} lets", file.display());
            assert!(why.starts_with(&named) && why.contains("`chmod 640 /"), "{why}");
        }
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (file, part) in [(fifo.as_path(), "no regular file"), (folder.path(), "no regular file")] {
            assert!(read(file).unwrap_err().why.contains(part), "{}", file.display());
        }
        let missing = read(&folder.path().join("missing")).unwrap_err().to_string();
        assert!(missing.contains("/missing: No such file"), "{missing}");
    }
}
