//! Enforcement: one policy on the interfaces, and the step from it to the next.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use pacs_guard_common::abi::Event;

use super::{
    Options,
    ends::Ends,
    error::{StartError, listed},
    fit::fit,
    put::{Put, Term, Wanted, put, wanted},
    watching::Watching,
};
use crate::{
    clock::Clock,
    control::{Change, ChangeResult, Readiness},
    datapath::{Attached, BootTime, Datapath, DatapathError, InForce},
    host::{HostError, Network, Uncovered},
    image::{Booking, Card, Enforces, Leaving, drained},
    interface,
    policy::{
        self, Checked,
        model::{Policy, Transport},
    },
    state::{Action, Entry, Kind, Provisional, StateError, Store},
};

/// How a policy is put in force.
#[derive(Clone, Debug, Default)]
struct Terms {
    /// What it is for a while, and how long.
    ends: Option<(Kind, Duration)>,
    /// How long connections go on that it would cut.
    drain: Option<Duration>,
    /// Why nothing of it is enforced.
    bypass: Option<String>,
}

/// A policy in force.
pub(super) struct Enforcement {
    pub(super) options: Options,
    pub(super) store: Store,
    pub(super) datapath: Datapath,
    pub(super) checked: Checked,
    pub(super) card: Card,
    pub(super) attached: Vec<Attached>,
    /// What the policy in force is, where it ends by itself.
    pub(super) provisional: Option<Provisional>,
    /// Whose connections go on for a while.
    pub(super) drain: Vec<Leaving>,
    /// When the policy in force was compiled; none where that was before this daemon.
    pub(super) compiled: Option<Clock>,
    pub(super) ends: Ends,
    pub(super) watching: Watching,
}

impl Enforcement {
    /// Changes what is in force. Whatever goes wrong, the old policy stays.
    pub(super) async fn change(&mut self, change: Change) -> ChangeResult {
        let start = Instant::now();
        if self.end().is_some_and(|end| end.remaining().is_zero()) {
            // The program has gone back already.
            self.expire().await;
        }
        match self.step(change).await {
            Ok((warnings, problems)) => ChangeResult::Loaded {
                policy: self.checked.policy.name.clone(),
                generation: self.datapath.generation().unwrap_or_default(),
                until: self.end().map(BootTime::to_timestamp),
                draining: self.card.draining.clone(),
                took_us: start.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
                warnings,
                problems,
            },
            Err(StartError::Invalid(rejected)) => ChangeResult::Invalid {
                rendered: rejected.render(false),
                diagnostics: serde_json::to_value(&rejected.diagnostics).unwrap_or_default(),
            },
            Err(StartError::Unfit(findings)) => ChangeResult::Unfit {
                rendered: listed(&findings) + "\n",
                findings: serde_json::to_value(&findings).unwrap_or_default(),
            },
            Err(other) => ChangeResult::Failed { why: other.to_string() },
        }
    }

