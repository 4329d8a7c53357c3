//! `echo`: asks DICOM peers for a C-ECHO now, from this process.

use std::{num::NonZeroUsize, time::Duration};

use anyhow::bail;
use serde_json::json;

use super::{
    Exit, args, block_on,
    terminal::{self, BAD, DIM, GOOD, println, styled},
};
use crate::{
    echo::{Target, probe_all},
    policy::model::Peer,
};

const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

pub(super) fn run(args: &args::Args, verb: &args::Echo) -> anyhow::Result<Exit> {
    let Some(checked) = super::read_policy(&verb.file.policy) else { return Ok(Exit::Invalid) };
    let peers = pick(&checked.policy.peers, &verb.peers)?;
    let (forbidden, asked): (Vec<&Peer>, Vec<&Peer>) = peers.into_iter().partition(|peer| peer.do_not_probe);
    let targets = asked.into_iter().map(Target::from).collect();
    let deadline = Duration::from_secs(verb.timeout);
    let reports = block_on(async { Ok(probe_all(targets, deadline, CONCURRENCY).await) })?;
    if args.json {
        let forbidden: Vec<&str> = forbidden.iter().map(|peer| peer.name.as_str()).collect();
        terminal::json(
            &json!({ "schema": "pacs-guard/echo/1", "reports": reports, "do_not_probe": forbidden }),
        )?;
    } else {
        for report in &reports {
            let mark = if report.outcome.is_ok() { styled(GOOD, "ok  ") } else { styled(BAD, "FAIL") };
            println!("{mark}  {report}");
        }
        for peer in forbidden {
            println!("{}", styled(DIM, format!("--    {} is marked do-not-probe: not asked", peer.name)));
        }
        println!("{}", styled(DIM, "an answer shows that the peer can be reached, not who it is"));
    }
    Ok(if reports.iter().all(|report| report.outcome.is_ok()) { Exit::Fine } else { Exit::Failed })
}

fn pick<'a>(known: &'a [Peer], names: &[String]) -> anyhow::Result<Vec<&'a Peer>> {
    if known.is_empty() {
        bail!("the policy names no peers: add them under `peers:`");
    }
    if names.is_empty() {
        return Ok(known.iter().collect());
    }
    let find = |name: &String| match known.iter().find(|peer| peer.name == *name) {
        Some(peer) => Ok(peer),
        None => {
            let known: Vec<&str> = known.iter().map(|peer| peer.name.as_str()).collect();
            bail!("the policy names no peer `{name}`; it names {}", known.join(", "))
        }
    };
    names.iter().map(find).collect()
}
