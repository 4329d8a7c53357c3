//! `cargo xtask bench`: what something costs.

mod policy;
mod verdict;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Time and memory of checking the largest policies, against their limits
    Policy,
    /// What a verdict costs, beside what else could give it (needs root)
    Verdict {
        /// For machines
        #[arg(long)]
        json: bool,
        /// No policies of more prefixes than that; a million by default
        #[arg(long)]
        prefixes: Option<u64>,
        /// Make docs/bench anew: table, JSON and charts
        #[arg(long)]
        record: bool,
    },
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Policy => policy::run(),
            Self::Verdict { json, prefixes, record } => verdict::run(json, prefixes, record),
        }
    }
}
