//! The history: one entry for each time that another policy came into force.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::image::Card;

/// What brought a policy into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The daemon started.
    Start,
    /// The daemon started, and the configured file was bad: this is the last good policy.
    LastGood,
    /// The policy file was read again.
    Reload,
    /// Somebody applied a file.
    Apply,
    /// Somebody applied a file that still has to be confirmed.
    ApplyUnconfirmed,
    /// Somebody enforced what was in force in audit mode.
    Enforce,
    /// What was applied was confirmed.
    Confirm,
    /// Somebody went back.
    Rollback,
    /// Nobody confirmed in time.
    RolledBack,
    /// Break-glass: nothing is refused for a while.
    Bypass,
    /// The bypass ended.
    BypassEnded,
}

impl Action {
    /// The action's name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::LastGood => "last-good",
            Self::Reload => "reload",
            Self::Apply => "apply",
            Self::ApplyUnconfirmed => "apply-unconfirmed",
            Self::Enforce => "enforce",
            Self::Confirm => "confirm",
            Self::Rollback => "rollback",
            Self::RolledBack => "rolled-back",
            Self::Bypass => "bypass",
            Self::BypassEnded => "bypass-ended",
        }
    }
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What brought the policy into force.
    pub action: Action,
    /// The policy's name.
    pub policy: String,
    /// The hash of its text, by which the state folder keeps it.
    pub sha256: String,
    /// The file as it was named.
    pub file: String,
    /// The number of the generation.
    pub generation: u64,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Why, where somebody had to say so.
    pub reason: Option<String>,
}

impl Entry {
    /// The entry of a policy that came into force now.
    pub fn new(action: Action, card: &Card, generation: u64, until: Option<Timestamp>) -> Self {
        Self {
            at: card.loaded,
            action,
            policy: card.policy.clone(),
            sha256: card.sha256.clone(),
            file: card.file.clone(),
            generation,
            until,
            reason: card.bypass.clone(),
        }
    }

    /// Whether the policy was meant to stay.
    pub const fn lasting(&self) -> bool {
        self.until.is_none()
    }
}
