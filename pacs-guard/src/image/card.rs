//! The card of an image: which policy it was made from, kept in the image itself.

use std::{fmt, ops::RangeInclusive};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    boot_time::BootTime,
    policy::{
        Checked,
        model::{Mode, Policy},
    },
    span,
};

/// Names the policy that an image was compiled from.
///
/// It lies in the kernel with the rest of the image, so that `status` shows what is in force even where no
/// daemon runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The policy's name.
    pub policy: String,
    /// The file or folder as it was named when it was loaded.
    pub file: String,
    /// [`Checked::hash`] of the policy, 64 digits in lower-case hex: the SHA-256 of its text, unless it is enforced by
    /// hand.
    pub sha256: String,
    /// When the policy was compiled.
    pub loaded: Timestamp,
    /// The modes that the policy states anywhere, to say at a glance what is enforced.
    pub enforces: Enforces,
    /// Why nothing is refused for a while, where that is so: somebody broke the glass.
    pub bypass: Option<String>,
    /// Whether it is enforced by hand, whatever mode its text states.
    #[serde(default)]
    pub enforced: bool,
    /// Segments in the policy.
    pub segments: usize,
    /// Services in the policy.
    pub services: usize,
    /// Source prefixes in the policy.
    pub sources: usize,
    /// The segments that end by themselves, in the order of their ends.
    #[serde(default)]
    pub ends: Vec<SegmentEnd>,
    /// Whose connections go on for a while.
    #[serde(default)]
    pub draining: Vec<Draining>,
}

/// A segment that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEnd {
    /// Its name.
    pub segment: String,
    /// When.
    pub until: Timestamp,
}

impl SegmentEnd {
    /// The segments of a policy that end, the first to end first.
    pub fn all(policy: &Policy) -> Vec<Self> {
        let ending = policy.segments.iter().filter_map(|segment| Some((&segment.name, segment.until?)));
        let mut ends: Vec<Self> = ending.map(|(name, until)| Self { segment: name.clone(), until }).collect();
        ends.sort_by_key(|end| end.until);
        ends
    }
}

impl fmt::Display for SegmentEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, until } = self;
        let verb = if *until > Timestamp::now() { "ends" } else { "ended" };
        write!(f, "segment {segment} {verb} {}, at {until}", span::from_now(*until))
    }
}

/// Sources whose connections go on for a while, though the policy refuses them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// The segment that granted them the service; none where nothing refused them.
    pub segment: Option<String>,
    /// The service.
    pub service: String,
    /// The service's ports that they had.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Until when, in nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub end: BootTime,
}

/// How much of a policy is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforces {
    /// Every refusal drops.
    Everything,
    /// Some refusals drop, others are only reported.
    Some,
    /// No refusal drops.
    Nothing,
}

impl Enforces {
    /// How much a policy enforces, as it is written.
    pub(crate) fn of(policy: &Policy) -> Self {
        let services = policy.services.iter().map(|service| service.mode.unwrap_or(policy.mode));
        let mut modes: Vec<Mode> =
            services.chain(policy.segments.iter().filter_map(|segment| segment.mode)).collect();
        modes.dedup();
        match modes.as_slice() {
            // What can't be parsed is dropped in the policy's own mode.
            [Mode::Audit] | [] if policy.mode == Mode::Enforce => Self::Some,
            [Mode::Enforce] => Self::Everything,
            [Mode::Audit] | [] => Self::Nothing,
            _ => Self::Some,
        }
    }
}

impl fmt::Display for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.ports.iter().map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        });
        let ports = ports.collect::<Vec<_>>().join(", ");
        let whose = self.segment.as_deref().unwrap_or("sources in no segment");
        let left = span::words(self.end.remaining());
        write!(f, "connections of {whose} to {} ({ports}) go on for {left}", self.service)
    }
}

impl Card {
    /// The card of a policy that is compiled now, as it is written or, for a reason, with nothing refused.
    pub fn new(checked: &Checked, now: Timestamp, bypass: Option<String>) -> Self {
        let Checked { policy, path, .. } = checked;
        Self {
            policy: policy.name.clone(),
            file: path.display().to_string(),
            sha256: checked.hash(),
            loaded: now,
            enforces: if bypass.is_some() { Enforces::Nothing } else { Enforces::of(policy) },
            bypass,
            enforced: checked.enforced,
            segments: policy.segments.len(),
            services: policy.services.len(),
            sources: policy.segments.iter().map(|segment| segment.sources.len()).sum(),
            ends: SegmentEnd::all(policy),
            draining: Vec::new(),
        }
    }
}
