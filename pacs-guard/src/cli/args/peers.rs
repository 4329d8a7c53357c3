//! The words about peers: asking, learning, inventory, the archive itself.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::Subcommand;

use super::{PolicyFile, change::period};
use crate::inventory::Format;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Echo {
    /// Names of peers; without one, every peer of the policy
    #[arg(value_name = "PEER")]
    pub(in crate::cli) peers: Vec<String>,

    #[command(flatten)]
    pub(in crate::cli) file: PolicyFile,

    /// Longest time for one peer, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300), value_name = "SECONDS")]
    pub(in crate::cli) timeout: u64,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Learn {
    /// Have the program note AE titles for so long, over restarts too: 12h, 7d
    #[arg(long = "for", value_name = "TIME", value_parser = period, conflicts_with_all = ["stop", "from_pcap"])]
    pub(in crate::cli) duration: Option<u64>,

    /// End that now; what was noted is kept
    #[arg(long, conflicts_with = "from_pcap")]
    pub(in crate::cli) stop: bool,

    #[command(flatten)]
    pub(in crate::cli) seen: Seen,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Seen {
    /// Read a pcap or pcapng file instead of what the program has seen
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) from_pcap: Option<PathBuf>,

    /// Only packets to this address, of a capture that holds other hosts' too; may be given again
    #[arg(long, value_name = "ADDRESS", requires = "from_pcap")]
    pub(in crate::cli) host: Vec<IpAddr>,

    /// Ports of a DICOM service, for who has no policy yet; may be given again
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(in crate::cli) ports: Vec<u16>,

    /// The policy whose services are looked at
    #[command(flatten)]
    pub(in crate::cli) file: PolicyFile,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InventoryVerb {
    #[command(subcommand)]
    pub(in crate::cli) command: Option<Inventory>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Inventory {
    /// Read the peers of Orthanc's configuration, of dcmqrscp.cfg, or of a CSV of AE title, host and port
    Import(InventoryImport),
    /// Show what is configured and was never seen, was seen and is not configured, and what has moved
    Diff(InventoryDiff),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InventoryImport {
    /// The file; it replaces what the same file held when it was imported before
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,

    /// What kind of file it is, where that is guessed wrong
    #[arg(long, value_enum)]
    pub(in crate::cli) format: Option<Format>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InventoryDiff {
    #[command(flatten)]
    pub(in crate::cli) seen: Seen,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AuditArchive {
    /// Where it listens, an address of this host; without it, every protected port that somebody listens on
    #[arg(value_name = "ADDRESS:PORT")]
    pub(in crate::cli) address: Option<SocketAddr>,

    /// The archive's own AE title: also try what a stranger gets who knows it
    #[arg(long, value_name = "AE")]
    pub(in crate::cli) called: Option<String>,

    /// The port is meant to take TLS only; so it is where it is 2762 or its service has `tls` in its name
    #[arg(long)]
    pub(in crate::cli) tls: bool,

    #[command(flatten)]
    pub(in crate::cli) file: PolicyFile,

    /// Longest time for one association, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300), value_name = "SECONDS")]
    pub(in crate::cli) timeout: u64,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Peer {
    /// Take what a peer says of itself now as its baseline
    Accept {
        /// The peer's name in the policy
        #[arg(value_name = "NAME")]
        name: String,
    },
}
