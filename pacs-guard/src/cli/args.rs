//! The words of the command line.

mod change;
mod peers;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Parser, Subcommand};
use ipnet::IpNet;
use pacs_guard_common::verdict::Reason;

use crate::{
    datapath::{DatapathError, Pins, XdpChoice},
    observe::MetricsAddress,
};

use change::seconds;
pub(super) use change::{Apply, Bypass, Plan, Ready, Rollback};
pub(super) use peers::{
    AuditArchive, Echo, Inventory, InventoryDiff, InventoryImport, InventoryVerb, Learn, Peer, Seen,
};

/// Lets only declared segments reach the DICOM ports of this host, by XDP.
#[derive(Debug, Parser)]
#[command(name = "pacs-guard", version, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,

    /// Print JSON for machines instead of text for people
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Folder for pinned maps and links, on a BPF file system
    #[arg(
        long,
        global = true,
        env = "PACS_GUARD_PIN_ROOT",
        default_value = "/sys/fs/bpf/pacs-guard",
        value_name = "DIR"
    )]
    pin_root: PathBuf,

    /// Folder of the control socket
    #[arg(
        long,
        global = true,
        env = "PACS_GUARD_RUN_DIR",
        default_value = "/run/pacs-guard",
        value_name = "DIR"
    )]
    run_dir: PathBuf,

    /// Folder for the history and the last good policy
    #[arg(
        long,
        global = true,
        env = "PACS_GUARD_STATE_DIR",
        default_value = "/var/lib/pacs-guard",
        value_name = "DIR"
    )]
    pub(super) state_dir: PathBuf,
}

impl Args {
    /// The pins of the network namespace that the command runs in.
    pub(super) fn pins(&self) -> Result<Pins, DatapathError> {
        Pins::here(&self.pin_root)
    }

    /// The control socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Put a policy in force and keep it so: the daemon, in the foreground
    Run(Run),
    /// Check policy files; changes nothing
    Check(Check),
    /// Show what is in force, also where no daemon runs
    Status,
    /// Show how many packets were allowed and refused, per segment and service
    Counters(Counters),
    /// Watch refused packets, sources and peers on a live screen
    Top,
    /// One line and exit code 0, 1, 2 or 3 for Nagios, Icinga or Checkmk
    CheckNagios(CheckNagios),
    /// Show refused packets as they come
    Events(Events),
    /// Ask DICOM peers for a C-ECHO now
    Echo(Echo),
    /// Show how the policy's peers stand: last answer, what they say of themselves, certificates
    Peers,
    /// Accept a change of a peer
    #[command(subcommand)]
    Peer(Peer),
    /// Draft a policy from who was seen, in a capture or by the program
    Learn(Learn),
    /// Show the peers that other programs are configured for, import them, compare them with who was seen
    Inventory(InventoryVerb),
    /// Show what a stranger could do who has reached the archive on this host; asks for no patient data
    AuditArchive(AuditArchive),
    /// Say what happens to a packet, and which line of the policy decides
    Explain(Explain),
    /// Say what of this host is in the way of a policy, and what leads round it; changes nothing
    Doctor(PolicyFile),
    /// Measure what a verdict costs on this host; attached to nothing
    Bench(Bench),
    /// Make the daemon read its policy file again
    Reload,
    /// Show what a policy file would change, and which connections it would cut
    Plan(Plan),
    /// Say whether what is in audit mode may be enforced, and what would have been dropped
    Ready(Ready),
    /// Put another policy file in force, or enforce what is in force in audit mode
    Apply(Apply),
    /// Keep the policy that was applied with --confirm
    Confirm,
    /// Go back to an earlier policy
    Rollback(Rollback),
    /// Break-glass: refuse nothing for a while, and report what would have been
    Bypass(Bypass),
    /// Show which policies were in force, and why
    History,
    /// Put the last good policy in force and end: for a boot, before the network is up
    Restore(Restore),
    /// End enforcement: take the program off the interfaces
    Detach(Detach),
    /// Print the JSON Schema of the policy file, for editors
    Schema,
    /// Explain a command, or a code that `check` shows, such as PG0207
    Help(Help),
}

