//! Reading a policy's files: each once, from one open handle, and only if it is safe to trust.

use std::{
    ffi::OsStr,
    fs::{File, FileType, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{Mode, fstat},
};

use super::{fault::Fault, mark::Mark, model::Place};

/// The most bytes that a policy may have, all its files together.
pub const MAX_BYTES: u64 = 64 << 20;
/// The most files of a policy.
const MAX_FILES: usize = 1024;
/// The folder beside a policy file whose files are parts of the same policy.
const PARTS: &str = "policies.d";

/// One file of a policy, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyText {
    /// The file: as the user named it, or under the folder as the user named that.
    pub path: Arc<PathBuf>,
    /// Its text, without a byte order mark.
    pub text: Arc<str>,
}

impl PolicyText {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        // Arc::from copies; the caller's text is gone before the costly part begins.
        let text = Arc::from(text.strip_prefix('\u{feff}').unwrap_or(text));
        Self { path: Arc::new(path.to_owned()), text }
    }
}

/// What was read of a policy, and what was not.
#[derive(Default)]
pub(super) struct Sources {
    /// The files in the order in which they count.
    pub(super) texts: Vec<PolicyText>,
    /// Why a file or folder was not read.
    pub(super) faults: Vec<(Place, Fault)>,
}

/// Reads the file at `path`, or each `*.yaml` of the folder at `path`; then each `*.yaml` of `policies.d` beside that
/// file or in that folder. Folders are read in the order of the bytes of their names. What is no `*.yaml`, or
/// begins with a dot, is left out: what editors leave behind has such names.
///
/// A symlink at `path` is followed, and its target is judged. One in a folder may not lead out of it.
pub(super) fn read(path: &Path) -> Sources {
    let mut sources = Sources::default();
    let folder = path.is_dir();
    if folder {
        sources.read_folder(path, Dir::open(path, FOLDER, Mode::empty()));
    } else {
        sources.read_file(path, || open(path));
    }
    let base = if folder { path } else { path.parent().unwrap_or(path) };
    let parts = base.join(PARTS);
    match Dir::open(&parts, FOLDER, Mode::empty()) {
        // A dangling symlink was meant to be something.
        Err(Errno::ENOENT) if !parts.is_symlink() => {}
        dir => {
            if !folder {
                sources.judge_home(base);
            }
            sources.read_folder(&parts, dir);
        }
    }
    if sources.texts.is_empty() && sources.faults.is_empty() {
        sources.fault(path, None, Fault::EmptyFolder);
    }
    sources
}

const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

impl Sources {
    fn fault(&mut self, path: &Path, mark: Option<Mark>, fault: Fault) {
        let Mark { line, column, .. } = mark.unwrap_or(Mark::top_of(0));
        self.faults.push((Place { file: Arc::new(path.to_owned()), line, column }, fault));
    }

