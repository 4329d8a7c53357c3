//! The facts that the doctor judges, gathered once.

use std::{io, path::Path};

use jiff::Timestamp;

use crate::{
    datapath::{AttachError, Datapath, DatapathError, Pins, Support, missing_capabilities, supports},
    host::{
        Connection, DriverXdp, Forwarding, HostError, LocalPorts, Network, Rules, connections, driver_xdp,
        name_owners, security_associations, translations,
    },
    interface::{self, Interface},
};

/// What is known of this host.
#[derive(Debug)]
pub struct Facts {
    /// The kernel's version.
    pub kernel: String,
    /// What the kernel offers of what the program needs; empty where the caller may not ask.
    pub supports: Vec<Support>,
    /// Instructions that the verifier walked through when it took the program, or why it did not;
    /// `None` where the caller may not load.
    pub load: Option<Result<Option<u32>, String>>,
    /// Capabilities that the caller lacks.
    pub missing_capabilities: Vec<String>,
    /// Whether the folder of the pins is on a BPF file system.
    pub on_bpffs: bool,
    /// Whether `run` mounts one there.
    pub bpffs_mountable: bool,
    /// The folder of the pins.
    pub pins: String,
    /// Interfaces, addresses, listeners.
    pub network: Network,
    /// More of the policy's interfaces, where they are there.
    pub nics: Vec<Nic>,
    /// The interfaces that carry the program now.
    pub guarded: Vec<u32>,
    /// Established connections.
    pub connections: Vec<Connection>,
    /// The ports of outgoing connections.
    pub local_ports: LocalPorts,
    /// Port translation, by the program that was asked.
    pub translations: Vec<Rules>,
    /// IPsec security associations, or why they are not known.
    pub ipsec: io::Result<u32>,
    /// Forwarding and trust in sources.
    pub forwarding: Forwarding,
    /// The time.
    pub clock: Clock,
    /// Whether systemd runs this host.
    pub systemd: bool,
}

/// An interface that the policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its index.
    pub index: u32,
    /// What its driver can do; `None` where the kernel can't tell.
    pub driver: Option<DriverXdp>,
    /// Whether the card takes VLAN tags off; `None` where the driver does not say.
    pub strips_vlan: Option<bool>,
    /// The program on it.
    pub program: Program,
}

/// Whose program an interface carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// None.
    None,
    /// Ours.
    Ours,
    /// Another's; with its name and number, where they can be read.
    Other(String),
}

/// What this host takes for the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// When the policy file was written.
    pub policy_written: Option<Timestamp>,
}

impl Facts {
    /// Looks at this host. Loads the program, attached to nothing, where the caller may.
    ///
    /// # Errors
    /// Where netlink or /proc answer nothing, which is a fault of this system.
    pub async fn gather(pins: &Pins, policy: &Path, interfaces: &[String]) -> Result<Self, HostError> {
        let mut network = Network::look().await?;
        let mut connections = connections()?;
        name_owners(&mut network.listeners, &mut connections);
        let missing_capabilities = missing_capabilities();
        let may = missing_capabilities.is_empty();
        let mut nics = Vec::new();
        for found in network.interfaces.iter().filter(|found| interfaces.contains(&found.name)) {
            nics.push(Nic::look(pins, found).await);
        }
        let guarded =
            network.interfaces.iter().filter(|found| Datapath::is_linked(pins, found).unwrap_or(false));
        let written = std::fs::metadata(policy).and_then(|found| found.modified()).ok();
        Ok(Self {
            kernel: read_line("/proc/sys/kernel/osrelease"),
            supports: if may { supports() } else { Vec::new() },
            load: may.then(|| load().map_err(|why| why.to_string())),
            missing_capabilities,
            on_bpffs: pins.on_bpffs(),
            bpffs_mountable: pins.mountable(),
            pins: pins.folder().display().to_string(),
            nics,
            guarded: guarded.map(|found| found.index).collect(),
            connections,
            local_ports: LocalPorts::read()?,
            translations: translations(),
            ipsec: security_associations(),
            forwarding: Forwarding::read(network.interfaces.iter().map(|found| found.name.as_str())),
            network,
            clock: Clock {
                now: Timestamp::now(),
                policy_written: written.and_then(|time| Timestamp::try_from(time).ok()),
            },
            // sd_booted(3).
            systemd: Path::new("/run/systemd/system").is_dir(),
        })
    }
}

impl Nic {
    async fn look(pins: &Pins, found: &Interface) -> Self {
        let program = match Datapath::may_attach(pins, found) {
            Err(AttachError::Busy { program, .. }) => Program::Other(program),
            Ok(()) if found.xdp_program.is_some() => Program::Ours,
            // Without the right to read our pins, whose the program is can't be told.
            Err(AttachError::Datapath(_)) => {
                Program::Other(format!("with id {}", found.xdp_program.unwrap_or_default()))
            }
            _ => Program::None,
        };
        Self {
            index: found.index,
            driver: driver_xdp(found.index).await,
            strips_vlan: interface::strips_vlan(&found.name).await.ok(),
            program,
        }
    }
}

fn load() -> Result<Option<u32>, DatapathError> {
    Datapath::unpinned()?.verified_instructions()
}

fn read_line(path: &str) -> String {
    std::fs::read_to_string(path).map_or_else(|why| format!("unknown ({why})"), |text| text.trim().to_owned())
}
