//! `audit-archive`: what a stranger could do who has reached the archive on this host.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anstream::println;
use anyhow::bail;
use serde_json::json;

use super::{
    Exit,
    args::{Args, AuditArchive},
    block_on,
    terminal::{self, BAD, DIM, GOOD, WARN, styled},
};
use crate::{
    archive::{Examined, Product, Question, examine},
    echo::{Channel, Printable},
    host::{self, Listener},
    policy::model::{Policy, Transport},
};

/// The registered port of DICOM over TLS.
const DICOM_TLS: u16 = 2762;

pub(super) fn run(args: &Args, verb: &AuditArchive) -> anyhow::Result<Exit> {
    let mut listeners = host::listeners()?;
    host::name_owners(&mut listeners, &mut []);
    let ports = match verb.address {
        Some(address) => vec![(address, verb.tls || address.port() == DICOM_TLS)],
        None => {
            let Some(checked) = super::read_policy(&verb.file.policy) else { return Ok(Exit::Invalid) };
            let found = listening(&checked.policy, &listeners, verb.tls);
            if found.is_empty() {
                bail!(
                    "nothing on this host listens on a TCP port that the policy protects: name it, ADDRESS:PORT"
                );
            }
            found
        }
    };
    let deadline = Duration::from_secs(verb.timeout);
    let examined = block_on(async {
        let own = host::addresses().await?;
        let mut examined = Vec::new();
        for (address, claims_tls) in ports {
            if !address.ip().is_loopback() && !own.iter().any(|own| own.address == address.ip()) {
                bail!(
                    "{} is no address of this host: an archive is only examined where it runs",
                    address.ip()
                );
            }
            let question = Question {
                address,
                called: verb.called.clone(),
                claims_tls,
                product: product(&listeners, address),
            };
            examined.push(examine(&question, deadline).await);
        }
        Ok(examined)
    })?;
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/audit-archive/1", "ports": examined }))?;
    } else {
        examined.iter().for_each(print);
        println!(
            "{}",
            styled(
                DIM,
                "no patient data was asked for: associations were negotiated and released, and C-ECHO sent"
            )
        );
    }
    let shut = examined.iter().all(|port| port.open.is_empty());
    let answered = examined.iter().any(Examined::answered);
    Ok(if shut && answered { Exit::Fine } else { Exit::Failed })
}

/// The protected TCP ports that somebody listens on, each at an address that leads to the listener.
fn listening(policy: &Policy, listeners: &[Listener], tls: bool) -> Vec<(SocketAddr, bool)> {
    let mut found = BTreeSet::new();
    for service in policy.services.iter().filter(|service| service.transport == Transport::Tcp) {
        let here = |listener: &&Listener| service.ports.iter().any(|ports| ports.contains(&listener.port));
        for listener in listeners.iter().filter(here) {
            let address = match listener.address {
                any if !any.is_unspecified() => any,
                _ if listener.takes_ipv4() => IpAddr::from(Ipv4Addr::LOCALHOST),
                _ => Ipv6Addr::LOCALHOST.into(),
            };
            let claims = tls || listener.port == DICOM_TLS || service.name.contains("tls");
            found.insert((SocketAddr::new(address, listener.port), claims));
        }
    }
    found.into_iter().collect()
}

fn product(listeners: &[Listener], at: SocketAddr) -> Option<Product> {
    let listener = listeners
        .iter()
        .find(|one| one.port == at.port() && (one.address == at.ip() || one.address.is_unspecified()))?;
    Product::of_process(&listener.owner.as_ref()?.name)
}

fn print(port: &Examined) {
    let product = port.product.map_or_else(String::new, |product| format!(" ({})", product.name()));
    println!("{}{product}", port.address);
    for tried in &port.tried {
        let over =
            if tried.channel == Channel::Clear { "in clear" } else { "over TLS, no certificate shown" };
        let titles =
            format!("called {}, calling {}, {over}", Printable(&tried.called), Printable(&tried.calling));
        match &tried.refused {
            None => println!("  {titles}: {}", styled(WARN, "takes the association")),
            Some(why) => println!("  {titles}: it {why}"),
        }
    }
    if port.open.is_empty() {
        let words = if port.answered() {
            styled(GOOD, "a stranger gets no association")
        } else {
            styled(WARN, "nothing can be said: it gave no DICOM answer")
        };
        println!("  {words}");
    }
    for open in &port.open {
        println!("  {}  {}", styled(BAD, "OPEN"), open.what);
        for (product, setting) in &open.shut_by {
            println!("        {} {setting}", styled(DIM, format!("{product}:")));
        }
    }
}
