//! The state folder: what must outlive the daemon and the machine's next boot.

mod drain;
mod history;
mod provisional;
mod store;
mod watch;

pub use history::{Action, Entry};
pub use provisional::{Kind, Provisional, boot};
pub use store::{StateError, Store};
pub(crate) use store::{at, read_json, write_json, write_whole};
pub use watch::{Watch, Watched};
