//! `reload`: makes the daemon read its policy file again, and says what came of it.

use anstream::{eprint, println};

use super::{
    Exit,
    args::Args,
    block_on,
    terminal::{self, GOOD, WARN, styled},
};
use crate::control::{Client, ReloadResult};

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let report = block_on(async { Ok(Client::connect(&args.socket()).await?.reload().await?) })?;
    if args.json {
        terminal::json(&report)?;
    }
    Ok(match report.result {
        ReloadResult::Loaded { policy, generation, took_us, warnings, problems } => {
            if !args.json {
                eprint!("{warnings}");
                println!(
                    "{} policy {policy} is in force as generation {generation}, after {:.1} ms",
                    styled(GOOD, "ok"),
                    took_us as f64 / 1e3
                );
                for problem in &problems {
                    anstream::eprintln!("{} {problem}", styled(WARN, "warning:"));
                }
            }
            if problems.is_empty() { Exit::Fine } else { Exit::Failed }
        }
        ReloadResult::Invalid { rendered, .. } => {
            if !args.json {
                eprint!("{rendered}");
                terminal::error("the policy is invalid; the old one stays in force");
            }
            Exit::Invalid
        }
        ReloadResult::Failed { why } => {
            if !args.json {
                terminal::error(&format!("the policy was not replaced: {why}"));
            }
            Exit::Failed
        }
    })
}
