//! The pins: where maps and links outlive the daemon.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use pacs_guard_common::abi::ABI_VERSION;

use super::DatapathError;

const MOUNT_POINT: &str = "/sys/fs/bpf";

/// The folder of pins of one network namespace.
///
/// ```text
/// <root>/net-<namespace's inode>/link-<ifindex>     the links, shared by all versions
/// <root>/net-<namespace's inode>/abi-<version>/…    the maps of one layout
/// ```
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
    namespace: PathBuf,
}

impl Pins {
    /// The pins of the network namespace that the caller is in.
    pub fn here(root: &Path) -> Result<Self, DatapathError> {
        let path = Path::new("/proc/self/ns/net");
        let inode = fs::metadata(path).map_err(at(path))?.ino();
        Ok(Self { root: root.to_owned(), namespace: root.join(format!("net-{inode}")) })
    }

    /// Makes the folders, on a BPF file system that is mounted where it is missing.
    pub(super) fn create(&self) -> Result<(), DatapathError> {
        let mount_point = Path::new(MOUNT_POINT);
        if self.mountable() && !is_bpffs(mount_point) {
            mount(Some("bpf"), mount_point, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
                .map_err(|why| DatapathError::NoBpfFs { path: self.root.clone(), why: why.into() })?;
            tracing::warn!("no BPF file system at {}: mounted one", mount_point.display());
        }
        // Looked at before it is made: on another file system nothing is left behind.
        let base = self.root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        if !is_bpffs(base) {
            let why = io::Error::other("another file system lies there");
            return Err(DatapathError::NoBpfFs { path: self.root.clone(), why });
        }
        let maps = self.maps();
        DirBuilder::new().recursive(true).mode(0o700).create(&maps).map_err(at(&maps))
    }

    /// Whether the pins would lie on a BPF file system as things are, with none mounted anew.
    pub fn on_bpffs(&self) -> bool {
        self.root.ancestors().find(|path| path.exists()).is_some_and(is_bpffs)
    }

    /// Whether a BPF file system is mounted for the pins where none is: only at its usual place.
    pub fn mountable(&self) -> bool {
        self.root.starts_with(MOUNT_POINT)
    }

    /// Takes the pins for one writer; the lock ends with the value, or with the process.
    pub(super) fn lock(&self) -> Result<Flock<File>, DatapathError> {
        let folder = File::open(&self.namespace).map_err(at(&self.namespace))?;
        Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => DatapathError::Locked(self.namespace.clone()),
            other => DatapathError::Pins { path: self.namespace.clone(), why: other.into() },
        })
    }

    /// The folder of this namespace's pins.
    pub fn folder(&self) -> &Path {
        &self.namespace
    }

    /// The folder of this version's maps.
    pub(super) fn maps(&self) -> PathBuf {
        self.namespace.join(format!("abi-{ABI_VERSION}"))
    }

    /// The pin of a map.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name.to_lowercase())
    }

    /// The pin of the pages in a slot.
    pub(super) fn generation(&self, slot: u32) -> PathBuf {
        self.maps().join(format!("generation-{slot}"))
    }

    /// The pin of what of it does not fit into the map of fixed size.
    pub(super) fn bulk(&self, slot: u32) -> PathBuf {
        self.maps().join(format!("bulk-{slot}"))
    }

    /// The pin of an interface's link.
    pub(super) fn link(&self, interface: u32) -> PathBuf {
        self.namespace.join(format!("link-{interface}"))
    }

    /// The indices of the interfaces with a pinned link, in order.
    pub fn links(&self) -> Result<Vec<u32>, DatapathError> {
        let entries = match fs::read_dir(&self.namespace) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(at(&self.namespace))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut links: Vec<u32> = names.filter_map(|name| name.strip_prefix("link-")?.parse().ok()).collect();
        links.sort_unstable();
        Ok(links)
    }

    /// Removes the maps of other layouts, once nothing in force reads them.
    pub(super) fn forget_other_layouts(&self) -> Result<(), DatapathError> {
        let keep = self.maps();
        for entry in fs::read_dir(&self.namespace).map_err(at(&self.namespace))? {
            let path = entry.map_err(at(&self.namespace))?.path();
            if path.is_dir() && path != keep {
                fs::remove_dir_all(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    /// Ends the link on one interface; whether there was one.
    pub fn unlink(&self, interface: u32) -> Result<bool, DatapathError> {
        let pin = self.link(interface);
        match fs::remove_file(&pin) {
            Ok(()) => Ok(true),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(why) => Err(at(&pin)(why)),
        }
    }

    /// Removes every pin of this namespace: links end, and with the last user the maps.
    pub fn remove(&self) -> Result<(), DatapathError> {
        match fs::remove_dir_all(&self.namespace) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(at(&self.namespace)(why)),
            _ => {
                // The root goes too where it is empty; another namespace may have pins in it.
                fs::remove_dir(&self.root).ok();
                Ok(())
            }
        }
    }
}

/// Names the file in an error.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> DatapathError {
    let path = path.to_owned();
    move |why| DatapathError::Pins { path, why }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}
