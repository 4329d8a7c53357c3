//! `history`: which policies were in force, the newest last.

use serde_json::json;

use super::{
    Exit,
    args::Args,
    terminal::{self, println},
};
use crate::state::Store;

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let history = Store::open(&args.state_dir)?.history()?;
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/history/1", "entries": history }))?;
        return Ok(Exit::Fine);
    }
    let rows = history.iter().map(|entry| {
        [
            entry.at.strftime("%F %TZ").to_string(),
            entry.action.name().to_owned(),
            entry.policy.clone(),
            entry.sha256.chars().take(12).collect(),
            entry.generation.to_string(),
            entry.until.map_or_else(|| "-".to_owned(), |until| until.strftime("%F %TZ").to_string()),
            crate::echo::Printable(entry.reason.as_deref().unwrap_or("-")).to_string(),
        ]
    });
    println!(
        "{}",
        terminal::table(["WHEN", "WHAT", "POLICY", "SHA256", "GENERATION", "UNTIL", "REASON"], &[4], rows)
    );
    Ok(Exit::Fine)
}
