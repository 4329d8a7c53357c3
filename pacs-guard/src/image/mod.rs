//! From a policy to the exact contents of the kernel's maps.

mod card;
mod compile;
mod contents;
mod ledger;
mod ranges;
mod reach;
mod tree;

#[cfg(test)]
mod tests;

pub use card::{Card, Enforces};
pub use compile::{CompileError, compile};
pub use contents::Image;
pub(crate) use contents::{card, protects_tcp};
pub use ledger::{Booking, Ledger, LedgerFull, Record};
pub use reach::{Reach, Size};
