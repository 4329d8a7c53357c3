//! Enforcement: one policy on the interfaces, and the step from it to the next.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use pacs_guard_common::abi::Event;
use thiserror::Error;
use tokio::net::UnixListener;

use super::{
    Options,
    choice::Choice,
    put::{Put, Term, Wanted, answer, put, wanted},
};
use crate::{
    control::{self, Change, ReloadResult},
    datapath::{AttachError, Attached, BootTime, Datapath, DatapathError, EventStream, may_use_bpf},
    host::{HostError, Network, Uncovered},
    image::{Booking, Card, CompileError},
    interface::{self, InterfaceError},
    policy::{
        self, Checked, Rejected,
        model::{Policy, Transport},
    },
    state::{Action, Entry, Kind, Provisional, StateError, Store},
};

/// Why a policy is not put in force.
#[derive(Debug, Error)]
pub enum StartError {
    /// The policy is invalid.
    #[error("{0}")]
    Invalid(Box<Rejected>),
    /// Neither the policy nor the command line names an interface.
    #[error("no interface to guard: name it in the policy (`interfaces: [eth0]`) or by `--interface eth0`")]
    NoInterface,
    /// An interface is not there.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// An interface can't be guarded.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The policy can't be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Nobody could reach the daemon.
    #[error("the control socket {path} can't be opened: {why}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The state folder can't be used.
    #[error("the state folder: {0}")]
    State(#[from] StateError),
    /// There is nothing to confirm.
    #[error("nothing waits to be confirmed")]
    NothingToConfirm,
    /// No bypass is on.
    #[error("no bypass is on")]
    NoBypass,
    /// No such policy is known.
    #[error("the history knows no policy that far back: see `pacs-guard history`")]
    NoEarlier,
    /// Something waits to be confirmed.
    #[error("an applied policy waits to be confirmed: `pacs-guard confirm` or `pacs-guard rollback` first")]
    Unconfirmed,
    /// A bypass is on.
    #[error("a bypass is on: `pacs-guard bypass --end` first")]
    Bypassed,
    /// The kernel refuses.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
}

impl From<Rejected> for StartError {
    fn from(rejected: Rejected) -> Self {
        Self::Invalid(Box::new(rejected))
    }
}

/// A policy in force.
pub(super) struct Enforcement {
    options: Options,
    store: Store,
    datapath: Datapath,
    policy: Policy,
    card: Card,
    attached: Vec<Attached>,
    /// What the policy in force is, where it ends by itself.
    provisional: Option<Provisional>,
}

impl Enforcement {
    /// Opens the control socket and puts the policy in force, on what is pinned already or on new maps and links.
    pub(super) async fn start(options: &Options) -> Result<(Self, EventStream, UnixListener), StartError> {
        may_use_bpf()?;
        let store = Store::open(&options.state_dir)?;
        let choice = Choice::make(options, &store)?;
        if !choice.checked.warnings.is_empty() {
            tracing::warn!("{}", choice.checked.render(false));
        }
        let wanted = wanted(options, &choice.checked.policy, None).await?;
        let fresh = !options.pins.exist();
        match Self::first(options, store, choice, &wanted).await {
            // Nothing of ours was pinned before, so whatever is now is a left-over; unless it is another's.
            Err(why) if fresh && !matches!(why, StartError::Datapath(DatapathError::Locked(_))) => {
                if let Err(why) = options.pins.remove() {
                    tracing::error!("what was pinned stays pinned: {why}");
                }
                Err(why)
            }
            done => done,
        }
    }

