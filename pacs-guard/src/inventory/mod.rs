//! The inventory: the peers that other programs are configured for, and how that agrees with who was seen.
//!
//! Reading order: [`import`] reads a file of Orthanc, of dcmqrscp, or a CSV into [`Entry`]s, an [`Inventory`] keeps
//! them, and [`reconcile`] holds them against [`crate::learn::Sightings`].

mod csv;
mod dcmqrscp;
mod entry;
mod error;
mod orthanc;
mod reconcile;

pub use entry::{Entry, Format, Imported, Inventory, import};
pub use error::ImportError;
pub use reconcile::{Difference, reconcile};
