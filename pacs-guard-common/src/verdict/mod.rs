//! From a parsed packet to what happens to it.

mod judge;
mod reason;
mod view;

pub use judge::{Case, Judgement, judge, passes};
pub use reason::{Reason, Verdict};
pub use view::PolicyView;