#[derive(Debug, clap::Args)]
pub(super) struct PolicyFile {
    /// The policy: a file and the folder `policies.d` beside it, or a folder of `*.yaml`
    #[arg(
        long,
        env = "PACS_GUARD_POLICY",
        default_value = "/etc/pacs-guard/policy.yaml",
        value_name = "FILE"
    )]
    pub(super) policy: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Xdp {
    /// Where XDP runs: in the driver, in the network stack (slower), or in the driver where it can
    #[arg(long = "xdp-mode", env = "PACS_GUARD_XDP_MODE", value_enum, default_value_t)]
    pub(super) mode: XdpChoice,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    #[command(flatten)]
    pub(super) xdp: Xdp,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) file: PolicyFile,

    /// Interface to guard, instead of the policy's own; may be given again
    #[arg(long, value_name = "NAME")]
    pub(super) interface: Vec<String>,

    #[command(flatten)]
    pub(super) xdp: Xdp,

    /// Reload by itself when the policy's files change; put them in place by renaming, for half a file may be valid
    #[arg(long)]
    pub(super) watch: bool,

    /// End enforcement when the daemon is asked to end; without it, enforcement stays on
    #[arg(long)]
    pub(super) detach: bool,

    /// Let the XDP program log each refused packet: slow, for debugging
    #[arg(long)]
    pub(super) program_log: bool,

    /// Where Prometheus finds metrics: an address and port, or `off`
    #[arg(long, env = "PACS_GUARD_METRICS", default_value = "127.0.0.1:9104", value_name = "ADDRESS:PORT")]
    pub(super) metrics: MetricsAddress,

    /// Let --metrics name an address that other hosts reach: whoever does reads names and counters of the policy
    #[arg(long, env = "PACS_GUARD_METRICS_BEYOND_LOOPBACK")]
    pub(super) metrics_beyond_loopback: bool,

    /// Serve a status page for a browser, read-only, at this address and port, such as 127.0.0.1:9105; one that other
    /// hosts reach needs TLS and a token, by the three options below
    #[arg(long, env = "PACS_GUARD_WEB", value_parser = socket_address, value_name = "ADDRESS:PORT")]
    pub(super) web: Option<SocketAddr>,

    /// Certificate of the status page and its chain, in PEM; read again by `reload`, as are the two below
    #[arg(long, env = "PACS_GUARD_WEB_CERT", value_name = "FILE", requires = "web")]
    pub(super) web_cert: Option<PathBuf>,

    /// Key of that certificate, in PEM; its mode must keep others from reading it
    #[arg(long, env = "PACS_GUARD_WEB_KEY", value_name = "FILE", requires = "web")]
    pub(super) web_key: Option<PathBuf>,

    /// File that holds the token that the status page asks for, 32 characters or more, made by `openssl rand -hex 32`;
    /// its mode must keep others from reading it
    #[arg(long, env = "PACS_GUARD_WEB_TOKEN_FILE", value_name = "FILE", requires = "web")]
    pub(super) web_token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Policies, each a file and the folder `policies.d` beside it, or a folder of `*.yaml`
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    /// Judge them against this host too, as `doctor` does: exit 4 where it would not be enforced here
    #[arg(long)]
    pub(super) host: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Counters {
    /// Show counters at zero too
    #[arg(long)]
    pub(super) all: bool,

    /// Print every metric in Prometheus' text format, for node_exporter's textfile collector
    #[arg(long, conflicts_with_all = ["all", "json"])]
    pub(super) prometheus: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckNagios {
    /// Print the line of a Checkmk local check instead
    #[arg(long)]
    pub(super) checkmk: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Events {
    /// Print the kept events and end
    #[arg(long, conflicts_with = "count")]
    pub(super) recent: bool,

    /// End after so many events
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,

    #[command(flatten)]
    pub(super) filter: EventFilter,

    /// How an event is written; CEF is what a SIEM takes
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    pub(super) format: EventFormat,

    /// How often a line says how many events came, and how many were left out or lost: 60s, 5m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = seconds)]
    pub(super) heartbeat: u64,
}

/// Which events are shown: those that pass every filter that is given.
#[derive(Debug, clap::Args)]
pub(super) struct EventFilter {
    /// Only of sources in this segment; `-` for sources in none
    #[arg(long, value_name = "NAME")]
    pub(super) segment: Option<String>,

    /// Only from this address or network
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub(super) source: Option<IpNet>,

    /// Only with this reason: not-in-segment, service-not-allowed, unparsed-fragment and the like
    #[arg(long, value_name = "REASON", value_parser = refusal)]
    pub(super) reason: Option<String>,

    /// Only to this service; `-` where none is known
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EventFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
    /// ArcSight's Common Event Format.
    Cef,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["source", "frame", "pcap"]))]
