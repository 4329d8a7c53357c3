//! What monitoring is told: one reading of the kernel and the daemon, as metrics and as a verdict on health.

mod family;
mod gate;
mod health;
mod page;
mod reading;
mod scrape;
mod server;
mod tally;

pub use gate::Gate;
pub use health::{Finding, Level, health};
pub use page::markdown;
pub use reading::{Guarded, Reading, ReadingError, State, Totals};
pub use scrape::{Format, Scrape};
pub(crate) use server::ask;
pub use server::{MetricsAddress, bind, serve};
pub use tally::Tally;
