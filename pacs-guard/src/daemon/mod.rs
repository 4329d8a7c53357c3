//! The daemon: puts a policy in force, keeps it so, and answers for it.

mod choice;
mod ends;
mod enforcement;
mod error;
mod event_log;
mod file_watch;
mod fit;
mod journal;
mod learning;
mod look;
mod put;
mod start;
mod tell;
mod watching;

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use anyhow::Context;
use jiff::Timestamp;
use pacs_guard_common::abi::Event;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    control::{self, Change, ChangeReport, ChangeResult, DaemonStatus, Request},
    datapath::{BootTime, DatapathError, EventStream, LogLevel, Pins, XdpChoice},
    echo::{Accepted, Baselines, Report, Schedule, ScheduledPeer, Standings, in_words},
    observe::{self, MetricsAddress, Tally},
    policy::{self, model::Policy},
    seen::SeenRecord,
    state::StateError,
    web::{self, Place, Reach, Served},
};
use enforcement::Enforcement;
use event_log::EventLog;
use learning::{EVERY, Learning};
use tell::tell;

pub use error::StartError;

/// What the daemon is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The policy file.
    pub policy: PathBuf,
    /// Interfaces that stand in for the policy's own.
    pub interfaces: Vec<String>,
    /// The XDP mode.
    pub xdp_mode: XdpChoice,
    /// Where maps and links are pinned.
    pub pins: Pins,
    /// Where history and last good policy are kept.
    pub state_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Whether the policy's files are watched, and read again by themselves.
    pub watch: bool,
    /// Whether a clean end takes the program off the interfaces.
    pub detach: bool,
    /// What the XDP program logs.
    pub program_log: LogLevel,
    /// Where metrics are served.
    pub metrics: MetricsAddress,
    /// Where the status page is served, if anywhere.
    pub web: Option<Place>,
    /// Whether the last good policy is put in force, with no look at the file.
    pub last_good: bool,
}

/// How often the counters are looked at for what would have been dropped.
const WATCH_INTERVAL: Duration = Duration::from_secs(60);

/// Events that may wait for the daemon while it reloads; what does not fit waits in the ring.
const EVENT_QUEUE: usize = 4096;

/// Runs until SIGTERM or SIGINT. What is in force then stays in force, unless `detach` is asked for.
///
/// # Errors
/// Where the policy can't be put in force. What was in force before stays so.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;

    // Before the files are read for the first time, or a change in between would be missed.
    let mut files = match options.watch {
        true => file_watch::start(&options.policy)
            .with_context(|| format!("{} can't be watched", options.policy.display()))?,
        false => mpsc::channel(1).1,
    };
    let tried = if options.watch { policy::hash(&options.policy).ok() } else { None };
    let (mut enforcement, events, listener) = Enforcement::start(&options).await?;
    warn_of_ways_round(&enforcement).await;
    let (control, mut requests) = mpsc::channel(16);
    serve_metrics(&options, &control).await;
    let web = match &options.web {
        Some(place) => web::start(place, &options.pins, &options.state_dir, &control).await,
        None => None,
    };
    tokio::spawn(control::serve(listener, control));

    let mut events = read_events(events)?;
    let mut event_log = EventLog::new();
    let (peers, watched) = watch::channel(scheduled(enforcement.policy()));
    let (send_report, mut reports) = mpsc::channel(16);
    tokio::spawn(Schedule::default().run(watched, send_report));

    let mut daemon = Daemon::new(options, enforcement.policy(), tried, web);
    let mut ends = interval(Duration::from_secs(1));
    ends.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = interval(WATCH_INTERVAL);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    notify(NotifyState::Ready);
    let mut keep = interval(EVERY);
    let mut watchdog = sd_notify::watchdog_enabled().map(|within| interval(within / 3));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                daemon.change(&mut enforcement, Change::Reload, &peers).await;
            }
            Some(()) = files.recv() => daemon.look(&mut enforcement, &peers).await,
            _ = ends.tick(), if enforcement.is_to_end() => enforcement.look(),
            () = ended(enforcement.end()) => {
                enforcement.expire().await;
                daemon.follow(enforcement.policy(), &peers);
            }
            Some(request) = requests.recv() => match request {
                // An asker that is gone needs no answer.
                Request::Status(reply) => { reply.send(daemon.status(&enforcement, &event_log)).ok(); }
                Request::Reach(reply) => { reply.send(Reach::of(enforcement.policy())).ok(); }
                Request::Change(change, reply) => {
                    reply.send(daemon.change(&mut enforcement, change, &peers).await).ok();
                }
                Request::Seen(reply) => {
                    // As many as 32,768 entries, each a few system calls: not in the way of events.
                    let pins = daemon.options.pins.clone();
                    tokio::task::spawn_blocking(move || {
                        reply.send(SeenRecord::read(&pins).map_err(|why| why.to_string())).ok();
                    });
                }
                Request::Learn(seconds, reply) => {
                    let until = tokio::task::block_in_place(|| daemon.learning.order(seconds));
                    reply.send(until.map(|until| control::Learning { until })).ok();
                }
                Request::AcceptPeer(name, reply) => { reply.send(daemon.accept(&name)).ok(); }
                Request::Ready(reply) => {
                    reply.send(enforcement.readiness().map_err(|why| why.to_string())).ok();
                }
                Request::Events(reply) => { reply.send(event_log.open()).ok(); }
            },
            _ = watch.tick() => enforcement.watch(false),
            Some(event) = events.recv() => event_log.record(&event, enforcement.booking(&event)),
            Some(report) = reports.recv() => daemon.heard(&report),
            _ = keep.tick() => tokio::task::block_in_place(|| daemon.learning.keep()),
            // Said by this loop and by nobody else: a daemon whose loop hangs is started again.
            Some(_) = tick(&mut watchdog) => notify(NotifyState::Watchdog),
        }
    }
    daemon.learning.keep();
    daemon.end(&enforcement)
}

