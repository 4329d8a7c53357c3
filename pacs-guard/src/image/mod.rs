//! From a policy to the exact contents of the kernel's maps.

mod card;
mod columns;
mod compile;
mod contents;
mod drain;
mod ledger;
mod ranges;
mod reach;
mod rulings;
mod tree;

#[cfg(test)]
mod tests;

pub use card::{Card, Draining, Enforces, SegmentEnd};
pub use compile::{Circumstances, CompileError, compile, compile_for};
pub use contents::{Image, ImageAt};
pub(crate) use contents::{card, protects_tcp};
pub use drain::{Leaving, carry, drained, leaving};
pub use ledger::{Booking, Ledger, LedgerFull, Record};
pub use reach::{Reach, Size};
