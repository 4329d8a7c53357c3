//! Health: what of a reading somebody should look at, for Nagios and Checkmk.

use jiff::Timestamp;
use serde::Serialize;

use super::{Scrape, State};
use crate::{
    control::ChangeResult,
    datapath::XdpMode,
    echo::{EXPIRY_WARNING_DAYS, Printable, in_words},
};

/// How bad it is, with the exit code of the monitoring plug-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok = 0,
    /// Somebody should look, in working hours.
    Warning = 1,
    /// Packets pass that the policy refuses.
    Critical = 2,
    /// Nothing can be said.
    Unknown = 3,
}

impl Level {
    /// The word of the monitoring plug-ins.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is.
    pub what: String,
}

/// What there is to look at, the worst first; empty where all is well.
pub fn health(scrape: &Scrape) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |level, what: String| findings.push(Finding { level, what });
    let reading = &scrape.reading;
    match reading.state {
        State::NotEnforcing => find(Level::Critical, "nothing is enforced".into()),
        State::Bypass => find(Level::Warning, "a bypass is on: nothing is refused".into()),
        State::Audit => find(Level::Warning, "audit mode: nothing is refused".into()),
        State::Enforcing | State::PartlyAudit => {}
    }
    for guarded in &reading.interfaces {
        if !guarded.attached {
            find(Level::Critical, format!("{} is not guarded any more", guarded.name));
        } else if guarded.mode == Some(XdpMode::Generic) {
            find(Level::Warning, format!("{} runs in generic mode, which is slow", guarded.name));
        }
    }
    for open in &reading.uncovered {
        find(Level::Warning, open.to_string());
    }
    let Some(daemon) = &scrape.daemon else {
        find(Level::Warning, "no daemon answers".into());
        return sorted(findings);
    };
    match daemon.file_differs {
        Some(true) => find(Level::Warning, format!("{} differs from what is in force", daemon.policy_file)),
        None => find(Level::Warning, format!("{} can't be read", daemon.policy_file)),
        Some(false) => {}
    }
    match daemon.last_change.as_ref().map(|report| &report.result) {
        Some(ChangeResult::Loaded { problems, .. }) => {
            problems.iter().for_each(|problem| find(Level::Warning, problem.clone()));
        }
        Some(ChangeResult::Invalid { .. }) => find(Level::Warning, "the last change was invalid".into()),
        Some(ChangeResult::Unfit { .. }) => {
            find(Level::Warning, "the last change was refused: it does not fit this host".into());
        }
        Some(ChangeResult::Failed { why }) => find(Level::Warning, format!("the last change failed: {why}")),
        None => {}
    }
    let days = daemon.web.as_ref().and_then(|web| web.certificate_days(Timestamp::now()));
    if let Some(days) = days.filter(|days| *days < EXPIRY_WARNING_DAYS) {
        find(Level::Warning, format!("the certificate of the status page ends in {days} days"));
    }
    for peer in &daemon.peers {
        let name = Printable(&peer.peer);
        if peer.answers == Some(false) {
            find(Level::Warning, format!("peer {name} does not answer C-ECHO"));
        }
        if !peer.drift.is_empty() {
            find(Level::Warning, format!("peer {name} has changed: {}", in_words(&peer.drift)));
        }
        if let Some(days) = peer.certificate_days(Timestamp::now()).filter(|days| *days < EXPIRY_WARNING_DAYS)
        {
            find(Level::Warning, format!("peer {name}: its certificate ends in {days} days"));
        }
    }
    sorted(findings)
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}