/// Puts the last good policy in force on those of its interfaces that are there, and leaves it so; their names.
///
/// # Errors
/// Where there is none, or it can't be put in force.
pub async fn restore(options: Options) -> Result<Vec<String>, StartError> {
    let (enforcement, _, listener) = Enforcement::start(&options).await?;
    drop(listener);
    std::fs::remove_file(&options.socket).ok();
    Ok(enforcement.names().into_iter().map(str::to_owned).collect())
}

struct Daemon {
    started: Timestamp,
    last_change: Option<ChangeReport>,
    /// The hash of the files as the watch saw them last; `None` where they could not be read.
    tried: Option<String>,
    baselines: Baselines,
    peers: Standings,
    tally: Tally,
    learning: Learning,
    web: Option<Served>,
    options: Options,
}

impl Daemon {
    fn new(options: Options, policy: &Policy, tried: Option<String>, web: Option<Served>) -> Self {
        // Enforcement never depends on what is known of peers.
        let baselines = Baselines::open(&options.state_dir).unwrap_or_else(|why| {
            tracing::error!("what the peers said of themselves is not known, and not kept: {why}");
            Baselines::default()
        });
        let mut peers = Standings::default();
        peers.follow(&policy.peers, &baselines);
        let learning = Learning::resume(options.state_dir.clone(), options.pins.clone());
        Self {
            started: Timestamp::now(),
            last_change: None,
            tried,
            baselines,
            peers,
            tally: Tally::default(),
            learning,
            web,
            options,
        }
    }

    /// Asks and shows the peers of a policy from now on.
    fn follow(&mut self, policy: &Policy, schedule: &watch::Sender<Arc<[ScheduledPeer]>>) {
        schedule.send_replace(scheduled(policy));
        self.peers.follow(&policy.peers, &self.baselines);
    }

    fn accept(&mut self, name: &str) -> Result<Accepted, StateError> {
        let accepted = self.baselines.accept(name, Timestamp::now())?;
        self.peers.compare(name, &self.baselines);
        if let Accepted::Changed(changes) = &accepted {
            tracing::info!("peer {name} is accepted as it is: {}", in_words(changes));
        }
        Ok(accepted)
    }

    async fn change(
        &mut self,
        enforcement: &mut Enforcement,
        change: Change,
        peers: &watch::Sender<Arc<[ScheduledPeer]>>,
    ) -> ChangeReport {
        let mut result = enforcement.change(change.clone()).await;
        if change == Change::Reload {
            self.renew_web(&mut result);
        }
        tell(&result);
        self.follow(enforcement.policy(), peers);
        let report = ChangeReport { at: Timestamp::now(), result };
        self.tally.change(&change, &report);
        self.last_change = Some(report.clone());
        report
    }

    /// Reads the files of the status page again, whatever came of the policy.
    fn renew_web(&self, result: &mut ChangeResult) {
        let Some(Err(why)) = self.web.as_ref().map(|web| tokio::task::block_in_place(|| web.renew())) else {
            return;
        };
        let problem = format!("the status page keeps its old certificate and token: {why}");
        match result {
            ChangeResult::Loaded { problems, .. } => problems.push(problem),
            _ => tracing::error!("{problem}"),
        }
    }

