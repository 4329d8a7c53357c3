//! The addresses of the interfaces, by rtnetlink.

use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::{
    new_connection,
    packet_route::address::{AddressAttribute, AddressMessage},
};

use super::HostError;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The index of the interface.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
}

/// Lists the addresses of this network namespace.
pub async fn addresses() -> Result<Vec<Address>, HostError> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let messages: Result<Vec<AddressMessage>, _> = handle.address().get().execute().try_collect().await;
    connection.abort();
    Ok(messages?.iter().filter_map(Address::read).collect())
}

impl Address {
    /// The kernel gives the peer of a point-to-point link as the address, and ours as the local one.
    fn read(message: &AddressMessage) -> Option<Self> {
        let attributes = || message.attributes.iter();
        let local = attributes().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
        let address = local.or_else(|| {
            attributes().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            })
        })?;
        Some(Self { interface: message.header.index, address })
    }
}
