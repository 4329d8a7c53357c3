//! Why a policy is not put in force.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    datapath::{AttachError, DatapathError},
    doctor::Finding,
    image::CompileError,
    interface::InterfaceError,
    policy::Rejected,
    state::StateError,
};

/// Why a policy is not put in force.
#[derive(Debug, Error)]
pub enum StartError {
    /// The policy is invalid.
    #[error("{0}")]
    Invalid(Box<Rejected>),
    /// The policy would break what this host does.
    #[error("the policy does not fit this host: {}", listed(.0))]
    Unfit(Vec<Finding>),
    /// Neither the policy nor the command line names an interface.
    #[error("no interface to guard: name it in the policy (`interfaces: [eth0]`) or by `--interface eth0`")]
    NoInterface,
    /// An interface is not there.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// An interface can't be guarded.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The policy can't be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Nobody could reach the daemon.
    #[error("the control socket {path} can't be opened: {why}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The state folder can't be used.
    #[error("the state folder: {0}")]
    State(#[from] StateError),
    /// No policy was in force before.
    #[error("nothing to restore: the state folder knows no policy that was in force")]
    NothingToRestore,
    /// There is nothing to confirm.
    #[error("nothing waits to be confirmed")]
    NothingToConfirm,
    /// No bypass is on.
    #[error("no bypass is on")]
    NoBypass,
    /// No such policy is known.
    #[error("the history knows no policy that far back: see `pacs-guard history`")]
    NoEarlier,
    /// It would have dropped something, or is not watched for long enough.
    #[error("it is not ready to be enforced: `pacs-guard ready` says what it would have dropped")]
    NotReady,
    /// Something waits to be confirmed.
    #[error("an applied policy waits to be confirmed: `pacs-guard confirm` or `pacs-guard rollback` first")]
    Unconfirmed,
    /// A bypass is on.
    #[error("a bypass is on: `pacs-guard bypass --end` first")]
    Bypassed,
    /// The kernel refuses.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
}

/// One finding a line.
pub(super) fn listed(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

impl From<Rejected> for StartError {
    fn from(rejected: Rejected) -> Self {
        Self::Invalid(Box::new(rejected))
    }
}