    async fn step(&mut self, change: Change) -> Result<(String, Vec<String>), StartError> {
        let kind = self.provisional.as_ref().map(|provisional| provisional.kind);
        match (change, kind) {
            (Change::Reload, None) => {
                self.load(&self.options.policy.clone(), Action::Reload, Terms::default()).await
            }
            (Change::Apply { file, confirm, drain }, None) => {
                let action = if confirm.is_some() { Action::ApplyUnconfirmed } else { Action::Apply };
                let ends = confirm.map(|seconds| (Kind::Unconfirmed, Duration::from_secs(seconds)));
                let terms = Terms { ends, drain: drain.map(Duration::from_secs), bypass: None };
                self.load(&file, action, terms).await
            }
            (Change::Enforce { ready_after, confirm }, None) => self.enforce(ready_after, confirm).await,
            (Change::Bypass { seconds, reason }, None) => {
                let ends = Some((Kind::Bypass, Duration::from_secs(seconds)));
                let terms = Terms { ends, bypass: Some(reason), drain: None };
                self.put(self.checked.clone(), Action::Bypass, terms).await
            }
            (Change::Confirm, Some(Kind::Unconfirmed)) => self.settle(Action::Confirm, true).await,
            (Change::Rollback { .. }, Some(Kind::Unconfirmed)) => self.settle(Action::Rollback, false).await,
            (Change::EndBypass, Some(Kind::Bypass)) => self.settle(Action::BypassEnded, false).await,
            (Change::Rollback { steps }, None) => {
                let history = self.store.history()?;
                let sha256 = earlier(&history, &self.card.sha256, steps).ok_or(StartError::NoEarlier)?;
                let checked = self.store.read(sha256)?;
                self.put(checked, Action::Rollback, Terms::default()).await
            }
            (Change::Confirm, _) => Err(StartError::NothingToConfirm),
            (Change::EndBypass, _) => Err(StartError::NoBypass),
            (_, Some(Kind::Unconfirmed)) => Err(StartError::Unconfirmed),
            (_, Some(Kind::Bypass)) => Err(StartError::Bypassed),
        }
    }

    /// Enforces what is in force, where it would have dropped nothing for so many seconds.
    async fn enforce(
        &mut self,
        ready_after: u64,
        confirm: Option<u64>,
    ) -> Result<(String, Vec<String>), StartError> {
        if !self.readiness()?.ready(ready_after) {
            return Err(StartError::NotReady);
        }
        let checked = policy::enforced(&self.checked)?;
        let term = confirm.map(|seconds| (Kind::Unconfirmed, Duration::from_secs(seconds)));
        let action = if term.is_some() { Action::ApplyUnconfirmed } else { Action::Enforce };
        self.put(checked, action, Terms { ends: term, ..Terms::default() }).await
    }

    /// How long the policy in force would have dropped nothing.
    pub(super) fn readiness(&mut self) -> Result<Readiness, DatapathError> {
        self.watch(false);
        self.watching.readiness(&self.datapath, &self.card, &self.checked.policy)
    }

    /// Looks at what would have been dropped. An interface that was let go is a gap in the watch.
    pub(super) fn watch(&mut self, gap: bool) {
        let links = self.options.pins.links().unwrap_or_default();
        let gap = gap || self.attached.iter().any(|attached| !links.contains(&attached.index));
        if let Err(why) = self.watching.look(&self.datapath, &self.card, gap) {
            tracing::warn!("what would have been dropped is not known: {why}");
        }
    }

    /// When the policy in force ends by itself.
    pub(super) fn end(&self) -> Option<BootTime> {
        self.provisional.as_ref().and_then(Provisional::end)
    }

    /// Makes lasting what the program has put in force again by itself.
    pub(super) async fn expire(&mut self) {
        let Some(kind) = self.provisional.as_ref().map(|provisional| provisional.kind) else { return };
        let action = match kind {
            Kind::Unconfirmed => Action::RolledBack,
            Kind::Bypass => Action::BypassEnded,
        };
        match self.settle(action, false).await {
            Ok(_) if kind == Kind::Bypass => tracing::warn!("the bypass has ended: refusals drop again"),
            Ok(_) => {
                tracing::error!(
                    "nobody confirmed in time: policy {} is in force again",
                    self.checked.policy.name
                )
            }
            Err(why) => {
                tracing::error!("the earlier policy is in force again, and can't be made lasting: {why}");
                self.provisional = None;
                self.follow_the_program();
            }
        }
    }

    /// Takes over what the program has gone back to by itself, as far as it is known here.
    fn follow_the_program(&mut self) {
        let Ok(Some(in_force)) = InForce::read(&self.options.pins) else { return };
        let Some(card) = in_force.image.card() else { return };
        if let Ok(checked) = self.store.read(&card.sha256) {
            self.checked = checked;
        }
        self.card = card;
    }

