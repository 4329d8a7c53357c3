//! Facts about this host, from netlink and /proc of this network namespace.
//!
//! Never from /sys: what lies there belongs to the namespace that mounted it. Nothing here judges.

mod addresses;
mod driver;
mod forwarding;
mod ipsec;
mod ipvs;
mod network;
mod owners;
mod ports;
mod routes;
mod sockets;
mod translation;

pub use addresses::{Address, addresses};
pub use driver::{DriverXdp, driver_xdp};
pub use forwarding::Forwarding;
pub use ipsec::security_associations;
pub use network::{Network, Uncovered};
pub use owners::Owner;
pub use ports::{LocalPorts, ParsePortsError};
pub use routes::routes;
pub use sockets::{Connection, Listener, connections, listeners, name_owners};
pub use translation::{Rules, Translation, translations};

use std::{fs, io, path::PathBuf, process::Command};

use thiserror::Error;

use crate::interface::InterfaceError;

/// Why a fact is not known.
#[derive(Debug, Error)]
pub enum HostError {
    /// The netlink socket failed.
    #[error("netlink: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused a question to rtnetlink(7).
    #[error("rtnetlink: {0}")]
    Route(#[from] rtnetlink::Error),
    /// An answer can't be read.
    #[error("netlink: {0}")]
    Answer(#[from] netlink_packet_core::DecodeError),
    /// The interfaces are not known.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// A file can't be read.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A setting is not what proc(5) says.
    #[error("{path}: {why}")]
    Ports {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: ParsePortsError,
    },
}

impl HostError {
    /// The kebab-case label, for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Socket(_) => "netlink-socket",
            Self::Route(_) => "rtnetlink",
            Self::Answer(_) => "netlink-answer",
            Self::Interface(_) => "interfaces",
            Self::File { .. } => "file",
            Self::Ports { .. } => "ports",
        }
    }
}

/// The text of a file under /proc/sys/net, which is this network namespace's own.
fn setting(name: &str) -> Result<String, HostError> {
    let path = PathBuf::from("/proc/sys/net").join(name);
    fs::read_to_string(&path).map_err(|why| HostError::File { path, why })
}

/// What a program of the system prints.
fn run(program: &str, args: &[&str]) -> io::Result<String> {
    // Where the caller's own path leaves the system's programs out.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let done = Command::new(program).args(args).env("PATH", path).output()?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(words.lines().next().unwrap_or("it failed").to_owned()))
}
