//! TCP sockets of this network namespace, by sock_diag(7).

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};

use super::{
    HostError,
    owners::{Owner, owners},
};

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The local address; unspecified where it listens on all of them. Never an IPv4-mapped one.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// Whether an unspecified IPv6 address stands for IPv4 too.
    pub dual_stack: bool,
    /// The index of the only interface that it listens on (SO_BINDTODEVICE).
    pub interface: Option<u32>,
    /// The socket's inode.
    pub inode: u32,
    /// The process that holds it, where that was asked and may be read.
    pub owner: Option<Owner>,
}

/// An established TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// This host's end. Never an IPv4-mapped address: it is what is seen on the wire.
    pub local: SocketAddr,
    /// The other end, likewise.
    pub peer: SocketAddr,
    /// TCP segments that came by it (tcpi_segs_in, Linux 4.2), where the kernel says so.
    pub packets: Option<u32>,
    /// How long ago data or an acknowledgement came last, where the kernel says so.
    pub last_heard: Option<Duration>,
    /// The socket's inode; 0 where no process holds it yet.
    pub inode: u32,
    /// The process that holds it, where that was asked and may be read.
    pub owner: Option<Owner>,
}

/// Lists the listening sockets, of IPv4 first. Nobody owns them yet: see [`name_owners`].
pub fn listeners() -> Result<Vec<Listener>, HostError> {
    let read = |socket: &InetResponse| {
        let id = &socket.header.socket_id;
        let any = id.source_address == Ipv6Addr::UNSPECIFIED;
        Listener {
            address: id.source_address.to_canonical(),
            port: id.source_port,
            dual_stack: any && !socket.nlas.contains(&Nla::SkV6Only(true)),
            interface: Some(id.interface_id).filter(|index| *index != 0),
            inode: socket.header.inode,
            owner: None,
        }
    };
    Ok(dump(StateFlags::LISTEN, ExtensionFlags::empty())?.iter().map(read).collect())
}

/// Lists the established connections, of IPv4 sockets first. Nobody owns them yet: see [`name_owners`].
pub fn connections() -> Result<Vec<Connection>, HostError> {
    let read = |socket: &InetResponse| {
        let id = &socket.header.socket_id;
        let info =
            socket.nlas.iter().find_map(|nla| if let Nla::TcpInfo(info) = nla { Some(info) } else { None });
        let word = |at| info.and_then(|info| tcp_info(info, at));
        let heard = word(LAST_DATA_RECV).zip(word(LAST_ACK_RECV));
        Connection {
            packets: word(SEGS_IN),
            last_heard: heard.map(|(data, ack)| Duration::from_millis(data.min(ack).into())),
            local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
            peer: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
            inode: socket.header.inode,
            owner: None,
        }
    };
    Ok(dump(StateFlags::ESTABLISHED, ExtensionFlags::INFO)?.iter().map(read).collect())
}

/// Finds the processes that hold these sockets: one walk through /proc, so not for every day.
pub fn name_owners(listeners: &mut [Listener], connections: &mut [Connection]) {
    let inodes = listeners.iter().map(|listener| listener.inode);
    let owners = owners(&inodes.chain(connections.iter().map(|connection| connection.inode)).collect());
    for listener in listeners {
        listener.owner = owners.get(&listener.inode).cloned();
    }
    for connection in connections {
        connection.owner = owners.get(&connection.inode).cloned();
    }
}

impl Listener {
    /// Whether it takes connections from other hosts over IPv4.
    pub fn takes_ipv4(&self) -> bool {
        self.dual_stack || self.address.is_ipv4() && !self.address.is_loopback()
    }

    /// Whether it takes connections from other hosts over IPv6.
    pub const fn takes_ipv6(&self) -> bool {
        self.address.is_ipv6() && !self.address.is_loopback()
    }

    /// Whether it is for this host alone.
    pub const fn is_loopback(&self) -> bool {
        self.address.is_loopback()
    }

    /// The process's name, where it is known.
    pub fn program(&self) -> Option<&str> {
        self.owner.as_ref().map(|owner| owner.name.as_str())
    }
}

/// Offsets in struct tcp_info (linux/tcp.h), which only grows at its end: both times are milliseconds ago.
const LAST_DATA_RECV: usize = 52;
const LAST_ACK_RECV: usize = 56;
const SEGS_IN: usize = 140;

/// A word of struct tcp_info; `None` where the kernel's ends before it.
fn tcp_info(info: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*info.get(at..)?.first_chunk()?))
}

fn dump(states: StateFlags, extensions: ExtensionFlags) -> Result<Vec<InetResponse>, HostError> {
    let mut found = Vec::new();
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let (states, extensions) = (states.clone(), extensions.clone());
        ask(InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id }, &mut found)?;
    }
    Ok(found)
}

fn ask(request: InetRequest, found: &mut Vec<InetResponse>) -> Result<(), HostError> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut request = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send_to(&bytes, &netlink_sys::SocketAddr::new(0, 0), 0)?;
    // The kernel fills at most 32 KiB of a dump at once (netlink_dump in net/netlink/af_netlink.c).
    let mut answer = Vec::with_capacity(1 << 16);
    loop {
        answer.clear();
        socket.recv(&mut answer, 0)?;
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)?;
            // Messages are aligned to 4 bytes (NLMSG_ALIGN, netlink(3)).
            let length = (message.header.length as usize).next_multiple_of(4);
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io().into()),
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => found.push(*socket),
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn listeners_and_connections_of_this_process_are_found() {
        // std makes IPv6 sockets that take IPv4 too, where the system does not say otherwise.
        let both = TcpListener::bind("[::]:0").unwrap();
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(("127.0.0.1", both.local_addr().unwrap().port())).unwrap();
        let (_server, _) = both.accept().unwrap();

        let (mut listeners, mut connections) = (listeners().unwrap(), connections().unwrap());
        name_owners(&mut listeners, &mut connections);
        let find = |socket: &TcpListener| {
            let port = socket.local_addr().unwrap().port();
            listeners.iter().find(|listener| listener.port == port).unwrap()
        };
        let found = find(&both);
        assert!(
            found.address.is_unspecified() && found.dual_stack && found.takes_ipv4() && found.takes_ipv6()
        );
        assert_eq!(found.owner.as_ref().unwrap().pid, std::process::id());
        let found = find(&four);
        assert!(found.is_loopback() && !found.takes_ipv4() && !found.takes_ipv6());

        // The server's socket is one of IPv6, and its peer is no IPv6 address for that.
        let (local, peer) = (client.peer_addr().unwrap(), client.local_addr().unwrap());
        let found = connections.iter().find(|found| found.local == local && found.peer == peer).unwrap();
        assert_eq!(found.owner.as_ref().unwrap().pid, std::process::id());
        assert_eq!(found.packets, Some(2), "a SYN and an ACK");
        assert!(found.last_heard.unwrap() < Duration::from_secs(60));
    }
}
