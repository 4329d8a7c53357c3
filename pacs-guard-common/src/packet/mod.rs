//! From the bytes of a frame to the few facts that a verdict needs.

mod address;
mod associate;
mod cause;
mod ethernet;
mod frame;
mod ipv4;
mod ipv6;
mod parse;
mod reset;

pub use address::{Address, Family};
pub use associate::{TITLE, Titles, titles, titles_at};
pub use cause::Cause;
pub use frame::{Frame, FrameMut, MAX_OFFSET};
pub use parse::{Content, Headers, Packet, Parsed, TCP, Transport, opens, parse};
pub use reset::Syn;
