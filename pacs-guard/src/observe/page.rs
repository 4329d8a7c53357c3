//! The page of metrics, `docs/metrics.md`.

use std::fmt::Write;

use super::family::{FAMILIES, Kind};

const HEAD: &str = "\
# Metrics

What `pacs-guard run` serves at `http://127.0.0.1:9104/metrics` (`--metrics ADDRESS:PORT`, `--metrics off`), read from
the kernel at each scrape, in OpenMetrics or Prometheus' text format. `pacs-guard counters --prometheus` writes the same
for node_exporter's textfile collector, with no daemon needed. This page is made from the code: `pacs-guard help metrics`.

Labels are bounded by the policy: interfaces, segments, services, peers and the closed list of reasons. A source address
is never a label; `pacs-guard events` names sources. `pacs_guard_packets_total` has at most 32,768 series, one for each
segment, service and outcome that was ever in force here. Counters of packets and events live in the kernel: they outlast
reloads, restarts and upgrades, and start again at a boot or after `detach`. What is counted since the daemon started says
so. Where the maps can't be read the answer is HTTP 500, and so `up` is 0.

| metric | type | labels | meaning |
|---|---|---|---|
";

/// The page as Markdown.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for family in FAMILIES {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(page, "| `{}` | {kind} | {} | {} |", family.name, labels.join(", "), family.help);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_in_docs_is_equal() {
        let kept = include_str!("../../../docs/metrics.md");
        assert!(
            kept == markdown(),
            "make it again: `cargo run -p pacs-guard -- help metrics > docs/metrics.md`"
        );
    }

    /// Labels whose values come from the policy, from a closed list of the code, or from this one program.
    const BOUNDED: [&str; 16] = [
        "change",
        "interface",
        "map",
        "mode",
        "outcome",
        "peer",
        "phase",
        "policy",
        "reason",
        "result",
        "segment",
        "service",
        "sha256",
        "state",
        "verdict",
        "version",
    ];

    #[test]
    fn names_follow_the_rules() {
        for family in FAMILIES {
            let name = family.name;
            assert!(name.starts_with("pacs_guard_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            let named = FAMILIES.iter().filter(|other| other.name == name);
            assert_eq!(named.count(), 1, "{name} is there twice");
            for unit in ["_ms", "_us", "_milliseconds", "_kb"] {
                assert!(!name.contains(unit), "{name} is in no base unit");
            }
            assert!(
                family.labels.iter().all(|label| BOUNDED.contains(label)),
                "{name} has a label with no bound"
            );
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{name}");
        }
    }
}
