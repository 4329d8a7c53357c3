//! C-ECHO spot checks: asks a DICOM peer whether it is there, and trusts nothing that it answers.
//!
//! Reading order: [`Target`] is asked by [`probe`], over a `wire` that bounds what the peer may send, with a
//! `command` set made by hand; the answer is a [`Report`] that holds an [`Identity`] or a [`Failure`]. `plan`
//! says who is due, [`Schedule`] asks them.

mod baseline;
pub mod command;
mod failure;
mod negotiate;
mod plan;
mod printable;
mod probe;
mod refusal;
mod report;
mod schedule;
mod standing;
mod tls;
mod wire;

pub use baseline::{Accepted, Baseline, Baselines, Change, Drift, Heard};
pub use failure::{ContextFault, Failure, GarbageSign, Limit, Phase, Surprise};
pub use plan::{MIN_INTERVAL, ScheduledPeer};
pub use printable::Printable;
pub use probe::{Channel, Target, negotiate, probe};
pub use refusal::{Abort, Rejection};
pub use report::{EXPIRY_WARNING_DAYS, Identity, Phases, Report};
pub use schedule::{Schedule, probe_all};
pub use standing::{Standing, Standings, in_words};
pub(crate) use tls::days_until;
pub use tls::{Certificate, TlsFault};
