//! The layer that is likely at fault where a peer and the archive do not get together.

use std::fmt;

use pacs_guard_common::verdict::Verdict;
use serde::Serialize;

use super::terminal::lasting;

/// What can be seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Symptoms {
    /// What the policy in force does to the source's packets.
    pub(super) verdict: Verdict,
    /// How many seconds ago the source began its last connection that passed.
    pub(super) passed: Option<u64>,
    /// How many seconds ago it was refused last.
    pub(super) refused: Option<u64>,
    /// Whether it has a connection now.
    pub(super) connected: bool,
    /// Whether something listens on the port here; `None` where that is not known.
    pub(super) listens: Option<bool>,
    /// What the peer itself says to a C-ECHO; `None` where it was not asked.
    pub(super) echo: Option<Echo>,
}

/// What a peer says to a C-ECHO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// It answers.
    Answers,
    /// It knows one of the two AE titles not: the reason.
    RefusesTitle(String),
    /// Something else: what.
    Fails(String),
}

/// Where to look first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "layer", rename_all = "kebab-case")]
pub(super) enum Layer {
    /// The policy refuses the source.
    Policy,
    /// Nobody takes connections.
    Listener,
    /// The peer refuses an AE title.
    PeerTitle { reason: String },
    /// The policy lets it in by now, and it has not come since.
    NotSince { refused_seconds: u64 },
    /// Nothing arrives, and the peer can be reached.
    PeerTarget,
    /// Nothing arrives.
    Network,
    /// The port is not judged, so nothing is kept of who comes.
    NotJudged,
    /// Packets pass, and the peer itself fails.
    Peer { failure: String },
    /// Packets pass.
    Association { last_seconds: Option<u64> },
}

/// The layer that the symptoms point to: the first that is certain, from the policy outwards.
pub(super) fn likely(symptoms: &Symptoms) -> Layer {
    let Symptoms { verdict, passed, refused, connected, listens, echo } = symptoms;
    let arrived = passed.is_some() || *connected;
    match (verdict, echo) {
        (Verdict::Drop, _) => Layer::Policy,
        _ if *listens == Some(false) => Layer::Listener,
        (_, Some(Echo::RefusesTitle(reason))) => Layer::PeerTitle { reason: reason.clone() },
        (Verdict::Pass, _) if !arrived => Layer::NotJudged,
        _ if !arrived && refused.is_some() => Layer::NotSince { refused_seconds: refused.unwrap_or(0) },
        (_, Some(Echo::Answers)) if !arrived => Layer::PeerTarget,
        _ if !arrived => Layer::Network,
        (_, Some(Echo::Fails(failure))) => Layer::Peer { failure: failure.clone() },
        _ => Layer::Association { last_seconds: *passed },
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str("the policy refuses it: the line above decides"),
            Self::Listener => f.write_str("packets pass, and nobody listens on that port here: start the archive"),
            Self::PeerTitle { reason } => write!(f, "the peer refuses our AE title: {reason}"),
            Self::NotSince { refused_seconds } => write!(
                f,
                "it was refused {} ago, and has not come again since the policy lets it in: try again",
                lasting(*refused_seconds)
            ),
            Self::PeerTarget => f.write_str(
                "the peer answers us, and nothing from it has arrived: look at the address and port that it sends to",
            ),
            Self::Network => f.write_str(
                "nothing from it has arrived on this interface: routing, a firewall before us or a wrong address",
            ),
            Self::NotJudged => f.write_str("the guard does not judge this port and is in nobody's way"),
            Self::Peer { failure } => write!(f, "packets pass; the peer itself {failure}"),
            Self::Association { last_seconds } => {
                f.write_str("packets pass")?;
                if let Some(seconds) = last_seconds {
                    write!(f, ", the last connection began {} ago", lasting(*seconds))?;
                }
                f.write_str("; if the association fails look at AE titles")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symptoms_point_to_layers() {
        let well = Symptoms {
            verdict: Verdict::Allow,
            passed: Some(61),
            refused: None,
            connected: false,
            listens: Some(true),
            echo: None,
        };
        let with = |change: fn(&mut Symptoms)| {
            let mut symptoms = well.clone();
            change(&mut symptoms);
            symptoms
        };
        let title = || "called AE title not recognised".to_owned();
        let cases = [
            (well.clone(), "packets pass, the last connection began 1m 1s ago; if the association fails"),
            (with(|s| s.verdict = Verdict::WouldDrop), "packets pass, the last"),
            (with(|s| s.verdict = Verdict::Drop), "the policy refuses it"),
            (with(|s| (s.verdict, s.listens) = (Verdict::Drop, Some(false))), "the policy refuses it"),
            (with(|s| s.listens = Some(false)), "packets pass, and nobody listens"),
            (with(|s| s.listens = None), "packets pass, the last"),
            (with(|s| s.passed = None), "nothing from it has arrived"),
            (with(|s| (s.passed, s.connected) = (None, true)), "packets pass; if the association fails"),
            (with(|s| (s.passed, s.refused) = (None, Some(5))), "it was refused 5s ago"),
            (with(|s| (s.passed, s.echo) = (None, Some(Echo::Answers))), "the peer answers us, and nothing"),
            (
                with(|s| (s.passed, s.echo) = (None, Some(Echo::Fails("refuses the connection".into())))),
                "nothing from it has arrived",
            ),
            (with(|s| s.echo = Some(Echo::Answers)), "packets pass, the last"),
            (
                with(|s| s.echo = Some(Echo::Fails("refuses the connection".into()))),
                "packets pass; the peer itself refuses the connection",
            ),
            (
                Symptoms { echo: Some(Echo::RefusesTitle(title())), ..well.clone() },
                "the peer refuses our AE title: called AE title not recognised",
            ),
            (
                Symptoms { echo: Some(Echo::RefusesTitle(title())), listens: Some(false), ..well.clone() },
                "packets pass, and nobody listens",
            ),
            (with(|s| (s.verdict, s.passed) = (Verdict::Pass, None)), "the guard does not judge this port"),
            (with(|s| (s.verdict, s.connected) = (Verdict::Pass, true)), "packets pass"),
        ];
        for (symptoms, words) in cases {
            let found = likely(&symptoms).to_string();
            assert!(found.starts_with(words), "{symptoms:?}: {found}");
        }
    }
}
