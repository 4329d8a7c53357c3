//! Reading a policy file: once, from one open handle, and only if it is safe to trust.

use std::{
    fs::{File, FileType, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::{document::Mark, fault::Fault};

/// The most bytes that a policy file may have.
pub const MAX_BYTES: u64 = 64 << 20;

/// Reads the whole file at `path`. A symlink is followed, and its target is judged.
///
/// # Errors
/// What isn't a regular file, what every user may write to, over [`MAX_BYTES`], not UTF-8, or not readable.
/// The mark is there where a byte of the file is at fault.
pub(super) fn read(path: &Path) -> Result<String, (Option<Mark>, Fault)> {
    let file = open(path).map_err(|fault| (None, fault))?;
    let mut bytes = Vec::new();
    // The size may lie, or grow while it is read: what counts is what comes.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| (None, unreadable(&error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err((None, Fault::TooLarge { limit: MAX_BYTES }));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let mark = Mark::end_of(&String::from_utf8_lossy(valid));
        (Some(mark), Fault::NotUtf8)
    })
}

/// The checks are made on the open handle, so that nothing can be swapped in between.
fn open(path: &Path) -> Result<File, Fault> {
    // Opening must neither wait for a FIFO's writer nor adopt a terminal.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        // A socket can't be opened at all, and the kernel's "no such device" doesn't say why.
        Err(_) if path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) => {
            return Err(Fault::NotAFile { kind: "socket" });
        }
        Err(error) => return Err(unreadable(&error)),
    };
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    trust(path, &metadata)?;
    Ok(file)
}

fn trust(path: &Path, metadata: &Metadata) -> Result<(), Fault> {
    if !metadata.is_file() {
        return Err(Fault::NotAFile { kind: kind(metadata.file_type()) });
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(Fault::WorldWritable { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

fn kind(found: FileType) -> &'static str {
    if found.is_dir() {
        "directory"
    } else if found.is_fifo() {
        "FIFO"
    } else if found.is_char_device() {
        "character device"
    } else if found.is_block_device() {
        "block device"
    } else {
        "special file"
    }
}

fn unreadable(error: &io::Error) -> Fault {
    Fault::Unreadable { error: error.to_string() }
}
