//! `cargo xtask bench`: what something costs.

mod daemon;
mod policy;
mod rate;

use anyhow::Result;
use clap::Subcommand;
use rate::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Time and memory of checking the largest policies, against their limits
    Policy,
    /// Time to start and idle memory and wake-ups of the daemon, against their limits (needs root)
    Daemon,
    /// What a verdict costs, beside what else could give it (needs root)
    Verdict {
        /// No policies of more prefixes than that; a million by default
        #[arg(long)]
        prefixes: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// Packets a second refused on a veth pair, beside a bare drop, nftables and ipset (needs root)
    Drop(Output),
    /// What an allowed peer's C-STORE keeps under a flood of refused sources (needs root and DCMTK)
    Flood(Output),
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Policy => policy::run(),
            Self::Daemon => daemon::run(),
            Self::Verdict { prefixes, output } => {
                rate::run(prefixes.map(|most| most.to_string()).as_deref(), &output)
            }
            Self::Drop(output) => rate::run(Some("--drop"), &output),
            Self::Flood(output) => rate::run(Some("--flood"), &output),
        }
    }
}
