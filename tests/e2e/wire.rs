//! Sockets inside the namespaces: connections, listeners that count, and raw frames.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use etherparse::PacketBuilder;
use nix::{
    ifaddrs::getifaddrs,
    sched::{CloneFlags, setns},
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, SockaddrStorage, sendto, socket,
    },
};

use crate::lab::{Host, PATIENCE, wait_for};

/// How long a refused connection is waited for. A wrong answer comes in a millisecond.
const SILENCE: Duration = Duration::from_millis(400);

/// Runs a closure in a thread that lives in the host's namespace. Sockets opened there stay there.
pub(crate) fn on<T: Send>(host: &Host, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(format!("/run/netns/{}", host.netns())).unwrap();
    thread::scope(|scope| {
        let work = scope.spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        work.join().unwrap()
    })
}

/// Both addresses of a host.
pub(crate) fn addresses(host: &Host) -> [IpAddr; 2] {
    [host.addr4().into(), host.addr6().into()]
}

/// Connects, and closes again. Panics when the host does not answer.
pub(crate) fn connects(from: &Host, to: impl Into<IpAddr>, port: u16) {
    let to = SocketAddr::new(to.into(), port);
    if let Err(why) = on(from, || TcpStream::connect_timeout(&to, PATIENCE)) {
        panic!("{} does not reach {to}: {why}", from.name());
    }
}

/// Whether connecting to a port ends in silence: no answer, and no refusal either.
pub(crate) fn is_met_with_silence(from: &Host, to: impl Into<IpAddr>, port: u16) -> bool {
    let to = SocketAddr::new(to.into(), port);
    match on(from, || TcpStream::connect_timeout(&to, SILENCE)) {
        Err(why) if why.kind() == ErrorKind::TimedOut => true,
        Err(why) => panic!("{to} answered {}: {why}", from.name()),
        Ok(_) => false,
    }
}

/// A listener that accepts everything, greets, and counts.
pub(crate) struct Listener {
    accepted: Arc<AtomicUsize>,
}

impl Listener {
    pub(crate) const GREETING: &[u8] = b"SSH-2.0-lab\r\n";

    /// Listens on both address families. The thread ends with the process.
    pub(crate) fn open(host: &Host, port: u16) -> Self {
        let listener = on(host, || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        thread::spawn(move || {
            for peer in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                // A peer that is gone already was counted.
                peer.and_then(|mut peer| std::io::Write::write_all(&mut peer, Self::GREETING)).ok();
            }
        });
        Self { accepted }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// So many were accepted, and no more. A peer is connected before the listener has counted it.
    pub(crate) fn accepts(&self, expected: usize) {
        wait_for("the listener to count", PATIENCE, || Ok(self.accepted() >= expected)).unwrap();
        assert_eq!(self.accepted(), expected);
    }
}

/// What a greeting server says first.
pub(crate) fn greeting(from: &Host, to: impl Into<IpAddr>, port: u16) -> Vec<u8> {
    let to = SocketAddr::new(to.into(), port);
    on(from, || {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        text
    })
}

/// Puts whole Ethernet frames on a host's `eth0`.
pub(crate) struct RawSocket {
    socket: OwnedFd,
    eth0: SockaddrStorage,
}

impl RawSocket {
    pub(crate) fn open(host: &Host) -> Self {
        on(host, || {
            let all = getifaddrs().unwrap().filter(|interface| interface.interface_name == "eth0");
            let eth0 = all.filter_map(|interface| interface.address);
            let eth0 = eth0.into_iter().find(|address| address.family() == Some(AddressFamily::Packet));
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
            Self { socket, eth0: eth0.unwrap() }
        })
    }

    /// The hardware address of the interface.
    pub(crate) fn mac(&self) -> [u8; 6] {
        let address: &LinkAddr = self.eth0.as_link_addr().unwrap();
        address.addr().unwrap()
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        let sent = sendto(self.socket.as_raw_fd(), frame, &self.eth0, MsgFlags::empty()).unwrap();
        assert_eq!(sent, frame.len());
    }
}

/// The first segment of a TCP connection.
pub(crate) fn syn(from: [u8; 6], to: [u8; 6], source: IpAddr, destination: IpAddr, port: u16) -> Vec<u8> {
    let frame = PacketBuilder::ethernet2(from, to);
    let frame = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(to)) => frame.ipv4(source.octets(), to.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(to)) => frame.ipv6(source.octets(), to.octets(), 64),
        _ => panic!("{source} and {destination} are of two families"),
    };
    let mut bytes = Vec::new();
    frame.tcp(40_000, port, 1, 64_240).syn().write(&mut bytes, &[]).unwrap();
    bytes
}
