//! Which policy a starting daemon puts in force.

use super::{Options, enforcement::StartError};
use crate::{
    datapath::InForce,
    image::Card,
    policy::{self, Checked},
    state::{Action, Kind, Provisional, Store},
};

/// The policy to put in force, and why.
pub(super) struct Choice {
    pub(super) checked: Checked,
    pub(super) action: Action,
    /// It is in force already and ends by itself: what it is, so that nothing is swapped.
    pub(super) kept: Option<(Card, Provisional)>,
}

impl Choice {
    /// The configured file; unless an earlier daemon left a policy that still waits to be confirmed, or that nobody
    /// confirmed in time; or, where the file is bad, the last good policy.
    pub(super) fn make(options: &Options, store: &Store) -> Result<Self, StartError> {
        if let Some(provisional) = store.provisional()?
            && let Some(choice) = Self::provisional(options, store, &provisional)?
        {
            return Ok(choice);
        }
        let rejected = match policy::read(&options.policy) {
            Ok(checked) => return Ok(Self { checked, action: Action::Start, kept: None }),
            Err(rejected) => rejected,
        };
        let history = store.history()?;
        let last = history.iter().rev().find(|entry| entry.lasting());
        match last.map(|entry| store.read(&entry.sha256)) {
            Some(Ok(checked)) => {
                tracing::error!("{}", rejected.render(false));
                tracing::error!(
                    "{} is bad: the last good policy, {}, is put in force instead",
                    options.policy.display(),
                    checked.policy.name
                );
                Ok(Self { checked, action: Action::LastGood, kept: None })
            }
            _ => Err(rejected.into()),
        }
    }

    fn provisional(
        options: &Options,
        store: &Store,
        provisional: &Provisional,
    ) -> Result<Option<Self>, StartError> {
        let in_force = InForce::read(&options.pins)?;
        let until = in_force.as_ref().and_then(|in_force| in_force.until);
        let card = in_force.and_then(|in_force| in_force.image.card());
        let goes_on = until.is_some() && until == provisional.end();
        if let Some(card) = card.filter(|card| goes_on && card.sha256 == provisional.sha256) {
            let checked = store.read(&provisional.sha256)?;
            tracing::warn!("policy {} still ends by itself", card.policy);
            return Ok(Some(Self {
                checked,
                action: Action::Start,
                kept: Some((card, provisional.clone())),
            }));
        }
        if provisional.kind == Kind::Bypass {
            // What follows a bypass is the ordinary choice.
            return Ok(None);
        }
        tracing::error!("the applied policy was not confirmed in time: the one before it is put in force");
        let checked = store.read(&provisional.previous)?;
        Ok(Some(Self { checked, action: Action::RolledBack, kept: None }))
    }
}
