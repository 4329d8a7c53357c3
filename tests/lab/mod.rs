//! A laboratory of hosts on this machine: network namespaces on one switch, gone when the [`Lab`] is dropped.
//!
//! Included by path from `xtask` (the demo) and from the end-to-end tests. Needs root.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each crate that includes it uses another part"
)]

mod clean;
mod daemon;
mod process;

pub use clean::sweep;
pub use daemon::{Daemon, cli};
pub use process::{Finished, Process, run, wait_for};

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long anything in a lab may take that should take milliseconds. A busy machine is slow, not broken.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Every name that a lab leaves on the machine starts with this and the maker's process id.
const PREFIX: &str = "pacs-guard-test-";

const BPFFS: &str = "/sys/fs/bpf";
const BRIDGE: &str = "br0";

/// Several hosts on one switch. Dropping it ends what runs in them and removes namespaces, pins and files.
#[derive(Debug)]
pub struct Lab {
    name: String,
    hosts: u8,
}

impl Lab {
    /// Makes an empty switch. Two labs never meet, in one process or in two.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        ensure!(is_root(), "the lab makes network namespaces, and that needs root");
        sweep();
        let name = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lab = Self { name, hosts: 0 };
        fs::create_dir_all(lab.dir()).with_context(|| format!("cannot make {}", lab.dir().display()))?;
        mount_bpffs()?;
        fs::create_dir_all(lab.pins()).with_context(|| format!("cannot make {}", lab.pins().display()))?;
        let switch = lab.switch();
        ip(&format!("netns add {switch}"))?;
        ip(&format!(
            "-n {switch} link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ))?;
        ip(&format!("-n {switch} link set {BRIDGE} up"))?;
        Ok(lab)
    }

    /// Plugs another host into the switch: its `eth0` and `lo` are up and its addresses usable on return.
    pub fn host(&mut self, name: &str) -> Result<Host> {
        ensure!(self.hosts < 250, "a lab has room for 250 hosts");
        self.hosts += 1;
        let host = Host {
            name: name.to_owned(),
            netns: format!("{}-{name}", self.name),
            number: self.hosts,
            dir: self.dir().join(name),
            pins: self.pins().join(name),
        };
        fs::create_dir_all(&host.dir).with_context(|| format!("cannot make {}", host.dir.display()))?;
        let (switch, netns, port) = (self.switch(), &host.netns, format!("port{}", host.number));
        ip(&format!("netns add {netns}"))?;
        // Duplicate address detection would keep every address tentative for a second or two.
        let quiet = "for f in all default; do echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; done";
        host.sh(quiet)?;
        ip(&format!("-n {switch} link add {port} type veth peer name eth0 netns {netns}"))?;
        ip(&format!("-n {switch} link set {port} master {BRIDGE} up"))?;
        ip(&format!("-n {netns} address add {}/24 dev eth0", host.addr4()))?;
        ip(&format!("-n {netns} address add {}/64 dev eth0 nodad", host.addr6()))?;
        ip(&format!("-n {netns} link set lo up"))?;
        ip(&format!("-n {netns} link set eth0 up"))?;
        // The bridge hears of the carrier through a queue that may lag by a second.
        wait_for("the switch to forward", PATIENCE, || {
            Ok(ip(&format!("-n {switch} -d link show {port}"))?.contains("state forwarding"))
        })?;
        wait_for("the IPv6 route", PATIENCE, || {
            Ok(ip(&format!("-n {netns} -6 route show dev eth0"))?.contains("fd00:99::/64"))
        })?;
        Ok(host)
    }

    /// A folder for the lab's files, removed with it.
    pub fn dir(&self) -> PathBuf {
        std::env::temp_dir().join(&self.name)
    }

    /// The name of the namespace that holds the bridge, for tests that pull cables.
    pub fn switch(&self) -> String {
        format!("{}-switch", self.name)
    }

    fn pins(&self) -> PathBuf {
        Path::new(BPFFS).join(&self.name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        clean::remove(&self.name);
    }
}

/// One host: a network namespace with an `eth0` on the lab's switch. Lives as long as its [`Lab`].
#[derive(Debug, Clone)]
pub struct Host {
    name: String,
    netns: String,
    number: u8,
    dir: PathBuf,
    pins: PathBuf,
}

impl Host {
    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its namespace, as in `ip netns`.
    pub fn netns(&self) -> &str {
        &self.netns
    }

    /// Its address in 10.99.0.0/24.
    pub fn addr4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, 0, self.number)
    }

    /// Its address in fd00:99::/64.
    pub fn addr6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, u16::from(self.number))
    }

    /// A folder of its own for files, removed with the lab.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a daemon on this host pins its maps and links.
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// A command that will run on this host, in its folder. The child is the program itself: `nsenter` turns into it.
    ///
    /// Not `ip netns exec`: that mounts a fresh /sys, without the BPF file system.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.netns)).arg("--").arg(program).current_dir(&self.dir);
        command
    }

    /// Runs a line of shell here; an error if it fails.
    pub fn sh(&self, line: &str) -> Result<String> {
        let mut command = self.command("sh");
        command.args(["-ec", line]);
        let done = run(command, PATIENCE)?;
        ensure!(done.success(), "on {}: `{line}`: {}", self.name, done.text().trim());
        Ok(done.stdout)
    }

    /// Starts a process here that ends when the guard is dropped. Its output goes to `LABEL.log` in [`Host::dir`].
    pub fn spawn(&self, label: &str, command: Command) -> Result<Process> {
        Process::spawn(label, command, &self.dir.join(format!("{label}.log")))
    }

    /// Waits until something listens on a TCP port here, or `process` has ended without.
    pub fn wait_listening(&self, port: u16, process: &mut Process) -> Result<()> {
        wait_for(&format!("{} to listen on {port}", process.label()), PATIENCE, || {
            if let Some(status) = process.ended()? {
                bail!("{} ended with {status}: {}", process.label(), process.log().trim());
            }
            Ok(!self.sh(&format!("ss -Hltn 'sport = :{port}'"))?.trim().is_empty())
        })
    }
}

/// Is this process root? Read from /proc, since asking the kernel takes a call that std has not.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Runs `ip` with the words of `line`, in this namespace.
pub fn ip(line: &str) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(line.split_whitespace());
    let done = run(command, PATIENCE)?;
    ensure!(done.success(), "`ip {line}`: {}", done.text().trim());
    Ok(done.stdout)
}

/// Mounts the BPF file system where it is not. Two at once would hide each other's pins, hence the lock.
fn mount_bpffs() -> Result<()> {
    let lock = fs::File::open(std::env::temp_dir())?;
    lock.lock()?;
    let mounted = fs::read_to_string("/proc/self/mounts")?.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some(BPFFS) && words.next() == Some("bpf")
    });
    if mounted {
        return Ok(());
    }
    let mut command = Command::new("mount");
    command.args(["-t", "bpf", "bpf", BPFFS]);
    let done = run(command, PATIENCE)?;
    ensure!(done.success(), "cannot mount the BPF file system: {}", done.text().trim());
    Ok(())
}
