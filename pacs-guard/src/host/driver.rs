//! What a driver's XDP can do, by the netlink family `netdev` (Linux 6.3; Documentation/netlink/specs/netdev.yaml).
//!
//! It is asked and not tried: on many cards the first attachment takes the link down for a moment.

use futures_util::StreamExt;
use genetlink::new_connection;
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, Nla, NlasIterator,
    Parseable, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

/// What an interface's driver can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverXdp {
    /// It runs programs (`NETDEV_XDP_ACT_BASIC`).
    pub native: bool,
    /// It gives them frames in several buffers (`NETDEV_XDP_ACT_RX_SG`).
    pub multi_buffer: bool,
}

/// Asks what the driver of the interface with an index can do; `None` where the kernel can't tell.
pub async fn driver_xdp(interface: u32) -> Option<DriverXdp> {
    let (connection, mut handle, _) = new_connection().ok()?;
    let connection = tokio::spawn(connection);
    let ask = Device(vec![DefaultNla::new(Device::IFINDEX, interface.to_ne_bytes().to_vec())]);
    let mut message = NetlinkMessage::from(GenlMessage::from_payload(ask));
    message.header.flags = NLM_F_REQUEST;
    let answer = match handle.request(message).await {
        Ok(mut answers) => answers.next().await,
        Err(_) => None,
    };
    connection.abort();
    match answer?.ok()?.payload {
        NetlinkPayload::InnerMessage(device) => device.payload.xdp(),
        _ => None,
    }
}

/// A device of the family `netdev`, in a question and in its answer.
#[derive(Clone, Debug)]
struct Device(Vec<DefaultNla>);

impl Device {
    const GET: u8 = 1;
    const IFINDEX: u16 = 1;
    const XDP_FEATURES: u16 = 3;

    fn xdp(&self) -> Option<DriverXdp> {
        const BASIC: u64 = 1;
        const RX_SG: u64 = 1 << 5;
        let features = self.0.iter().find(|attribute| attribute.kind() == Self::XDP_FEATURES)?;
        let mut bytes = [0; 8];
        if features.value_len() != bytes.len() {
            return None;
        }
        features.emit_value(&mut bytes);
        let bits = u64::from_ne_bytes(bytes);
        Some(DriverXdp { native: bits & BASIC != 0, multi_buffer: bits & RX_SG != 0 })
    }
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        Self::GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Device {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(bytes).map(|attribute| DefaultNla::parse(&attribute?));
        Ok(Self(attributes.collect::<Result<_, _>>()?))
    }
}
