//! What can go wrong between user space and the kernel's maps.

use std::{io, path::PathBuf};

use aya::{
    EbpfError,
    maps::MapError,
    pin::PinError,
    programs::{ProgramError, links::LinkError},
};
use thiserror::Error;

/// Why the kernel's side could not be read or changed. Whatever was in force stays in force.
#[derive(Debug, Error)]
pub enum DatapathError {
    /// The caller may not use BPF.
    #[error("this needs root, or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; missing: {0}")]
    NoPermission(String),
    /// The pin folder is not on a BPF file system and could not be put on one.
    #[error("{path} is not on a BPF file system ({why}): run `mount -t bpf bpf /sys/fs/bpf`")]
    NoBpfFs {
        /// The folder of the pins.
        path: PathBuf,
        /// What the mount said.
        why: io::Error,
    },
    /// Another daemon holds the pins.
    #[error("another pacs-guard runs on {0}: stop it first, or give this one a --pin-root of its own")]
    Locked(PathBuf),
    /// The pins were removed while this daemon held them.
    #[error("`pacs-guard detach` ended enforcement here: start pacs-guard again to enforce")]
    Detached,
    /// A pinned map is not what this program needs.
    #[error(
        "the pinned map {path} has {found}, and this program needs {needed}: run `pacs-guard detach`, which removes the pins"
    )]
    ForeignPin {
        /// The pin.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        needed: String,
    },
    /// The image in the kernel is not the one that was written.
    #[error(
        "page {page} of the new generation reads back unlike it was written; the old policy stays in force"
    )]
    ReadBack {
        /// The first page that differs.
        page: u32,
    },
    /// The pinned ledger can't be read.
    #[error("the pinned ledger of counters is broken: run `pacs-guard detach`, which removes the pins")]
    Ledger,
    /// The program or a map is not in the object: a fault of the build.
    #[error("the XDP object holds no {0}")]
    Missing(&'static str),
    /// The pins can't be read or changed.
    #[error("{path}: {why}")]
    Pins {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The kernel refuses, and is older than a feature that is used.
    #[error(
        "this is Linux {running}, and pacs-guard needs {needed} or later for {feature}; the kernel said: {why}"
    )]
    OldKernel {
        /// The kernel's version.
        running: String,
        /// The version that would do.
        needed: String,
        /// What sets it.
        feature: &'static str,
        /// The refusal.
        why: Box<Self>,
    },
    /// The limit of open files can't be read or set.
    #[error("the limit of open files: {0}")]
    Limits(io::Error),
    /// The object can't be loaded.
    #[error("the kernel refuses the XDP object: {}", chain(.0))]
    Load(#[from] EbpfError),
    /// A map call failed.
    #[error("map: {}", chain(.0))]
    Map(#[from] MapError),
    /// A program call failed; the verifier's words are in it.
    #[error("program: {}", chain(.0))]
    Program(#[from] ProgramError),
    /// A link call failed.
    #[error("link: {}", chain(.0))]
    Link(#[from] LinkError),
    /// A pin call failed.
    #[error("pin: {}", chain(.0))]
    Pin(#[from] PinError),
}

/// An error with its causes, which aya keeps apart for some errors, and says twice for others.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
