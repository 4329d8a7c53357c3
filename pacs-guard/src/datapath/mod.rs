//! The kernel's side: pinned maps, the program and its links. The only importer of aya.
//!
//! It takes an [`crate::image::Image`] and never a policy file.

mod attach;
mod counters;
mod error;
mod events;
mod kernel_version;
mod learning;
mod load;
mod log;
mod outline;
mod pins;
mod probe;
mod seen;
mod swap;
mod trial;
mod verifier;

pub use crate::boot_time::BootTime;
pub use attach::{AttachError, Attached, XdpChoice, XdpMode, detach, linked_program};
pub use counters::Counters;
pub use error::{DatapathError, chain};
pub use events::EventStream;
pub use learning::{Noted, learn_until};
pub use load::{Datapath, LogLevel, may_use_bpf, missing_capabilities};
pub use log::ProgramLog;
pub use outline::Outline;
pub use pins::Pins;
pub use probe::{Support, supports};
pub use seen::Seen;
pub use swap::{InForce, Swapper};
pub use trial::{Answer, Runner, SHORTEST_FRAME, Trial};
pub use verifier::{Verified, verify};
