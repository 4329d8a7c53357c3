//! Enforcement: one policy on the interfaces, and the step from it to the next.

use std::{fs, io, path::PathBuf, time::Instant};

use jiff::Timestamp;
use pacs_guard_common::abi::Event;
use thiserror::Error;
use tokio::net::UnixListener;

use super::Options;
use crate::{
    control::{self, ReloadResult},
    datapath::{AttachError, Attached, Datapath, DatapathError, EventStream},
    image::{Booking, Card, CompileError, compile},
    interface::{self, Interface, InterfaceError},
    policy::{self, Checked, Rejected, model::Policy},
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
    datapath: Datapath,
    policy: Policy,
    card: Card,
    attached: Vec<Attached>,
}

impl Enforcement {
    /// Opens the control socket and puts the policy in force, on what is pinned already or on new maps and links.
    pub(super) async fn start(options: &Options) -> Result<(Self, EventStream, UnixListener), StartError> {
        let checked = policy::read(&options.policy)?;
        if !checked.warnings.is_empty() {
            tracing::warn!("{}", checked.render(false));
        }
        let wanted = wanted(options, &checked.policy).await?;
        let fresh = !options.pins.exist();
        match Self::first(options, checked, &wanted).await {
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
        checked: Checked,
        wanted: &[Wanted],
    ) -> Result<(Self, EventStream, UnixListener), StartError> {
        let mut datapath = Datapath::open(options.pins.clone(), options.program_log)?;
        // The last thing that may be missing before anything is changed.
        let listener = control::bind(&options.socket)
            .await
            .map_err(|why| StartError::Socket { path: options.socket.clone(), why })?;
        let put = tokio::task::block_in_place(|| {
            let put = put(&mut datapath, options, &checked, wanted)?;
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
        let this = Self { options: options.clone(), datapath, policy: checked.policy, card, attached };
        Ok((this, events, listener))
    }

    /// Reads the file again and puts it in force. Whatever goes wrong, the old policy stays.
    pub(super) async fn reload(&mut self) -> ReloadResult {
        let start = Instant::now();
        match self.replace().await {
            Ok((generation, warnings, problems)) => ReloadResult::Loaded {
                policy: self.policy.name.clone(),
                generation,
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

    async fn replace(&mut self) -> Result<(u64, String, Vec<String>), StartError> {
        let checked = tokio::task::block_in_place(|| policy::read(&self.options.policy))?;
        let wanted = wanted(&self.options, &checked.policy).await?;
        let Put { card, attached, mut problems } =
            tokio::task::block_in_place(|| put(&mut self.datapath, &self.options, &checked, &wanted))?;
        let warnings = checked.render(false);
        self.card = card;
        self.policy = checked.policy;
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
        Ok((self.datapath.generation()?, warnings, problems))
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

    /// Whether the file is unlike the policy in force; `None` where it can't be read.
    pub(super) fn file_differs(&self) -> Option<bool> {
        let text = policy::read_text(&self.options.policy).ok()?;
        Some(Card::hash(&text) != self.card.sha256)
    }
}

/// An interface that the policy is for.
struct Wanted {
    interface: Interface,
    /// Whether it is under guard already.
    linked: bool,
    /// Whether a refused connection may be answered on it; `None` where the policy asks for no answers.
    answers: Option<bool>,
}

/// The interfaces that the policy is for, each looked at before anything is changed.
async fn wanted(options: &Options, policy: &Policy) -> Result<Vec<Wanted>, StartError> {
    let names = if options.interfaces.is_empty() { &policy.interfaces } else { &options.interfaces };
    if names.is_empty() {
        return Err(StartError::NoInterface);
    }
    let known = interface::list().await?;
    let resets = policy.services.iter().any(|service| !service.reset_to.is_empty());
    let mut wanted = Vec::new();
    for name in names {
        let interface = interface::find(&known, name)?.clone();
        if wanted.iter().any(|other: &Wanted| other.interface.index == interface.index) {
            continue;
        }
        Datapath::may_attach(&options.pins, &interface)?;
        let answers = if resets { Some(!interface::strips_vlan(name).await?) } else { None };
        let linked = Datapath::is_linked(&options.pins, &interface)?;
        wanted.push(Wanted { interface, linked, answers });
    }
    Ok(wanted)
}

/// What came of putting a policy in force.
struct Put {
    card: Card,
    /// The interfaces that came under guard by it.
    attached: Vec<Attached>,
    /// What the policy wants and does not get.
    problems: Vec<String>,
}

/// Puts a policy in force, or changes nothing.
///
/// No interface comes under guard before there is a policy; and where there is one, it is not replaced before
/// every interface is under guard. Should one fail, the others are let go again.
fn put(
    datapath: &mut Datapath,
    options: &Options,
    checked: &Checked,
    wanted: &[Wanted],
) -> Result<Put, StartError> {
    let first = if datapath.generation()? == 0 { Some(swap(datapath, checked)?) } else { None };
    let mut attached: Vec<Attached> = Vec::new();
    let done = wanted
        .iter()
        .filter(|wanted| !wanted.linked)
        .try_for_each(|wanted| {
            attached.push(datapath.attach(&wanted.interface, options.xdp_mode)?);
            Ok(())
        })
        .and_then(|()| first.map_or_else(|| swap(datapath, checked), Ok));
    match done {
        Ok(card) => Ok(Put { card, attached, problems: answer(datapath, wanted)? }),
        Err(why) => {
            for fresh in attached {
                options.pins.unlink(fresh.index)?;
            }
            Err(why)
        }
    }
}

fn swap(datapath: &mut Datapath, checked: &Checked) -> Result<Card, StartError> {
    let card = Card::new(checked, Timestamp::now());
    let mut ledger = datapath.ledger().clone();
    let image = compile(&checked.policy, &mut ledger, datapath.generation()? + 1, &card)?;
    datapath.swap(&image, ledger)?;
    Ok(card)
}

/// Lets the program answer where the policy wants it and the interface allows it; says where it does not.
fn answer(datapath: &mut Datapath, wanted: &[Wanted]) -> Result<Vec<String>, DatapathError> {
    let mut problems = Vec::new();
    for Wanted { interface, answers, .. } in wanted {
        datapath.answer_on(interface, answers.unwrap_or(false))?;
        if *answers == Some(false) {
            problems.push(format!(
                "{0}: `on_refuse: reset` stays silent there, for the card takes VLAN tags off and an answer \
                 could go to another VLAN: `ethtool -K {0} rxvlan off rx-vlan-stag-hw-parse off`, then reload",
                interface.name
            ));
        }
    }
    Ok(problems)
}
