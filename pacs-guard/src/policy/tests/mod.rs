//! Policy files, good and bad: the table of rules, files that are no policy, and garbage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod files;
mod garbage;
mod limits;
mod parts;
mod render;
mod rules;
mod schema;

use std::path::Path;

use super::{Checked, Rejected, parse};

/// A policy without a mistake, from which each row of a table departs in one place.
const BASE: &str = r#"version: 1
name: base
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104, 11112] }
  web: { ports: [8042], mode: audit }
segments:
  modalities:
    sources: [10.20.0.0/24, "2001:db8:20::/64"]
    except: [10.20.0.66]
    services: [dicom]
  viewers:
    sources: [10.30.0.0/23]
    services: [web]
peers:
  - name: CT1
    address: 10.20.0.11
    port: 104
    ae_title: CT1
    every: 5m
unparsed: { fragment: drop }
"#;

fn judge(text: impl Into<String>) -> Result<Checked, Rejected> {
    parse(Path::new("p.yaml"), text)
}

/// `BASE` with `to` in place of `from`, which has to be in it once.
fn changed(from: &str, to: &str) -> String {
    assert_eq!(BASE.matches(from).count(), 1, "{from:?} is not in the base once");
    BASE.replace(from, to)
}

/// Code, line and column of everything found.
fn found(text: impl Into<String>) -> Vec<(&'static str, u32, u32)> {
    let diagnostics = match judge(text) {
        Ok(checked) => checked.warnings,
        Err(rejected) => rejected.diagnostics,
    };
    diagnostics.iter().map(|found| (found.code(), found.place.line, found.place.column)).collect()
}
