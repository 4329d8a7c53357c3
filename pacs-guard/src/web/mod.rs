//! The status page: what is in force and who is refused, live in a browser, read-only and on loopback only.

mod address;
mod drops;
mod lookout;
mod page;
mod reach;
mod server;
mod view;

pub use address::loopback;
pub use reach::Reach;
pub use server::start;