    /// Takes the policy's files, if they are others than those that the watch saw last.
    async fn look(&mut self, enforcement: &mut Enforcement, peers: &watch::Sender<Arc<[ScheduledPeer]>>) {
        let found = tokio::task::block_in_place(|| policy::hash(&self.options.policy)).ok();
        if found == self.tried {
            return;
        }
        self.tried = found;
        if enforcement.file_differs() != Some(false) {
            tracing::info!("{} has changed", self.options.policy.display());
            self.change(enforcement, Change::Reload, peers).await;
        }
    }

    fn status(&self, enforcement: &Enforcement, events: &EventLog) -> DaemonStatus {
        DaemonStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            policy_file: self.options.policy.display().to_string(),
            file_differs: enforcement.file_differs(),
            last_change: self.last_change.clone(),
            peers: self.peers.iter().cloned().collect(),
            learning_until: self.learning.until(),
            tally: self.tally.clone(),
            journal_left_out: events.left_out_of_the_journal(),
            web: self.web.as_ref().map(Served::standing),
        }
    }

    fn heard(&mut self, report: &Report) {
        match report.outcome {
            Ok(_) => tracing::info!("{report}"),
            Err(_) => tracing::warn!("{report}"),
        }
        for warning in self.peers.hear(report, &mut self.baselines) {
            tracing::warn!("{warning}");
        }
    }

    fn end(&self, enforcement: &Enforcement) -> anyhow::Result<()> {
        notify(NotifyState::Stopping);
        std::fs::remove_file(&self.options.socket).ok();
        if self.options.detach {
            match enforcement.detach() {
                Ok(links) => {
                    tracing::warn!(
                        "detached from {} interface(s): nothing is enforced any more",
                        links.len()
                    );
                }
                Err(why @ DatapathError::Detached) => tracing::warn!("{why}"),
                Err(why) => return Err(why.into()),
            }
        } else {
            tracing::info!(
                "the daemon ends; policy {} stays in force on {}: `pacs-guard detach` ends it",
                enforcement.policy().name,
                enforcement.names().join(", ")
            );
        }
        Ok(())
    }
}

/// Serves metrics. Enforcement never depends on whether somebody can read them.
async fn serve_metrics(options: &Options, control: &control::Control) {
    let MetricsAddress::At(address) = options.metrics else { return };
    match observe::bind(address).await {
        Ok(gate) => {
            tracing::info!("metrics: http://{address}/metrics");
            tokio::spawn(observe::serve(gate, options.pins.clone(), control.clone()));
        }
        Err(why) => tracing::error!(
            "metrics are not served: {address}: {why}; --metrics takes another address, or off"
        ),
    }
}

/// The next turn of an interval; `None` where there is no interval.
async fn tick(interval: &mut Option<Interval>) -> Option<()> {
    interval.as_mut()?.tick().await;
    Some(())
}

/// Says which interfaces lead round the guard. Enforcement never depends on whether that is known.
async fn warn_of_ways_round(enforcement: &Enforcement) {
    match enforcement.uncovered().await {
        Ok(uncovered) => {
            for open in uncovered {
                tracing::warn!("{open}: see `pacs-guard doctor`");
            }
        }
        Err(why) => tracing::warn!("ways round the guard are not known: {why}"),
    }
}

/// Tells the service manager, where there is one. Enforcement never depends on whether it listens.
fn notify(state: NotifyState<'_>) {
    if let Err(why) = sd_notify::notify(&[state]) {
        tracing::warn!("the service manager can't be told: {why}");
    }
}

/// Resolves when a time has come, or never.
async fn ended(end: Option<BootTime>) {
    let Some(end) = end else { return std::future::pending().await };
    // Sleep counts no suspension of the machine, and the end does.
    while !end.remaining().is_zero() {
        tokio::time::sleep(end.remaining().min(Duration::from_secs(60))).await;
    }
}

/// Reads the ring in a thread of its own.
fn read_events(stream: EventStream) -> anyhow::Result<mpsc::Receiver<Event>> {
    let (send, receive) = mpsc::channel(EVENT_QUEUE);
    thread::Builder::new().name("events".into()).spawn(move || {
        if let Err(why) = stream.forward(|event| send.blocking_send(event).is_ok()) {
            tracing::error!("the event ring can't be read any more: {why}");
        }
    })?;
    Ok(receive)
}

fn scheduled(policy: &Policy) -> Arc<[ScheduledPeer]> {
    policy.peers.iter().map(ScheduledPeer::from).collect()
}
