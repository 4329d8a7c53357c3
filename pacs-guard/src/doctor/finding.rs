//! A finding: one thing that the doctor saw, and what to do about it.

use std::fmt;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Good to know; nothing to do.
    Note,
    /// Somebody should look at it.
    Warn,
    /// Something does not work, or is open.
    Fail,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The policy file.
    Policy,
    /// The kernel's features.
    Kernel,
    /// The rights of the caller.
    Capabilities,
    /// The BPF file system.
    Bpffs,
    /// An interface of the policy.
    Interfaces,
    /// The protected ports and the ports of outgoing connections.
    Ports,
    /// The services that listen.
    Listeners,
    /// Ways by which a protected service is reached unjudged.
    WaysRound,
    /// Clock and service manager.
    Machine,
}

impl Group {
    /// The heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Kernel => "kernel",
            Self::Capabilities => "capabilities",
            Self::Bpffs => "BPF file system",
            Self::Interfaces => "interfaces",
            Self::Ports => "ports",
            Self::Listeners => "listeners",
            Self::WaysRound => "ways round the guard",
            Self::Machine => "machine",
        }
    }
}

/// One thing that the doctor saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing it is: stable, in kebab-case.
    pub id: &'static str,
    /// What it is about.
    pub group: Group,
    /// How much it matters.
    pub severity: Severity,
    /// Whether `pacs-guard run` would not enforce because of it.
    pub stops_enforcement: bool,
    /// What was seen.
    pub what: String,
    /// Why it matters; empty where all is well.
    pub why: String,
    /// A line to paste that ends it, where there is one.
    pub fix: Option<String>,
}

impl Finding {
    const fn new(group: Group, severity: Severity, id: &'static str, what: String, why: String) -> Self {
        Self { id, group, severity, stops_enforcement: false, what, why, fix: None }
    }

    /// As it should be.
    pub(super) fn ok(group: Group, id: &'static str, what: impl Into<String>) -> Self {
        Self::new(group, Severity::Ok, id, what.into(), String::new())
    }

    /// Good to know.
    pub(super) fn note(
        group: Group,
        id: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(group, Severity::Note, id, what.into(), why.into())
    }

    /// To be looked at.
    pub(super) fn warn(
        group: Group,
        id: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(group, Severity::Warn, id, what.into(), why.into())
    }

    /// Broken or open.
    pub(super) fn fail(
        group: Group,
        id: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(group, Severity::Fail, id, what.into(), why.into())
    }

    /// Broken, so that nothing would be enforced.
    pub(super) fn stop(
        group: Group,
        id: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self { stops_enforcement: true, ..Self::fail(group, id, what, why) }
    }

    /// With a line to paste.
    pub(super) fn fix(self, line: impl Into<String>) -> Self {
        Self { fix: Some(line.into()), ..self }
    }

    /// That there is no policy to judge this host by.
    pub fn no_policy(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::stop(Group::Policy, "no-policy", what, "what the policy would need was not looked at").fix(fix)
    }
}

impl fmt::Display for Finding {
    /// One line: what, why, and the fix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        self.fix.as_ref().map_or(Ok(()), |fix| write!(f, " (fix: `{fix}`)"))
    }
}