pub(super) struct Explain {
    /// Source address
    #[arg(value_name = "SRC", requires = "port")]
    pub(super) source: Option<IpAddr>,

    /// Destination port
    #[arg(value_name = "DPORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,

    /// Destination address; without it, one that the port is protected at
    #[arg(long, value_name = "ADDRESS", requires = "source")]
    pub(super) to: Option<IpAddr>,

    /// Ask for UDP instead of TCP
    #[arg(long, requires = "source")]
    pub(super) udp: bool,

    /// An Ethernet frame in hex; `-` reads one a line from standard input
    #[arg(long, value_name = "HEX")]
    pub(super) frame: Option<String>,

    /// Every frame of a pcap or pcapng file
    #[arg(long, value_name = "FILE")]
    pub(super) pcap: Option<PathBuf>,

    #[command(flatten)]
    pub(super) file: PolicyFile,

    /// Judge by what is in force now, as the kernel holds it, and not by a file; needs root. With SRC and DPORT also say
    /// what came of that source, ask it for a C-ECHO where the policy names it as a peer, and name the layer that is
    /// likely at fault
    #[arg(long, conflicts_with = "kernel")]
    pub(super) live: bool,

    /// With --live: ask the source for a C-ECHO on this port, though the policy names no such peer
    #[arg(long, value_name = "PORT", requires = "live", requires = "source", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) echo: Option<u16>,

    /// Ask the XDP program itself, loaded for the purpose and attached to nothing; needs root
    #[arg(long)]
    pub(super) kernel: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// Interface to say of whether its driver has native XDP; nothing is attached to it
    #[arg(long, value_name = "NAME")]
    pub(super) interface: Option<String>,

    #[command(flatten)]
    pub(super) file: PolicyFile,
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:9105".to_owned())
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| "write an address or a network: 10.20.0.0/16".to_owned())
}

/// The name of a reason to refuse a packet.
fn refusal(text: &str) -> Result<String, String> {
    let refuses = |reason: &Reason| {
        matches!(reason, Reason::NotInSegment | Reason::ServiceNotAllowed | Reason::Unparsed(_))
    };
    let names = (0..=u8::MAX).filter_map(Reason::from_code).filter(refuses).map(Reason::name);
    if names.clone().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    Err(format!("it is one of {}", names.collect::<Vec<_>>().join(", ")))
}

#[derive(Debug, clap::Args)]
pub(super) struct Detach {
    /// Interfaces, or `index-2` as `status` names one that is gone; without any, every interface of this network
    /// namespace, and the counters end too
    #[arg(value_name = "INTERFACE")]
    pub(super) interfaces: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Help {
    /// A command, a code, or a page of the manual: `codes`, `metrics`, `policy`
    #[arg(value_name = "COMMAND|CODE")]
    pub(super) about: Option<String>,
}