    /// Whoever may write to the folder of a policy file may put parts beside it.
    fn judge_home(&mut self, folder: &Path) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let metadata = folder.metadata().map_err(|error| unreadable(&error));
        if let Err(fault) = metadata.and_then(|metadata| writable_by_few("folder", folder, metadata.mode())) {
            self.fault(folder, None, fault);
        }
    }

    /// The checks are made on the open folder, so that nothing can be swapped in between.
    fn read_folder(&mut self, path: &Path, dir: nix::Result<Dir>) {
        let found = dir.map_err(|errno| match errno {
            Errno::ENOTDIR => Fault::NotAFolder,
            other => unreadable(&other.into()),
        });
        let mut dir = match found.and_then(|dir| trust_folder(path, &dir).map(|()| dir)) {
            Ok(dir) => dir,
            Err(fault) => return self.fault(path, None, fault),
        };
        let mut names = Vec::new();
        for entry in dir.iter() {
            match entry {
                Ok(entry) => names.push(entry.file_name().to_owned()),
                Err(errno) => return self.fault(path, None, unreadable(&errno.into())),
            }
        }
        names.sort_unstable();
        names.retain(|name| !name.as_bytes().starts_with(b"."));
        let (names, others): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.as_bytes().ends_with(b".yaml"));
        if names.len() > MAX_FILES {
            let owner = "this folder".to_owned();
            let fault = Fault::TooMany { owner, what: "policy files", found: names.len(), limit: MAX_FILES };
            return self.fault(path, None, fault);
        }
        for name in others {
            let tail = name.as_bytes().last_chunk::<4>().map(|tail| tail.to_ascii_lowercase());
            if matches!(tail.as_deref(), Some(b".yml" | b"yaml")) {
                self.fault(&path.join(OsStr::from_bytes(name.as_bytes())), None, Fault::LeftOut);
            }
        }
        for name in names {
            let path = path.join(OsStr::from_bytes(name.as_bytes()));
            self.read_file(&path, || {
                let flags = OFlag::from_bits_retain(FLAGS) | OFlag::O_RDONLY;
                let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH);
                match openat2(&dir, name.as_c_str(), how) {
                    Ok(file) => checked(&path, File::from(file)),
                    Err(Errno::EXDEV) => Err(Fault::LeadsOut),
                    Err(errno) => Err(not_opened(&path, &errno.into())),
                }
            });
        }
    }

    fn read_file(&mut self, path: &Path, open: impl FnOnce() -> Result<File, Fault>) {
        let read: u64 = self.texts.iter().map(|text| text.text.len() as u64).sum();
        match open()
            .map_err(|fault| (None, fault))
            .and_then(|file| text_of(file, MAX_BYTES - read.min(MAX_BYTES)))
        {
            Ok(text) => self.texts.push(PolicyText::new(path, &text)),
            Err((mark, fault)) => self.fault(path, mark, fault),
        }
    }
}

/// Reads all of a file of at most `most` bytes.
fn text_of(file: File, most: u64) -> Result<String, (Option<Mark>, Fault)> {
    let mut bytes = Vec::new();
    // The size may lie, or grow while it is read: what counts is what comes.
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| (None, unreadable(&error)))?;
    if bytes.len() as u64 > most {
        return Err((None, Fault::TooLarge { limit: MAX_BYTES }));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let mark = Mark::end_of(&String::from_utf8_lossy(valid));
        (Some(mark), Fault::NotUtf8)
    })
}

/// Opening must neither wait for a FIFO's writer nor adopt a terminal.
const FLAGS: i32 = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;

fn open(path: &Path) -> Result<File, Fault> {
    match OpenOptions::new().read(true).custom_flags(FLAGS).open(path) {
        Ok(file) => checked(path, file),
        Err(error) => Err(not_opened(path, &error)),
    }
}

fn not_opened(path: &Path, error: &io::Error) -> Fault {
    // A socket can't be opened at all, and the kernel's "no such device" doesn't say why.
    match path.metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => Fault::NotAFile { kind: "socket" },
        _ => unreadable(error),
    }
}

/// The checks are made on the open handle, so that nothing can be swapped in between.
fn checked(path: &Path, file: File) -> Result<File, Fault> {
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    trust(path, &metadata)?;
    Ok(file)
}

fn trust_folder(path: &Path, dir: &Dir) -> Result<(), Fault> {
    let mode = fstat(dir).map_err(|errno| unreadable(&errno.into()))?.st_mode;
    writable_by_few("folder", path, mode)
}

fn trust(path: &Path, metadata: &Metadata) -> Result<(), Fault> {
    if !metadata.is_file() {
        return Err(Fault::NotAFile { kind: kind(metadata.file_type()) });
    }
    writable_by_few("file", path, metadata.mode())
}

fn writable_by_few(what: &'static str, path: &Path, mode: u32) -> Result<(), Fault> {
    if mode & 0o002 != 0 {
        return Err(Fault::WorldWritable { what, path: path.to_owned(), mode: mode & 0o7777 });
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
