//! The status page: what is in force and who is refused, live in a browser and read-only. Beyond loopback it is served
//! over TLS, and only to who has the token.

mod drops;
mod lock;
mod login;
mod lookout;
mod page;
mod place;
mod reach;
mod served;
mod server;
mod sessions;
mod tries;
mod view;

pub use place::{LockFiles, Place};
pub use reach::Reach;
pub use served::{Served, Standing};
pub use server::start;
