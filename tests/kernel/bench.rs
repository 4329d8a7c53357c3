//! The bench: one policy in the kernel and in user space, and the hosts that the frames name.

use std::{net::IpAddr, path::Path};

use pacs_guard::{
    datapath::Trial,
    image::{Card, Image, Ledger, compile},
    policy,
};

/// In the segment that is granted DICOM, and outside every segment.
pub(crate) const PEER4: &str = "10.20.0.7";
pub(crate) const PEER6: &str = "2001:db8:20::7";
pub(crate) const STRANGER4: &str = "203.0.113.9";
pub(crate) const STRANGER6: &str = "2001:db8:bad::9";
/// The guarded host.
pub(crate) const HERE4: &str = "10.20.0.1";
pub(crate) const HERE6: &str = "2001:db8:20::1";

/// Protects TCP and UDP, everywhere and towards two addresses.
pub(crate) const SITE: &str = r#"
version: 1
name: site
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104, 11112] }
  logs: { ports: [104, 514], transport: udp }
  web: { ports: [8042], addresses: [10.20.0.1, "2001:db8:20::1"] }
segments:
  modalities:
    sources: [10.20.0.0/24, "2001:db8:20::/64"]
    except: [10.20.0.66, "2001:db8:20::66"]
    services: [dicom, logs]
  viewers:
    sources: [10.30.0.7/32, "2001:db8:30::7/128"]
    services: [web]
"#;

/// The same without UDP.
pub(crate) const TCP_ONLY: &str = r#"
version: 1
name: tcp-only
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104, 11112] }
segments:
  modalities:
    sources: [10.20.0.0/24, "2001:db8:20::/64"]
    services: [dicom]
"#;

/// Grants DICOM to every IPv4 address, and to no IPv6 one.
pub(crate) const WORLD4: &str = r#"
version: 1
name: world-4
interfaces: [eth0]
mode: enforce
services: { dicom: { ports: [104] } }
segments: { world: { sources: [0.0.0.0/0], services: [dicom] } }
"#;

/// Grants DICOM to every IPv6 address, and to no IPv4 one.
pub(crate) const WORLD6: &str = r#"
version: 1
name: world-6
interfaces: [eth0]
mode: enforce
services: { dicom: { ports: [104] } }
segments: { world: { sources: ["::/0"], services: [dicom] } }
"#;

/// Audit for one service, enforce for the other; what can't be parsed takes the stricter.
pub(crate) const MIXED: &str = r#"
version: 1
name: mixed
interfaces: [eth0]
mode: audit
services:
  dicom: { ports: [104], mode: enforce }
  web: { ports: [8042] }
segments:
  modalities: { sources: [10.20.0.0/24], services: [dicom, web] }
unparsed: { fragment: pass }
"#;

/// Audit everywhere.
pub(crate) const AUDIT: &str = r#"
version: 1
name: audit
interfaces: [eth0]
mode: audit
services: { dicom: { ports: [104] } }
segments: { modalities: { sources: [10.20.0.0/24], services: [dicom] } }
"#;

/// Compiles a policy with what is booked already.
pub(crate) fn image(text: &str, ledger: &mut Ledger, generation: u64) -> Image {
    let checked = policy::parse(Path::new("policy.yaml"), text).unwrap_or_else(|why| panic!("{why}"));
    let card = Card::new(&checked, jiff::Timestamp::UNIX_EPOCH, None);
    compile(&checked.policy, ledger, generation, &card).unwrap()
}

/// A policy in force, in the kernel and in user space.
pub(crate) struct Bench {
    pub(crate) image: Image,
    pub(crate) ledger: Ledger,
    pub(crate) trial: Trial,
}

impl Bench {
    pub(crate) fn new(text: &str) -> Self {
        let mut ledger = Ledger::default();
        let image = image(text, &mut ledger, 1);
        let trial = Trial::new(&image, ledger.clone()).unwrap_or_else(|why| panic!("{why}"));
        Self { image, ledger, trial }
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
