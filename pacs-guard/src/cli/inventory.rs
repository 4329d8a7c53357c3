//! `inventory`: the peers that other programs are configured for, and how that agrees with who was seen.

use anstream::println;
use jiff::Timestamp;
use serde_json::json;

use super::{
    Exit,
    args::{Args, Inventory as Verb, InventoryDiff, InventoryImport},
    learn,
    terminal::{self, DIM, GOOD, WARN, count, styled},
};
use crate::{
    echo::Printable,
    inventory::{Difference, Entry, Imported, Inventory, import, reconcile},
    state::Store,
};

pub(super) fn run(args: &Args, verb: Option<&Verb>) -> anyhow::Result<Exit> {
    match verb {
        None => show(args),
        Some(Verb::Import(verb)) => take(args, verb),
        Some(Verb::Diff(verb)) => diff(args, verb),
    }
}

fn show(args: &Args) -> anyhow::Result<Exit> {
    let inventory = Inventory::open(&args.state_dir)?;
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/inventory/1", "files": inventory.files }))?;
    } else if inventory.files.is_empty() {
        println!("nothing is imported yet: pacs-guard inventory import FILE");
    } else {
        let rows = inventory.files.iter().flat_map(|file| {
            let whence = file.file.display().to_string();
            file.entries.iter().map(move |Entry { ae_title, host, port, name }| {
                let name = Printable(name.as_deref().unwrap_or("-")).to_string();
                [
                    Printable(ae_title).to_string(),
                    host.clone(),
                    port.to_string(),
                    name,
                    Printable(&whence).to_string(),
                ]
            })
        });
        println!("{}", terminal::table(["AE TITLE", "HOST", "PORT", "NAME", "FROM"], &[2], rows));
    }
    Ok(Exit::Fine)
}

fn take(args: &Args, verb: &InventoryImport) -> anyhow::Result<Exit> {
    let (format, entries) = import(&verb.file, verb.format)?;
    // Makes the folder where it is missing.
    Store::open(&args.state_dir)?;
    let mut inventory = Inventory::open(&args.state_dir)?;
    let imported =
        Imported { file: std::path::absolute(&verb.file)?, format, when: Timestamp::now(), entries };
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/inventory-import/1", "imported": imported }))?;
    } else {
        let peers = count(imported.entries.len(), "peer");
        println!("{} {peers} of {}", styled(GOOD, "ok"), Printable(&imported.file.display().to_string()));
    }
    inventory.take(imported);
    inventory.save(&args.state_dir)?;
    Ok(Exit::Fine)
}

fn diff(args: &Args, verb: &InventoryDiff) -> anyhow::Result<Exit> {
    let inventory = Inventory::open(&args.state_dir)?;
    let Some(seen) = learn::seen(args, &verb.seen)? else { return Ok(Exit::Invalid) };
    let found = reconcile(inventory.entries(), &seen);
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/inventory-diff/1", "differences": found }))?;
    } else if found.is_empty() {
        println!("{}", styled(GOOD, "what is configured is what was seen"));
    } else {
        found.iter().for_each(|difference| println!("{}", words(difference)));
        println!(
            "{}",
            styled(DIM, "AE titles are what a source says of itself; none is known where TLS hides it")
        );
    }
    Ok(if found.is_empty() { Exit::Fine } else { Exit::Failed })
}

fn words(difference: &Difference) -> String {
    let list = |titles: &std::collections::BTreeSet<String>| {
        titles.iter().map(|title| Printable(title).to_string()).collect::<Vec<_>>().join(", ")
    };
    let (label, text) = match difference {
        Difference::NeverSeen { entry } => (
            "never seen",
            format!("{} at {}:{} is configured", Printable(&entry.ae_title), entry.host, entry.port),
        ),
        Difference::NotComparable { entry } => (
            "not known",
            format!(
                "{} is configured at {}: a name is not looked up, and nobody was seen under that title",
                Printable(&entry.ae_title),
                entry.host
            ),
        ),
        Difference::NotConfigured { source, ports, calling } => {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            let calling = if calling.is_empty() {
                "no AE title seen".to_owned()
            } else {
                format!("as {}", list(calling))
            };
            ("not configured", format!("{source} spoke to port {} ({calling})", ports.join(", ")))
        }
        Difference::Moved { ae_title, configured, source } => (
            "new address",
            format!(
                "{} is configured at {}, and called from {source}",
                Printable(ae_title),
                list(configured)
            ),
        ),
        Difference::Shared { source, calling } => {
            ("several AEs", format!("{source} is {}: NAT, or a router?", list(calling)))
        }
    };
    format!("{}  {text}", styled(WARN, format!("{label:<14}")))
}
