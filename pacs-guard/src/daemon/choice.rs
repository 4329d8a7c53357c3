//! Which policy a starting daemon puts in force.

use super::{Options, error::StartError, fit::fit};
use crate::{
    datapath::InForce,
    image::Card,
    policy::{self, Checked},
    state::{Action, Entry, Kind, Provisional, Store},
};

/// The policy to put in force, and why.
pub(super) struct Choice {
    pub(super) checked: Checked,
    /// What the history says of it; nothing, where it knows the policy as the one in force.
    pub(super) action: Option<Action>,
    /// It is in force already and ends by itself: what it is, so that nothing is swapped.
    pub(super) kept: Option<(Card, Provisional)>,
}

impl Choice {
    /// The configured file; unless an earlier daemon left a policy that still waits to be confirmed, or that nobody
    /// confirmed in time; or, where the file is bad or does not fit this host, the last good policy.
    pub(super) fn make(options: &Options, store: &Store) -> Result<Self, StartError> {
        if let Some(choice) = Self::left(options, store) {
            return Ok(choice);
        }
        let history = store.history()?;
        let last = history.iter().rev().find(|entry| entry.lasting());
        let last_good = || last.map(|entry| store.read(&entry.sha256));
        if options.last_good {
            let checked = last_good().ok_or(StartError::NothingToRestore)??;
            return Ok(Self { checked, action: None, kept: None });
        }
        let file = options.policy.display();
        let known = |sha256: &str| history.iter().any(|entry| entry.lasting() && entry.sha256 == sha256);
        let read = policy::read(&options.policy).map_err(StartError::from).and_then(|checked| {
            let warnings = fit(&checked.policy, known(&checked.hash()))?;
            Ok((checked, warnings))
        });
        match read {
            Ok((checked, warnings)) => match last_good() {
                Some(Ok(last)) if superseded(&history, &checked.hash()) => {
                    tracing::warn!(
                        "{file} was replaced by policy {} before the daemon ended, and that stays in force: \
                         `pacs-guard reload` takes the file",
                        last.policy.name
                    );
                    Ok(Self { checked: last, action: Some(Action::Start), kept: None })
                }
                _ => {
                    if !warnings.is_empty() {
                        tracing::warn!("{warnings}");
                    }
                    Ok(Self { checked, action: Some(Action::Start), kept: None })
                }
            },
            Err(refused) => match last_good() {
                Some(Ok(checked)) => {
                    match &refused {
                        StartError::Invalid(rejected) => tracing::error!("{}", rejected.render(false)),
                        other => tracing::error!("{other}"),
                    }
                    tracing::error!(
                        "{file} is refused: the last good policy, {}, is put in force instead",
                        checked.policy.name
                    );
                    Ok(Self { checked, action: Some(Action::LastGood), kept: None })
                }
                Some(Err(why)) => {
                    tracing::error!("the last good policy can't be read: {why}");
                    Err(refused)
                }
                None => Err(refused),
            },
        }
    }

    /// What an earlier daemon left that ends by itself, or has ended.
    fn left(options: &Options, store: &Store) -> Option<Self> {
        let known = match store.provisional() {
            Ok(provisional) => provisional.map(|provisional| Self::provisional(options, store, &provisional)),
            Err(why) => Some(Err(why.into())),
        };
        known?.unwrap_or_else(|why| {
            tracing::error!("what was in force for a while is not known any more: {why}");
            None
        })
    }

    fn provisional(
        options: &Options,
        store: &Store,
        provisional: &Provisional,
    ) -> Result<Option<Self>, StartError> {
        let in_force = InForce::read(&options.pins)?;
        let until = in_force.as_ref().and_then(|in_force| in_force.until);
        let card = in_force.and_then(|in_force| in_force.image.card());
        let card = card.filter(|card| card.sha256 == provisional.sha256);
        let same_boot = provisional.end().is_some();
        match card {
            Some(card) if until.is_some() && until == provisional.end() => {
                tracing::warn!("policy {} still ends by itself", card.policy);
                let checked = store.read(&provisional.sha256)?;
                Ok(Some(Self {
                    checked,
                    action: Some(Action::Start),
                    kept: Some((card, provisional.clone())),
                }))
            }
            // Confirmed, and the daemon ended before it could write that down.
            Some(_) if same_boot && until.is_none() && provisional.kind == Kind::Unconfirmed => {
                let checked = store.read(&provisional.sha256)?;
                Ok(Some(Self { checked, action: Some(Action::Confirm), kept: None }))
            }
            // What follows a bypass is the ordinary choice.
            _ if provisional.kind == Kind::Bypass => Ok(None),
            _ => {
                tracing::error!(
                    "the applied policy was not confirmed in time: the one before it is put in force"
                );
                let checked = store.read(&provisional.previous)?;
                Ok(Some(Self { checked, action: Some(Action::RolledBack), kept: None }))
            }
        }
    }
}

/// Whether the policy with this hash was in force, and somebody then put another one in its place by hand: what a crash
/// must not undo.
fn superseded(history: &[Entry], sha256: &str) -> bool {
    let Some(last) = history.iter().rposition(|entry| entry.lasting()) else { return false };
    let (before, from) = history.split_at(last);
    let by_hand = [Action::Apply, Action::Enforce, Action::Confirm, Action::Rollback, Action::RolledBack];
    from.first().is_some_and(|last| by_hand.contains(&last.action) && last.sha256 != sha256)
        && before.iter().any(|entry| entry.sha256 == sha256)
}
