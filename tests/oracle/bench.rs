//! The bench: a host that listens, with or without a guard, and a wire on which frames are put as they are.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, CpuSet, sched_getcpu, sched_setaffinity, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv, send, setsockopt,
    socket, sockopt::RcvBufForce,
};
use nix::unistd::Pid;

use crate::frames::{OPEN_TCP, OPEN_UDP, PACS_MAC, PACS4, PACS6, PROTECTED_TCP, PROTECTED_UDP, SENDER_MAC};
use crate::headers::{TCP, ipv4, sealed, tcp};
use crate::lab::{Daemon, Host, Lab, PATIENCE, ip};

/// Frames between two looks at what came back: under half of the 256 that a veth's ring holds.
const BATCH: usize = 100;
const BEACON: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);
const POLICY: &str = include_str!("policy.yaml");

/// What the stack let a peer see of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A connection was accepted.
    SynAck,
    /// A segment came as far as TCP.
    Reset,
    /// A datagram was read.
    Datagram,
}

/// An answer, and so a packet that the stack delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Answer {
    pub(crate) peer: IpAddr,
    pub(crate) peer_port: u16,
    pub(crate) port: u16,
    pub(crate) kind: Kind,
}

/// How a bench is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) guarded: bool,
    /// Whether the host follows IPv4 source routes.
    pub(crate) source_routes: bool,
}

/// A host and a wire to it. Made and used on one thread, which it keeps in the sender's namespace.
pub(crate) struct Bench {
    pub(crate) daemon: Option<Daemon>,
    wire: OwnedFd,
    taps: [OwnedFd; 2],
    datagrams: [UdpSocket; 2],
    _listeners: [TcpListener; 2],
    pub(crate) answers: HashSet<Answer>,
    beacons: u16,
    unseen: usize,
    _lab: Lab,
}

impl Bench {
    pub(crate) fn new(setup: Setup) -> Result<Self> {
        let mut lab = Lab::new()?;
        let (pacs, sender) = (lab.host("pacs")?, lab.host("sender")?);
        lay_wire(&pacs, &sender)?;
        configure(&pacs, setup.source_routes)?;
        let daemon = setup.guarded.then(|| guard(&pacs)).transpose()?;
        enter(&pacs)?;
        let listeners = [listen(PROTECTED_TCP)?, listen(OPEN_TCP)?];
        let datagrams = [hear(PROTECTED_UDP)?, hear(OPEN_UDP)?];
        enter(&sender)?;
        // One processor: then what goes in first comes out first. Not before the daemon, which would inherit it.
        let mut cpus = CpuSet::new();
        cpus.set(sched_getcpu()?)?;
        sched_setaffinity(Pid::from_raw(0), &cpus)?;
        Ok(Self {
            daemon,
            wire: wire()?,
            // Not bound: the sender's only other card is silent.
            taps: [tap(SockProtocol::EthIp)?, tap(SockProtocol::EthIpv6)?],
            datagrams,
            _listeners: listeners,
            answers: HashSet::new(),
            beacons: 0,
            unseen: 0,
            _lab: lab,
        })
    }

    /// Puts frames on the wire, and now and then collects what they brought.
    pub(crate) fn send(&mut self, frames: &[Vec<u8>]) -> Result<()> {
        for frame in frames {
            self.put(frame)?;
            self.unseen += 1;
        }
        if self.unseen >= BATCH { self.collect() } else { Ok(()) }
    }