    async fn first(
        options: &Options,
        store: Store,
        Choice { checked, action, kept: in_force }: Choice,
        wanted: &[Wanted],
    ) -> Result<(Self, EventStream, UnixListener), StartError> {
        let mut datapath = Datapath::open(options.pins.clone(), options.program_log)?;
        // The last thing that may be missing before anything is changed.
        let listener = control::bind(&options.socket)
            .await
            .map_err(|why| StartError::Socket { path: options.socket.clone(), why })?;
        let put = tokio::task::block_in_place(|| {
            let put = match &in_force {
                Some((card, _)) => {
                    let problems = answer(&mut datapath, wanted)?;
                    let unguarded = wanted.iter().filter(|wanted| !wanted.linked);
                    let attached = unguarded
                        .map(|wanted| datapath.attach(&wanted.interface, options.xdp_mode))
                        .collect::<Result<_, _>>()?;
                    Put { card: card.clone(), attached, problems }
                }
                None => put(&mut datapath, options, &checked, wanted, &Term::default())?,
            };
            let adopted = wanted.iter().filter(|wanted| wanted.linked);
            let adopted: Vec<Attached> = adopted
                .map(|wanted| datapath.adopt(&wanted.interface, options.xdp_mode))
                .collect::<Result<_, _>>()?;
            datapath.forget_other_layouts()?;
            Ok((put, adopted))
        });
        let (Put { card, mut attached, problems }, adopted) = put.inspect_err(|_: &StartError| {
            fs::remove_file(&options.socket).ok();
        })?;
        attached.extend(adopted);
        for problem in problems {
            tracing::warn!("{problem}");
        }
        for Attached { name, mode, adopted, .. } in &attached {
            let how = if *adopted { "adopted without a gap" } else { "attached" };
            tracing::info!("{name}: {how}, {} mode", mode.name());
        }
        tracing::info!("policy {} is in force ({})", card.policy, card.file);
        if let Some(log) = datapath.take_log() {
            std::thread::spawn(move || log.forward());
        }
        let events = datapath.take_events()?;
        let provisional = in_force.map(|(_, provisional)| provisional);
        let policy = checked.policy.clone();
        let this = Self { options: options.clone(), store, datapath, policy, card, attached, provisional };
        if this.provisional.is_none() {
            for problem in this.remember(&checked, action, None) {
                tracing::error!("{problem}");
            }
        }
        Ok((this, events, listener))
    }

    /// Changes what is in force. Whatever goes wrong, the old policy stays.
    pub(super) async fn change(&mut self, change: Change) -> ReloadResult {
        let start = Instant::now();
        match self.step(change).await {
            Ok((warnings, problems)) => ReloadResult::Loaded {
                policy: self.policy.name.clone(),
                generation: self.datapath.generation().unwrap_or_default(),
                until: self.end().map(BootTime::to_timestamp),
                took_us: start.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
                warnings,
                problems,
            },
            Err(StartError::Invalid(rejected)) => ReloadResult::Invalid {
                rendered: rejected.render(false),
                diagnostics: serde_json::to_value(&rejected.diagnostics).unwrap_or_default(),
            },
            Err(other) => ReloadResult::Failed { why: other.to_string() },
        }
    }

    async fn step(&mut self, change: Change) -> Result<(String, Vec<String>), StartError> {
        let kind = self.provisional.as_ref().map(|provisional| provisional.kind);
        match (change, kind) {
            (Change::Reload, None) => self.load(&self.options.policy.clone(), Action::Reload, None).await,
            (Change::Apply { file, confirm: None }, None) => self.load(&file, Action::Apply, None).await,
            (Change::Apply { file, confirm: Some(seconds) }, None) => {
                let term = Some((Kind::Unconfirmed, Duration::from_secs(seconds)));
                self.load(&file, Action::ApplyUnconfirmed, term).await
            }
            (Change::Bypass { seconds, reason }, None) => {
                let checked = self.store.read(&self.card.sha256)?;
                let term = Some((Kind::Bypass, Duration::from_secs(seconds)));
                self.put(checked, Action::Bypass, term, Some(reason)).await
            }
            (Change::Confirm, Some(Kind::Unconfirmed)) => self.settle(Action::Confirm, true).await,
            (Change::Rollback { .. }, Some(Kind::Unconfirmed)) => self.settle(Action::Rollback, false).await,
            (Change::EndBypass, Some(Kind::Bypass)) => self.settle(Action::BypassEnded, false).await,
            (Change::Rollback { steps }, None) => {
                let history = self.store.history()?;
                let entry = earlier(&history, steps).ok_or(StartError::NoEarlier)?;
                let checked = self.store.read(&entry.sha256)?;
                self.put(checked, Action::Rollback, None, None).await
            }
            (Change::Confirm, _) => Err(StartError::NothingToConfirm),
            (Change::EndBypass, _) => Err(StartError::NoBypass),
            (_, Some(Kind::Unconfirmed)) => Err(StartError::Unconfirmed),
            (_, Some(Kind::Bypass)) => Err(StartError::Bypassed),
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
                tracing::error!("nobody confirmed in time: policy {} is in force again", self.policy.name)
            }
            Err(why) => {
                // The program itself has gone back, and stays there.
                self.provisional = None;
                tracing::error!("the earlier policy is in force again, and can't be made lasting: {why}");
            }
        }
    }

