//! The state folder: what must outlive the daemon and the machine's next boot.

mod drain;
mod history;
mod provisional;
mod store;

pub use history::{Action, Entry};
pub use provisional::{Kind, Provisional};
pub use store::{StateError, Store};
pub(crate) use store::{at, write_whole};
