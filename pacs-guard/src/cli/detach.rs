//! `detach`: ends enforcement.

use serde_json::json;

use super::{
    Exit,
    args::{Args, Detach},
    block_on,
    terminal::{self, println},
};
use crate::{datapath, interface};

pub(super) fn run(args: &Args, verb: &Detach) -> anyhow::Result<Exit> {
    let pins = args.pins()?;
    let known = block_on(async { Ok(interface::list().await?) })?;
    let detached = if verb.interfaces.is_empty() {
        datapath::detach(&pins)?
    } else {
        let links = pins.links()?;
        let gone =
            |name: &str| name.strip_prefix("index-")?.parse().ok().filter(|index| links.contains(index));
        let index = |name: &String| match interface::find(&known, name) {
            Ok(interface) => Ok(interface.index),
            Err(unknown) => gone(name).ok_or(unknown),
        };
        // All names are looked up before the first link ends.
        let wanted: Vec<u32> = verb.interfaces.iter().map(index).collect::<Result<_, _>>()?;
        let mut detached = Vec::new();
        for index in wanted {
            if pins.unlink(index)? {
                detached.push(index);
            }
        }
        detached
    };
    let name = |index: u32| {
        let found = known.iter().find(|interface| interface.index == index);
        found.map_or_else(|| format!("index-{index}, which is gone"), |interface| interface.name.clone())
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
