//! `cargo xtask bench verdict`: what a verdict costs, beside its contenders, in one run.

use anyhow::{Result, ensure};

use crate::{lab, shell};

/// Runs the bench of the workspace; with `record`, table, JSON and charts in `docs/bench` are made anew.
pub(crate) fn run(json: bool, prefixes: Option<u64>, record: bool) -> Result<()> {
    ensure!(lab::is_root(), "the bench loads programs into the kernel: run it as root");
    // The program under test is the same in every profile, and this one is compiled already where tests ran.
    let mut bench = shell::cargo(&["bench", "--quiet", "--profile", "dev", "--package", "pacs-guard"]);
    bench.args(["--bench", "rate", "--"]);
    if json {
        bench.arg("--json");
    }
    if let Some(prefixes) = prefixes {
        bench.arg(prefixes.to_string());
    }
    if record {
        bench.arg("--record").arg(shell::root().join("docs/bench"));
    }
    shell::run(&mut bench)
}