    /// Ends what is provisional: keeps it, or goes back to what was before.
    async fn settle(&mut self, action: Action, keep: bool) -> Result<(String, Vec<String>), StartError> {
        let Some(provisional) = self.provisional.take() else { return Err(StartError::NothingToConfirm) };
        let sha256 = if keep { &provisional.sha256 } else { &provisional.previous };
        let done = match self.store.read(sha256) {
            Ok(checked) => self.put(checked, action, Terms::default()).await,
            Err(why) => Err(why.into()),
        };
        if done.is_err() {
            self.provisional = Some(provisional);
        }
        done
    }

    /// Reads a file and puts it in force, for good or for a while.
    async fn load(
        &mut self,
        file: &Path,
        action: Action,
        terms: Terms,
    ) -> Result<(String, Vec<String>), StartError> {
        let checked = tokio::task::block_in_place(|| policy::read(file))?;
        self.put(checked, action, terms).await
    }

    /// Puts a policy in force, for good or for a while.
    async fn put(
        &mut self,
        checked: Checked,
        action: Action,
        Terms { ends: term, drain, bypass }: Terms,
    ) -> Result<(String, Vec<String>), StartError> {
        let way_back =
            !matches!(action, Action::Reload | Action::Apply | Action::Enforce | Action::ApplyUnconfirmed);
        let mut warnings = checked.render(false);
        if !way_back {
            warnings += &fit(&checked.policy, checked.hash() == self.card.sha256)?;
        }
        let (wanted, left_out) = wanted(&self.options, &checked.policy, way_back).await?;
        let mut problems = left_out;
        let until = term.map(|(_, duration)| BootTime::now().after(duration));
        let provisional = term
            .zip(until)
            .map(|((kind, _), end)| Provisional::new(kind, checked.hash(), self.card.sha256.clone(), end));
        let (going_on, old) = (self.drain.clone(), Some(&self.checked.policy));
        let drain =
            tokio::task::block_in_place(|| drained(going_on, old, &checked.policy, drain, Clock::now()));
        // On disk before it is in force, for a restart goes on with it.
        if !drain.is_empty() {
            match self.store.set_drain(&drain) {
                Err(why) if !way_back => return Err(why.into()),
                Err(why) => problems.push(format!("a restart ends what drains before its time: {why}")),
                Ok(()) => {}
            }
        }
        if let Some(provisional) = &provisional {
            // On disk before it is in force: a daemon that dies in between finds nothing to go back from.
            match self.announce(&checked, provisional) {
                Err(why) if !way_back => return Err(why.into()),
                Err(why) => problems.push(format!("a restart ends it before its time: {why}")),
                Ok(()) => {}
            }
        }
        let term = Term { until, bypass, way_back, drain, kept: None };
        let put =
            tokio::task::block_in_place(|| put(&mut self.datapath, &self.options, &checked, &wanted, &term));
        let Put { card, clock, attached, problems: more } = match put {
            Ok(put) => put,
            Err(why) => {
                self.store.set_drain(&self.drain)?;
                if provisional.is_some() {
                    self.store.set_provisional(None)?;
                }
                return Err(why);
            }
        };
        // From here on the policy is in force, and whatever else goes wrong is told and changes nothing.
        problems.extend(more);
        if self.card.enforced && action == Action::Reload && card.enforces != Enforces::Everything {
            warnings += &format!(
                "warning: what was enforced by hand is not any more, for {} does not say `mode: enforce`\n",
                card.file
            );
        }
        self.card = card;
        self.checked = checked;
        self.provisional = provisional;
        (self.drain, self.compiled) = (term.drain, clock);
        problems.extend(self.remember(action, until.map(BootTime::to_timestamp)));
        self.forget_lost().await;
        let gap = !attached.is_empty();
        self.attached.retain(|old| attached.iter().all(|new| new.index != old.index));
        self.attached.extend(attached);
        problems.extend(self.unnamed(&wanted));
        self.watch(gap);
        Ok((warnings, problems))
    }

