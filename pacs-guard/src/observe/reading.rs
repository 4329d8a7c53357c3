//! A reading: what is in force, as the kernel holds it, with no daemon asked.

use pacs_guard_common::{abi::CounterId, verdict::Verdict};
use serde::Serialize;
use thiserror::Error;

use crate::{
    datapath::{Counters, DatapathError, Outline, Pins, XdpMode, linked_program},
    host::{HostError, Network, Uncovered},
    image::{Card, Enforces},
};

/// Why there is no reading.
#[derive(Debug, Error)]
pub enum ReadingError {
    /// The maps can't be read.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The host's interfaces can't be listed.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The word at the head of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Every refusal drops.
    Enforcing,
    /// Some refusals drop, others are only reported.
    PartlyAudit,
    /// No refusal drops.
    Audit,
    /// Somebody broke the glass: nothing is refused for a while.
    Bypass,
    /// Nothing is judged.
    NotEnforcing,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Enforcing, Self::PartlyAudit, Self::Audit, Self::Bypass, Self::NotEnforcing];

    /// The state's name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforcing => "enforcing",
            Self::PartlyAudit => "partly-audit",
            Self::Audit => "audit",
            Self::Bypass => "bypass",
            Self::NotEnforcing => "not-enforcing",
        }
    }

    fn of(card: Option<&Card>, interfaces: &[Guarded]) -> Self {
        match card {
            Some(card) if interfaces.iter().any(|interface| interface.attached) => match card.enforces {
                Enforces::Nothing if card.bypass.is_some() => Self::Bypass,
                Enforces::Everything => Self::Enforcing,
                Enforces::Some => Self::PartlyAudit,
                Enforces::Nothing => Self::Audit,
            },
            _ => Self::NotEnforcing,
        }
    }
}

/// An interface with a pinned link.
#[derive(Clone, Debug, Serialize)]
pub struct Guarded {
    /// Its name; such as `index-2` where it is no more, by which `detach` knows it.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// The mode that XDP runs in on it.
    pub mode: Option<XdpMode>,
    /// Whether the program on the interface is the one on our link.
    pub attached: bool,
}

/// Packets by what happened to them, and what of it was told.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    /// Granted by a segment.
    pub allowed: u64,
    /// Refused.
    pub dropped: u64,
    /// Would be refused in enforce mode.
    pub would_drop: u64,
    /// Not judged.
    pub passed: u64,
    /// Events left out for the second's budget.
    pub events_suppressed: u64,
    /// Events lost to a full ring.
    pub events_lost: u64,
}

impl From<&Counters> for Totals {
    fn from(counters: &Counters) -> Self {
        let mut totals = Self {
            events_suppressed: counters.packets(CounterId::EVENTS_SUPPRESSED),
            events_lost: counters.packets(CounterId::EVENTS_LOST),
            ..Self::default()
        };
        for (_, booking, packets) in counters.entries() {
            *match booking.verdict {
                Verdict::Allow => &mut totals.allowed,
                Verdict::Drop => &mut totals.dropped,
                Verdict::WouldDrop => &mut totals.would_drop,
                Verdict::Pass => &mut totals.passed,
            } += packets;
        }
        totals
    }
}

/// What is in force here.
#[derive(Clone, Debug)]
pub struct Reading {
    /// In one word.
    pub state: State,
    /// The generation in force.
    pub outline: Option<Outline>,
    /// What names its policy.
    pub card: Option<Card>,
    /// The interfaces under guard.
    pub interfaces: Vec<Guarded>,
    /// The ways round the guard.
    pub uncovered: Vec<Uncovered>,
    /// The counters, where there are any.
    pub counters: Option<Counters>,
}

impl Reading {
    /// Reads the pins and asks netlink: a few dozen system calls, however large the policy is.
    ///
    /// # Errors
    /// Where the caller may not look, or the kernel does not answer.
    pub async fn take(pins: &Pins) -> Result<Self, ReadingError> {
        let network = Network::look().await?;
        let outline = Outline::read(pins)?;
        let card = outline.as_ref().and_then(Outline::card);
        let interfaces = guarded(pins, &network)?;
        let uncovered = outline.as_ref().map_or_else(Vec::new, |outline| {
            let attached: Vec<u32> =
                interfaces.iter().filter(|guarded| guarded.attached).map(|guarded| guarded.index).collect();
            network.uncovered(&attached, |port| outline.protects_tcp(port))
        });
        let state = State::of(card.as_ref(), &interfaces);
        Ok(Self { state, outline, card, interfaces, uncovered, counters: Counters::read(pins)? })
    }

    /// The sums over all counters.
    pub fn totals(&self) -> Totals {
        self.counters.as_ref().map(Totals::from).unwrap_or_default()
    }
}

fn guarded(pins: &Pins, network: &Network) -> Result<Vec<Guarded>, DatapathError> {
    let mut guarded = Vec::new();
    for index in pins.links()? {
        let found = network.interface(index);
        let program = linked_program(pins, index)?;
        guarded.push(Guarded {
            name: found.map_or_else(|| format!("index-{index}"), |interface| interface.name.clone()),
            index,
            mode: found.and_then(|interface| interface.xdp_mode),
            attached: found.is_some_and(|interface| program.is_some() && interface.xdp_program == program),
        });
    }
    Ok(guarded)
}