    /// Ends what is provisional: keeps it, or goes back to what was before.
    async fn settle(&mut self, action: Action, keep: bool) -> Result<(String, Vec<String>), StartError> {
        let Some(provisional) = self.provisional.take() else { return Err(StartError::NothingToConfirm) };
        let sha256 = if keep { &provisional.sha256 } else { &provisional.previous };
        let done = match self.store.read(sha256) {
            Ok(checked) => self.put(checked, action, None, None).await,
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
        term: Option<(Kind, Duration)>,
    ) -> Result<(String, Vec<String>), StartError> {
        let checked = tokio::task::block_in_place(|| policy::read(file))?;
        self.put(checked, action, term, None).await
    }

    /// Puts a policy in force, for good or for a while.
    async fn put(
        &mut self,
        checked: Checked,
        action: Action,
        term: Option<(Kind, Duration)>,
        bypass: Option<String>,
    ) -> Result<(String, Vec<String>), StartError> {
        let mut left_out = Vec::new();
        let new = matches!(action, Action::Reload | Action::Apply | Action::ApplyUnconfirmed);
        let wanted =
            wanted(&self.options, &checked.policy, if new { None } else { Some(&mut left_out) }).await?;
        let until = term.map(|(_, duration)| BootTime::now().after(duration));
        let provisional = term
            .zip(until)
            .map(|((kind, _), end)| Provisional::new(kind, checked.hash(), self.card.sha256.clone(), end));
        if let Some(provisional) = &provisional {
            // On disk before it is in force: a daemon that dies in between finds nothing to go back from.
            self.store.keep(&checked)?;
            self.store.set_provisional(Some(provisional))?;
        }
        let term = Term { until, bypass };
        let put =
            tokio::task::block_in_place(|| put(&mut self.datapath, &self.options, &checked, &wanted, &term));
        let Put { card, attached, mut problems } = match put {
            Ok(put) => put,
            Err(why) => {
                if provisional.is_some() {
                    self.store.set_provisional(None)?;
                }
                return Err(why);
            }
        };
        problems.extend(left_out);
        let warnings = checked.render(false);
        self.card = card;
        self.policy = checked.policy.clone();
        self.provisional = provisional;
        problems.extend(self.remember(&checked, action, until.map(BootTime::to_timestamp)));
        self.forget_lost().await?;
        self.attached.retain(|old| attached.iter().all(|new| new.index != old.index));
        self.attached.extend(attached);
        for left in
            self.attached.iter().filter(|old| wanted.iter().all(|new| new.interface.index != old.index))
        {
            problems.push(format!(
                "{0} is no longer named and stays under guard: `pacs-guard detach {0}` ends that",
                left.name
            ));
        }
        Ok((warnings, problems))
    }

    /// Keeps the policy in force in the state folder. A full disk is told and stops nothing: the policy is in force.
    fn remember(&self, checked: &Checked, action: Action, until: Option<Timestamp>) -> Vec<String> {
        let generation = self.datapath.generation().unwrap_or_default();
        let keep = || {
            self.store.keep(checked)?;
            self.store.record(&Entry::new(action, &self.card, generation, until))?;
            if self.provisional.is_none() { self.store.set_provisional(None) } else { Ok(()) }
        };
        let done: Result<(), StateError> = keep();
        done.err()
            .map(|why| format!("the policy is in force and not remembered: {why}"))
            .into_iter()
            .collect()
    }

    /// Forgets the interfaces that went, or were detached by hand, so that a policy that names them attaches again.
    async fn forget_lost(&mut self) -> Result<(), StartError> {
        let known = interface::list().await?;
        self.attached.retain(|old| {
            let found = known.iter().find(|interface| interface.index == old.index);
            found.is_some_and(|found| Datapath::is_linked(&self.options.pins, found).unwrap_or(false))
        });
        Ok(())
    }

    /// Takes the program off every interface; their indices.
    pub(super) fn detach(&self) -> Result<Vec<u32>, DatapathError> {
        self.datapath.detach()
    }

    /// The interfaces by which a protected service is reached now and not judged.
    pub(super) async fn uncovered(&self) -> Result<Vec<Uncovered>, HostError> {
        let guarded: Vec<u32> = self.attached.iter().map(|attached| attached.index).collect();
        let services = || self.policy.services.iter().filter(|service| service.transport == Transport::Tcp);
        let protects =
            |port| services().any(|service| service.ports.iter().any(|range| range.contains(&port)));
        Ok(Network::look().await?.uncovered(&guarded, protects))
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
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

/// The policy that was in force so many policies ago. One that was put in force again counts once.
fn earlier(history: &[Entry], steps: usize) -> Option<&Entry> {
    let mut lasting: Vec<&Entry> = history.iter().filter(|entry| entry.lasting()).collect();
    lasting.dedup_by(|next, kept| next.sha256 == kept.sha256);
    lasting.into_iter().rev().nth(steps)
}