    /// Writes down what will be in force for a while, and makes sure that the policy before it is kept.
    fn announce(&self, checked: &Checked, provisional: &Provisional) -> Result<(), StateError> {
        self.store.keep(&self.checked)?;
        self.store.keep(checked)?;
        self.store.set_provisional(Some(provisional))
    }

    /// Keeps the policy in force in the state folder. A full disk is told and stops nothing: the policy is in force.
    pub(super) fn remember(&self, action: Action, until: Option<Timestamp>) -> Vec<String> {
        let generation = self.datapath.generation().unwrap_or_default();
        // First of all, for a start that finds it would go back.
        let settled = if self.provisional.is_none() { self.store.set_provisional(None) } else { Ok(()) };
        let drained = self.store.set_drain(&self.drain);
        let kept = self.store.keep(&self.checked);
        let recorded = self.store.record(&Entry::new(action, &self.card, generation, until));
        let failed = [settled, drained, kept, recorded].into_iter().filter_map(Result::err);
        failed.map(|why| format!("the policy is in force and not remembered: {why}")).collect()
    }

    /// The interfaces that are under guard and that the policy does not name.
    pub(super) fn unnamed(&self, wanted: &[Wanted]) -> Vec<String> {
        let named = |index| wanted.iter().any(|wanted| wanted.interface.index == index);
        let unnamed = self.attached.iter().filter(|attached| !named(attached.index));
        unnamed
            .map(|Attached { name, .. }| {
                format!("{name} is not named and stays under guard: `pacs-guard detach {name}` ends that")
            })
            .collect()
    }

    /// Forgets the interfaces that went, or were detached by hand, so that a policy that names them attaches again.
    async fn forget_lost(&mut self) {
        let Ok(known) = interface::list().await else { return };
        self.attached.retain(|old| {
            let found = known.iter().find(|interface| interface.index == old.index);
            found.is_some_and(|found| Datapath::is_linked(&self.options.pins, found).unwrap_or(false))
        });
    }

    /// Takes the program off every interface; their indices.
    pub(super) fn detach(&self) -> Result<Vec<u32>, DatapathError> {
        self.datapath.detach()
    }

    /// The interfaces by which a protected service is reached now and not judged.
    pub(super) async fn uncovered(&self) -> Result<Vec<Uncovered>, HostError> {
        let guarded: Vec<u32> = self.attached.iter().map(|attached| attached.index).collect();
        let services =
            || self.checked.policy.services.iter().filter(|service| service.transport == Transport::Tcp);
        let protects =
            |port| services().any(|service| service.ports.iter().any(|range| range.contains(&port)));
        Ok(Network::look().await?.uncovered(&guarded, protects))
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.checked.policy
    }

    /// The names of the guarded interfaces.
    pub(super) fn names(&self) -> Vec<&str> {
        self.attached.iter().map(|attached| attached.name.as_str()).collect()
    }

    /// What an event's counter counts.
    pub(super) fn booking(&self, event: &Event) -> Option<Booking> {
        self.datapath.ledger().booking(event.ruling.counter)
    }

    /// Whether some file is unlike the policy in force; `None` where it can't be read.
    pub(super) fn file_differs(&self) -> Option<bool> {
        Some(policy::hash(&self.options.policy).ok()? != self.card.sha256)
    }
}

/// The hash of the policy that was in force so many policies ago. One that was put in force again counts once, and the
/// one in force counts also where a full disk kept it out of the history.
fn earlier<'a>(history: &'a [Entry], in_force: &'a str, steps: usize) -> Option<&'a str> {
    let lasting = history.iter().filter(|entry| entry.lasting()).map(|entry| entry.sha256.as_str());
    let mut hashes: Vec<&str> = lasting.chain([in_force]).collect();
    hashes.dedup();
    hashes.into_iter().rev().nth(steps)
}