    /// Waits until every frame has been through the stack. Twice, for what the first round made it flush.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.collect()?;
        self.collect()
    }

    fn put(&self, frame: &[u8]) -> Result<()> {
        let sent = send(self.wire.as_raw_fd(), frame, MsgFlags::empty())
            .with_context(|| format!("a frame of {} bytes", frame.len()))?;
        ensure!(sent == frame.len(), "sent {sent} of {} bytes", frame.len());
        Ok(())
    }

    /// Everything before a SYN that is answered has been answered.
    fn collect(&mut self) -> Result<()> {
        self.unseen = 0;
        self.beacons = self.beacons.wrapping_add(1);
        let ends = (BEACON.into(), PACS4[0].into());
        let syn = sealed(TCP, ends.0, ends.1, tcp((self.beacons, OPEN_TCP), 1, 0x02, &[], &[]));
        self.put(&[&PACS_MAC[..], &SENDER_MAC, &[8, 0], &ipv4(ends, TCP, 0, 0, &[], &syn)].concat())?;
        while !self.drain_taps()? {
            let mut fds = [PollFd::new(self.taps[0].as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(PATIENCE)?;
            ensure!(poll(&mut fds, timeout)? > 0, "the wire is dead: no answer to a plain SYN");
        }
        let mut bytes = [0; 2048];
        for socket in &self.datagrams {
            let port = socket.local_addr()?.port();
            loop {
                match socket.recv_from(&mut bytes) {
                    Ok((_, peer)) => {
                        let (peer, peer_port) = (peer.ip().to_canonical(), peer.port());
                        self.answers.insert(Answer { peer, peer_port, port, kind: Kind::Datagram });
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Reads what waits; whether the last beacon's answer was among it.
    fn drain_taps(&mut self) -> Result<bool> {
        let mut bytes = [0; 2048];
        let mut seen = false;
        for tap in &self.taps {
            loop {
                match recv(tap.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                    Ok(length) => match answer(&bytes[..length]) {
                        Some(Answer { peer, peer_port, .. }) if peer == BEACON => {
                            seen |= peer_port == self.beacons;
                        }
                        Some(answer) => {
                            self.answers.insert(answer);
                        }
                        None => {}
                    },
                    Err(Errno::EAGAIN) => break,
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(seen)
    }
}

/// A TCP answer of the host; nothing where the frame is something else.
fn answer(frame: &[u8]) -> Option<Answer> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (host, peer): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let peer = routed_to(header.options()).unwrap_or(header.destination_addr());
            (header.source_addr().into(), peer.into())
        }
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
    // A host that follows source routes forwards, and so sends what is not its own.
    if !PACS4.map(IpAddr::from).contains(&host) && host != PACS6 {
        return None;
    }
    let kind = if tcp.rst() { Kind::Reset } else { Kind::SynAck };
    Some(Answer { peer, peer_port: tcp.destination_port(), port: tcp.source_port(), kind })
}

/// Where a source route leads in the end, if the packet has hops before it: the host answers on the way back.
fn routed_to(mut options: &[u8]) -> Option<Ipv4Addr> {
    loop {
        options = match *options {
            [1, ref rest @ ..] => rest,
            [131 | 137, length, pointer, ..] if pointer <= length => {
                return options.get(..length.into())?.last_chunk().map(|last: &[u8; 4]| (*last).into());
            }
            [2..=255, length @ 2..=255, ..] => options.get(length.into()..)?,
            _ => return None,
        };
    }
}

/// A cable of its own between the two, beside the lab's switch: a bridge would judge frames too.
fn lay_wire(pacs: &Host, sender: &Host) -> Result<()> {
    let (a, b) = (pacs.netns(), sender.netns());
    ip(&format!("-n {a} link add wire type veth peer name wire netns {b}"))?;
    for (netns, mac) in [(a, PACS_MAC), (b, SENDER_MAC)] {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        ip(&format!("-n {netns} link set wire address {mac}"))?;
    }
    sender.sh("echo 1 >/proc/sys/net/ipv6/conf/wire/disable_ipv6")?;
    ip(&format!("-n {b} link set wire up"))?;
    ip(&format!("-n {a} link set wire up"))?;
    let mac = SENDER_MAC.map(|byte| format!("{byte:02x}")).join(":");
    for address in PACS4 {
        ip(&format!("-n {a} address add {address}/16 dev wire"))?;
    }
    ip(&format!("-n {a} address add {PACS6}/64 dev wire nodad"))?;
    for gateway in ["192.168.0.1", "fd76::1"] {
        ip(&format!("-n {a} neighbour replace {gateway} lladdr {mac} dev wire nud permanent"))?;
        ip(&format!("-n {a} route add default via {gateway} dev wire"))?;
    }
    Ok(())
}

/// Makes the host's answers a matter of each packet alone: no state, no limits, no filter on the way.
fn configure(pacs: &Host, source_routes: bool) -> Result<()> {
    let follow = u8::from(source_routes);
    // SYN cookies for every SYN: nothing is kept, so nothing fills up.
    let mut settings = vec![
        ("ipv4/tcp_syncookies".to_owned(), 2),
        ("ipv4/ipfrag_high_thresh".into(), 1 << 30),
        ("ipv4/ipfrag_time".into(), 3),
        ("ipv4/ipfrag_max_dist".into(), 0),
        ("ipv6/ip6frag_high_thresh".into(), 1 << 30),
        ("ipv6/ip6frag_time".into(), 3),
        // The answer to a source-routed packet takes the same way back, through this host again.
        ("ipv4/ip_forward".into(), i64::from(follow)),
    ];
    for interface in ["all", "wire"] {
        settings.push((format!("ipv4/conf/{interface}/rp_filter"), 0));
        settings.push((format!("ipv4/conf/{interface}/accept_source_route"), i64::from(follow)));
        settings.push((format!("ipv6/conf/{interface}/accept_source_route"), i64::from(follow)));
    }
    let lines = settings.iter().map(|(name, value)| format!("echo {value} >/proc/sys/net/{name}"));
    pacs.sh(&lines.collect::<Vec<_>>().join("\n")).map(|_| ())
}

fn guard(pacs: &Host) -> Result<Daemon> {
    let policy = pacs.dir().join("policy.yaml");
    fs::write(&policy, POLICY)?;
    let daemon = Daemon::start(env!("CARGO_BIN_EXE_pacs-guard").as_ref(), pacs, &policy, &[])?;
    ensure!(daemon.log().contains("native mode"), "not in native mode: {}", daemon.log());
    Ok(daemon)
}

/// Moves this thread into a host's network namespace; the sockets that it makes there stay there.
fn enter(host: &Host) -> Result<()> {
    setns(File::open(format!("/run/netns/{}", host.netns()))?, CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

fn listen(port: u16) -> Result<TcpListener> {
    Ok(TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?)
}

fn hear(port: u16) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, RcvBufForce, &(16 << 20))?;
    Ok(socket)
}

fn tap(protocol: SockProtocol) -> Result<OwnedFd> {
    let tap = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    setsockopt(&tap, RcvBufForce, &(16 << 20))?;
    Ok(tap)
}

/// A packet socket to send with. It hears nothing, for the address has no protocol.
fn wire() -> Result<OwnedFd> {
    let wire = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let addresses = getifaddrs()?.filter(|found| found.interface_name == "wire");
    let link = addresses
        .filter_map(|found| found.address)
        .find(|address| address.family() == Some(AddressFamily::Packet))
        .context("the sender has no wire")?;
    bind(wire.as_raw_fd(), &link)?;
    Ok(wire)
}
