//! The network interfaces of this namespace, by rtnetlink.
//!
//! Never from /sys: what lies there belongs to the namespace that mounted it.

use ethtool::{EthtoolAttr, EthtoolFeatureAttr};
use futures_util::TryStreamExt;
use rtnetlink::{
    new_connection,
    packet_route::link::{
        LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
    },
};
use thiserror::Error;

use crate::datapath::XdpMode;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its index in this namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its link layer, as the kernel names it.
    pub link_layer: String,
    /// Whether its frames start with an Ethernet header.
    pub has_ethernet_header: bool,
    /// Its MAC address.
    pub mac: Option<[u8; 6]>,
    /// Maximum transmission unit in bytes.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether what is sent on it comes back to this host only.
    pub loopback: bool,
    /// What made it, as `ip -d link` names it: `bridge`, `bond`, `wireguard`; none for a card.
    pub kind: Option<String>,
    /// The index of the bridge, bond or VRF that it is a port of.
    pub controller: Option<u32>,
    /// The index of the interface that it stands on (or, of a veth, its other end), where that is in this namespace.
    pub lower: Option<u32>,
    /// The XDP program on it.
    pub xdp_program: Option<u32>,
    /// The mode that the program runs in.
    pub xdp_mode: Option<XdpMode>,
}

/// Why the interfaces are not known.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// The netlink socket failed.
    #[error("netlink: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel refused the question.
    #[error("netlink: {0}")]
    Netlink(#[from] rtnetlink::Error),
    /// The driver does not say what it does.
    #[error("ethtool: {0}")]
    Features(#[from] ethtool::EthtoolError),
    /// There is no such interface.
    #[error("there is no interface `{name}` here; there are: {}", .known.join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
}

/// Lists the interfaces of this network namespace.
pub async fn list() -> Result<Vec<Interface>, InterfaceError> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let links: Result<Vec<LinkMessage>, _> = handle.link().get().execute().try_collect().await;
    connection.abort();
    Ok(links?.into_iter().map(Interface::from).collect())
}

/// Picks one interface by its name.
pub fn find<'a>(interfaces: &'a [Interface], name: &str) -> Result<&'a Interface, InterfaceError> {
    interfaces.iter().find(|interface| interface.name == name).ok_or_else(|| InterfaceError::Unknown {
        name: name.to_owned(),
        known: interfaces.iter().map(|interface| interface.name.clone()).collect(),
    })
}

/// Whether the hardware takes VLAN tags off before XDP sees the frame (`rxvlan`, see ethtool(8)).
pub async fn strips_vlan(name: &str) -> Result<bool, InterfaceError> {
    /// 802.1Q and 802.1ad.
    const RX_VLAN: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];
    let (connection, mut handle, _) = ethtool::new_connection()?;
    let connection = tokio::spawn(connection);
    let answers = handle.feature().get(Some(name)).execute().await?;
    let answers: Vec<_> = answers.try_collect().await?;
    connection.abort();
    let mut features = answers.into_iter().flat_map(|answer| answer.payload.nlas);
    Ok(features.any(|feature| match feature {
        EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) => {
            bits.iter().any(|bit| bit.value && RX_VLAN.contains(&bit.name.as_str()))
        }
        _ => false,
    }))
}

impl From<LinkMessage> for Interface {
    fn from(message: LinkMessage) -> Self {
        let layer = message.header.link_layer_type;
        let mut interface = Self {
            index: message.header.index,
            link_layer: layer.to_string(),
            has_ethernet_header: matches!(layer, LinkLayerType::Ether | LinkLayerType::Loopback),
            up: message.header.flags.contains(LinkFlags::Up),
            loopback: message.header.flags.contains(LinkFlags::Loopback),
            ..Self::default()
        };
        let mut abroad = false;
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name = name,
                LinkAttribute::Address(mac) => interface.mac = mac.try_into().ok(),
                LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
                LinkAttribute::Controller(index) => interface.controller = Some(index),
                LinkAttribute::Link(index) => interface.lower = Some(index),
                LinkAttribute::LinkNetNsId(_) => abroad = true,
                LinkAttribute::LinkInfo(facts) => {
                    interface.kind = facts.into_iter().find_map(|fact| match fact {
                        LinkInfo::Kind(kind) => Some(kind.to_string()),
                        _ => None,
                    });
                }
                LinkAttribute::Xdp(facts) => facts.into_iter().for_each(|fact| interface.learn(&fact)),
                _ => {}
            }
        }
        // An index of another namespace may be that of an unlike interface here.
        interface.lower = interface.lower.filter(|_| !abroad);
        interface
    }
}

impl Interface {
    fn learn(&mut self, fact: &LinkXdp) {
        match fact {
            LinkXdp::Attached(XdpAttached::Driver) => self.xdp_mode = Some(XdpMode::Native),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => self.xdp_mode = Some(XdpMode::Generic),
            LinkXdp::Attached(XdpAttached::Hardware) => self.xdp_mode = Some(XdpMode::Offloaded),
            LinkXdp::ProgId(id) if *id != 0 => self.xdp_program = Some(*id),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_stands_on_one_elsewhere_stands_on_none_here() {
        let on = |more: Vec<LinkAttribute>| {
            let mut message = LinkMessage::default();
            message.header.index = 5;
            message.attributes = vec![LinkAttribute::Link(5)];
            message.attributes.extend(more);
            Interface::from(message).lower
        };
        assert_eq!(on(vec![]), Some(5));
        assert_eq!(on(vec![LinkAttribute::LinkNetNsId(0)]), None);
    }
}
