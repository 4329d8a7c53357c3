//! A test of the archive on this host: what a stranger who has reached its port could do.
//!
//! Reading order: [`examine`] asks with titles that nobody has, and negotiates what could be asked for; each [`Open`]
//! door that it finds has words, and the setting of a [`Product`] that shuts it.
//!
//! No patient data is asked for: apart from C-ECHO, associations are negotiated and released at once.

mod examine;
mod open;
mod product;

pub use examine::{Examined, Question, examine};
pub use open::{Door, Open};
pub use product::Product;
