//! `cargo xtask bench verdict`, `drop` and `flood`: the guard beside its contenders, in one run.

use anyhow::{Result, ensure};
use clap::Args;

use crate::{lab, shell};

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// For machines
    #[arg(long)]
    json: bool,
    /// Make its part of docs/bench anew
    #[arg(long)]
    record: bool,
}

/// Runs a part of the workspace's bench.
pub(crate) fn run(part: Option<&str>, output: &Output) -> Result<()> {
    ensure!(lab::is_root(), "the bench loads programs into the kernel: run it as root");
    // The program under test is the same in every profile, and this one is compiled already where tests ran.
    let mut bench = shell::cargo(&["bench", "--quiet", "--profile", "dev", "--package", "pacs-guard"]);
    bench.args(["--bench", "rate", "--"]).args(part);
    if output.json {
        bench.arg("--json");
    }
    if output.record {
        bench.arg("--record").arg(shell::root().join("docs/bench"));
    }
    shell::run(&mut bench)
}
