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

/// A policy whose segments take turns, so that neighbours differ.
pub(crate) fn text(count: u64, family: u8) -> String {
    let mut text = String::from(
        "version: 1\nname: bench\ninterfaces: [eth0]\nmode: enforce\nservices: { dicom: { ports: [104] } }\nsegments:\n",
    );
    for segment in 0..SEGMENTS.min(count) {
        let _ = writeln!(text, "  segment-{segment}:\n    services: [dicom]\n    sources:");
        for number in (segment..count).step_by(SEGMENTS as usize) {
            let _ = match family {
                4 => {
                    let Prefix { high, length, .. } = address4(number, 0);
                    writeln!(text, "      - {}/{length}", Ipv4Addr::from_bits(high as u32))
                }
                _ => {
                    let Prefix { high, low, length } = address6(number, 0);
                    writeln!(
                        text,
                        "      - \"{}/{length}\"",
                        Ipv6Addr::from_bits(
                            u128::from(high) << 64 | u128::from(if length > 64 { low } else { 0 })
                        )
                    )
                }
            };
        }
    }
    text
}

pub(crate) fn image(count: u64, family: u8) -> Result<(Image, Ledger)> {
    let checked =
        policy::parse(Path::new("bench.yaml"), &text(count, family)).map_err(|why| anyhow!("{why}"))?;
    let mut ledger = Ledger::default();
    let card = Card::new(&checked, jiff::Timestamp::UNIX_EPOCH, None);
    let image = compile(&checked.policy, &mut ledger, 1, &card)?;
    Ok((image, ledger))
}
