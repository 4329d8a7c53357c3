//! `peers` and `peer accept`: how the policy's peers stand, and that a change of one is known.

use std::net::SocketAddr;

use anstream::println;
use jiff::Timestamp;
use serde_json::json;

use super::{
    Exit,
    args::{Args, Peer},
    block_on,
    terminal::{self, BAD, DIM, GOOD, WARN, count, styled},
};
use crate::{
    control::{Client, ClientError},
    echo::{Accepted, Baselines, EXPIRY_WARNING_DAYS, Printable, Standing, in_words},
};

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let daemon = block_on(async { Ok(Client::connect(&args.socket()).await?.status().await?) })?;
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/peers/1", "peers": daemon.peers }))?;
        return Ok(Exit::Fine);
    }
    if daemon.peers.is_empty() {
        println!("the policy names no peers: add them under `peers:`");
        return Ok(Exit::Fine);
    }
    let rows = daemon.peers.iter().map(row);
    let header = ["PEER", "ADDRESS", "LAST ANSWER", "FAILED", "SAYS IT IS", "CERTIFICATE", "BASELINE"];
    println!("{}", terminal::table(header, &[], rows));
    println!("{}", styled(DIM, "an answer shows that the peer can be reached, not who it is"));
    Ok(Exit::Fine)
}

fn row(peer: &Standing) -> [String; 7] {
    let (asked, failed) = peer.asked_and_failed();
    [
        Printable(&peer.peer).to_string(),
        SocketAddr::new(peer.address, peer.port).to_string(),
        match peer.last_success {
            Some(when) => format!("{} ago", age(when)),
            None if peer.do_not_probe => styled(DIM, "do-not-probe"),
            None => "never".to_owned(),
        },
        format!("{failed} of {asked}"),
        says(peer),
        match peer.certificate_days(Timestamp::now()) {
            None => "-".to_owned(),
            Some(days) if days < EXPIRY_WARNING_DAYS => styled(WARN, format!("{days} days left")),
            Some(days) => format!("{days} days left"),
        },
        match peer.baseline_since {
            None => "none yet".to_owned(),
            Some(_) if !peer.drift.is_empty() => styled(BAD, count(peer.drift.len(), "change")),
            Some(since) => format!("as since {}", since.strftime("%F")),
        },
    ]
}

/// What it says that it is, or how it fails.
fn says(peer: &Standing) -> String {
    let keys =
        ["/identity/implementation_version_name", "/identity/implementation_class_uid", "/failure/kind"];
    let text = keys.iter().find_map(|key| peer.last.pointer(key)?.as_str());
    text.unwrap_or("-").to_owned()
}

/// What came of asking a peer last, in words and without colour.
pub(super) fn answer(peer: &Standing) -> String {
    match peer.answers.zip(peer.asked_last) {
        None if peer.do_not_probe => "do-not-probe".to_owned(),
        None => "not asked yet".to_owned(),
        Some((true, when)) => format!("{} ago", age(when)),
        Some((false, when)) => {
            let success =
                peer.last_success.map_or_else(|| "never".to_owned(), |when| format!("{} ago", age(when)));
            format!("{} ago: {}; last success {success}", age(when), says(peer))
        }
    }
}

/// The lines that `status` has of a peer.
pub(super) fn status_lines(peer: &Standing) -> Vec<String> {
    let name = Printable(&peer.peer);
    let Some(answers) = peer.answers else { return vec![] };
    let word = if answers { styled(GOOD, "answers") } else { styled(BAD, "fails") };
    let mut lines = vec![format!("{name}  {word}  {}", answer(peer))];
    if let Some(days) = peer.certificate_days(Timestamp::now()).filter(|days| *days < EXPIRY_WARNING_DAYS) {
        lines.push(styled(WARN, format!("{name}: its certificate ends in {days} days")));
    }
    lines.extend(peer.drift.iter().map(|change| styled(WARN, format!("{name} has changed: {change}"))));
    lines
}

fn age(when: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(when).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `peer accept NAME`: by the daemon, which holds the file; by hand where none runs.
pub(super) fn accept(args: &Args, verb: &Peer) -> anyhow::Result<Exit> {
    let Peer::Accept { name } = verb;
    let asked = block_on(async {
        Ok(match Client::connect(&args.socket()).await {
            Ok(client) => Some(client.accept_peer(name).await?),
            Err(ClientError::NotRunning { .. }) => None,
            Err(why) => return Err(why.into()),
        })
    })?;
    let accepted = match asked {
        Some(accepted) => accepted,
        None => Baselines::open(&args.state_dir)?.accept(name, Timestamp::now())?,
    };
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/peer-accept/1", "peer": name, "accepted": accepted }))?;
    } else {
        let shown = Printable(name);
        match &accepted {
            Accepted::Changed(changes) => {
                println!(
                    "{} peer {shown} is known so from now on: {}",
                    styled(GOOD, "ok"),
                    in_words(changes)
                );
            }
            Accepted::Unchanged => println!("peer {shown} is as its baseline: there is nothing to accept"),
            Accepted::Unknown => {
                terminal::error(&format!("peer {shown} has never answered: see `pacs-guard peers`"))
            }
        }
    }
    Ok(if accepted == Accepted::Unknown { Exit::Failed } else { Exit::Fine })
}
