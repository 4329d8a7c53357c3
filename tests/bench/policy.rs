//! Policies of so many prefixes.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::{Result, anyhow};
use pacs_guard::{
    image::{Card, Image, Ledger, compile},
    policy,
};

use crate::keys::{Prefix, address4, address6};

const SEGMENTS: u64 = 8;

/// A policy of so many IPv4 and IPv6 prefixes, whose segments take turns, so that neighbours differ.
pub(crate) fn text(v4: u64, v6: u64) -> String {
    let mut text = String::from(
        "version: 1\nname: bench\ninterfaces: [eth0]\nmode: enforce\nservices: { dicom: { ports: [104] } }\nsegments:\n",
    );
    let families = [(4, v4, source4 as fn(u64) -> String), (6, v6, source6)];
    for (family, count, source) in families {
        for segment in 0..SEGMENTS.min(count) {
            let _ = writeln!(text, "  ipv{family}-{segment}:\n    services: [dicom]\n    sources:");
            for number in (segment..count).step_by(SEGMENTS as usize) {
                let _ = writeln!(text, "      - {}", source(number));
            }
        }
    }
    text
}

/// The IPv4 prefix with this number, as text.
pub(crate) fn source4(number: u64) -> String {
    let Prefix { high, length, .. } = address4(number, 0);
    format!("{}/{length}", Ipv4Addr::from_bits(high as u32))
}

fn source6(number: u64) -> String {
    let Prefix { high, low, length } = address6(number, 0);
    format!("\"{}/{length}\"", Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
}

/// The image of a policy with so many prefixes of one family.
pub(crate) fn image(count: u64, family: u8) -> Result<(Image, Ledger)> {
    compiled(if family == 4 { text(count, 0) } else { text(0, count) })
}

/// The image of a policy.
pub(crate) fn compiled(text: String) -> Result<(Image, Ledger)> {
    let checked = policy::parse(Path::new("bench.yaml"), text).map_err(|why| anyhow!("{why}"))?;
    let mut ledger = Ledger::default();
    let card = Card::new(&checked, jiff::Timestamp::UNIX_EPOCH, None);
    let image = compile(&checked.policy, &mut ledger, 1, &card)?;
    Ok((image, ledger))
}
