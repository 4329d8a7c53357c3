//! The prefixes that this host has routes to, by rtnetlink.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::{
    RouteMessageBuilder, new_connection,
    packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};

use super::HostError;

/// Lists where unicast routes of every table lead, the default routes apart. Link-local and the host's own addresses
/// are among them.
pub async fn routes() -> Result<Vec<IpNet>, HostError> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let mut messages = Vec::new();
    for family in
        [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()]
    {
        let found: Result<Vec<RouteMessage>, _> = handle.route().get(family).execute().try_collect().await;
        messages.push(found);
    }
    connection.abort();
    let mut routes = Vec::new();
    for found in messages {
        routes.extend(found?.iter().filter_map(read));
    }
    routes.sort_unstable();
    routes.dedup();
    Ok(routes)
}

fn read(message: &RouteMessage) -> Option<IpNet> {
    if message.header.kind != RouteType::Unicast {
        return None;
    }
    let to: IpAddr = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some((*address).into()),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some((*address).into()),
        _ => None,
    })?;
    IpNet::new(to, message.header.destination_prefix_length).ok()
}
