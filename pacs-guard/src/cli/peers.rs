//! `peers` and `peer accept`: how the policy's peers stand, and that a change of one is known.

use anstream::println;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Exit,
    args::{Args, Peer},
    block_on,
    terminal::{self, BAD, DIM, GOOD, WARN, count, styled},
};
use crate::{
    control::{Client, ClientError},
    echo::{Accepted, Baselines, EXPIRY_WARNING_DAYS, Printable, in_words},
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

fn row(peer: &Value) -> [String; 7] {
    let text = |at: &str| peer.pointer(at).and_then(Value::as_str);
    let number = |at: &str| peer.pointer(at).and_then(Value::as_u64).unwrap_or(0);
    let failed: u64 =
        peer["failures"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    let says = ["version_name", "class_uid"]
        .iter()
        .find_map(|part| text(&format!("/last/identity/implementation_{part}")));
    let drift = peer["drift"].as_array().map_or(0, Vec::len);
    [
        Printable(text("/peer").unwrap_or("?")).to_string(),
        format!("{}:{}", text("/address").unwrap_or("?"), number("/port")),
        match text("/last_success").and_then(|when| when.parse().ok()) {
            Some(when) => format!("{} ago", age(when)),
            None if peer["do_not_probe"] == true => styled(DIM, "do-not-probe"),
            None => "never".to_owned(),
        },
        format!("{failed} of {}", number("/asked")),
        says.map_or_else(
            || text("/last/failure/kind").unwrap_or("-").to_owned(),
            |says| Printable(says).to_string(),
        ),
        match peer["certificate_days"].as_i64() {
            None => "-".to_owned(),
            Some(days) if days < EXPIRY_WARNING_DAYS => styled(WARN, format!("{days} days left")),
            Some(days) => format!("{days} days left"),
        },
        match text("/baseline_since") {
            None => "none yet".to_owned(),
            Some(_) if drift > 0 => styled(BAD, count(drift, "change")),
            Some(since) => format!("as since {}", since.get(..10).unwrap_or(since)),
        },
    ]
}

/// The lines that `status` has of a peer.
pub(super) fn status_lines(peer: &Value) -> Vec<String> {
    let text = |at: &str| peer.pointer(at).and_then(Value::as_str);
    let name = Printable(text("/peer").unwrap_or("?")).to_string();
    let Some(when) = text("/last/when").and_then(|when| when.parse().ok()) else { return vec![] };
    let answers = peer.pointer("/last/identity").is_some();
    let mut lines = vec![if answers {
        format!("{name}  {}  {} ago", styled(GOOD, "answers"), age(when))
    } else {
        let kind = text("/last/failure/kind").unwrap_or("?");
        let success = text("/last_success").and_then(|when| when.parse().ok());
        let success = success.map_or_else(|| "never".to_owned(), |when| format!("{} ago", age(when)));
        format!("{name}  {}  {} ago: {kind}; last success {success}", styled(BAD, "fails"), age(when))
    }];
    if let Some(days) = peer["certificate_days"].as_i64().filter(|days| *days < EXPIRY_WARNING_DAYS) {
        lines.push(styled(WARN, format!("{name}: its certificate ends in {days} days")));
    }
    for change in peer["drift"].as_array().into_iter().flatten() {
        let value = |key: &str| change[key].as_str().unwrap_or("nothing");
        let what = change["what"].as_str().unwrap_or("?");
        lines.push(styled(
            WARN,
            format!("{name} has changed: {what} was {}, is {}", value("was"), value("is")),
        ));
    }
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
