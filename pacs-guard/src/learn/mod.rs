//! Learning: who uses the protected services, and a policy that would let them.
//!
//! [`Sightings`] come from a capture, from the kernel's maps, or from disk ([`Learnt`]); [`draft`] makes a policy of
//! them, with `prefixes` that are as tight as is sensible.

mod draft;
mod live;
mod observe;
mod prefixes;
mod sighting;

pub use draft::{Network, draft};
pub use live::Learnt;
pub use observe::observe;
pub use prefixes::{Cover, Group, groups};
pub use sighting::{Association, MAX_SIGHTINGS, Sighting, Sightings};
