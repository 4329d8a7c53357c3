//! `detach`: ends enforcement.

use serde_json::json;

use super::{
    Exit,
    args::{Args, Detach},
    block_on,
    terminal::{self, println},
};
use crate::{
    datapath,
    interface::{self, Interface},
};

pub(super) fn run(args: &Args, verb: &Detach) -> anyhow::Result<Exit> {
    let pins = args.pins()?;
    let known = block_on(async { Ok(interface::list().await?) })?;
    let detached = if verb.interfaces.is_empty() {
        datapath::detach(&pins)?
    } else {
        // All names are looked up before the first link ends.
        let wanted: Vec<&Interface> =
            verb.interfaces.iter().map(|name| interface::find(&known, name)).collect::<Result<_, _>>()?;
        let mut detached = Vec::new();
        for interface in wanted {
            if pins.unlink(interface.index)? {
                detached.push(interface.index);
            }
        }
        detached
    };
    let name = |index: u32| {
        let found = known.iter().find(|interface| interface.index == index);
        found.map_or_else(|| format!("interface {index}, which is gone"), |interface| interface.name.clone())
    };
    let names: Vec<String> = detached.into_iter().map(name).collect();
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/detach/1", "detached": names }))?;
    } else if names.is_empty() {
        println!("nothing to detach: pacs-guard is on no interface here");
    } else {
        println!("detached from {}: nothing is enforced there any more", names.join(", "));
    }
    Ok(Exit::Fine)
}
