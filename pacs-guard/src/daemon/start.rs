//! The start of enforcement: what is in force already, and what comes in its place.

use std::fs;

use tokio::net::UnixListener;

use super::{
    Options,
    choice::Choice,
    ends::Ends,
    enforcement::Enforcement,
    error::StartError,
    put::{Put, Term, Wanted, put, wanted},
    watching::Watching,
};
use crate::{
    clock::Clock,
    control,
    datapath::{Attached, Datapath, DatapathError, EventStream, may_use_bpf},
    image::carry,
    interface::{self, Interface},
    state::{Action, Store},
};

impl Enforcement {
    /// Opens the control socket and puts the policy in force, on what is pinned already or on new maps and links.
    pub(super) async fn start(options: &Options) -> Result<(Self, EventStream, UnixListener), StartError> {
        may_use_bpf()?;
        let store = Store::open(&options.state_dir)?;
        let choice = Choice::make(options, &store)?;
        if !choice.checked.warnings.is_empty() {
            tracing::warn!("{}", choice.checked.render(false));
        }
        let way_back = choice.action != Some(Action::Start);
        let (wanted, left_out) = wanted(options, &choice.checked.policy, way_back).await?;
        for problem in left_out {
            tracing::error!("{problem}");
        }
        let fresh = !options.pins.folder().exists();
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
        Choice { checked, action, kept }: Choice,
        wanted: &[Wanted],
    ) -> Result<(Self, EventStream, UnixListener), StartError> {
        let mut datapath = Datapath::open(options.pins.clone(), options.program_log)?;
        // The last thing that may be missing before anything is changed.
        let listener = control::bind(&options.socket)
            .await
            .map_err(|why| StartError::Socket { path: options.socket.clone(), why })?;
        let way_back = action != Some(Action::Start) || kept.is_some();
        let (card, provisional) = kept.unzip();
        let drain = store.drain().unwrap_or_else(|why| {
            tracing::error!("whose connections go on for a while is not known any more: {why}");
            Vec::new()
        });
        let drain = carry(drain, &checked.policy, Clock::now());
        let term = Term { way_back, kept: card, drain: drain.clone(), ..Term::default() };
        let put = tokio::task::block_in_place(|| put(&mut datapath, options, &checked, wanted, &term));
        let Put { card, clock, attached, mut problems } = put.inspect_err(|_: &StartError| {
            fs::remove_file(&options.socket).ok();
        })?;
        let events = datapath.take_events()?;
        // An interface that comes under guard only now was not watched before.
        let gap = !attached.is_empty();
        let watching = Watching::resume(store.clone());
        let mut this = Self {
            options: options.clone(),
            store,
            datapath,
            checked,
            card,
            attached,
            provisional,
            drain,
            compiled: clock,
            ends: Ends::default(),
            watching,
        };
        this.watch(gap);
        // From here on the policy is in force, and whatever else goes wrong is told and ends nothing.
        problems.extend(this.adopt().await);
        problems.extend(this.unnamed(wanted));
        if let Some(action) = action.filter(|_| this.provisional.is_none()) {
            problems.extend(this.remember(action, None));
        }
        for problem in problems {
            tracing::warn!("{problem}");
        }
        for Attached { name, mode, adopted, .. } in &this.attached {
            let how = if *adopted { "adopted without a gap" } else { "attached" };
            tracing::info!("{name}: {how}, {} mode", mode.name());
        }
        tracing::info!("policy {} is in force ({})", this.card.policy, this.card.file);
        if let Some(log) = this.datapath.take_log() {
            std::thread::spawn(move || log.forward());
        }
        Ok((this, events, listener))
    }

    /// Puts this program on every link that is pinned, also of interfaces that the policy does not name; and removes
    /// what an older version left, once no program reads it.
    async fn adopt(&mut self) -> Vec<String> {
        let known = match interface::list().await {
            Ok(known) => known,
            Err(why) => return vec![format!("the links that were there are not adopted: {why}")],
        };
        let mut problems = Vec::new();
        let linked = |found: &&Interface| Datapath::is_linked(&self.options.pins, found).unwrap_or(false);
        for found in known.iter().filter(linked) {
            if self.attached.iter().any(|fresh| fresh.index == found.index) {
                continue;
            }
            match self.datapath.adopt(found, self.options.xdp_mode) {
                Ok(adopted) => self.attached.push(adopted),
                Err(why) => problems.push(format!("{} keeps the program that it had: {why}", found.name)),
            }
        }
        if problems.is_empty()
            && let Err(why) = self.datapath.forget_other_layouts()
        {
            problems.push(format!("what an older version pinned stays pinned: {why}"));
        }
        problems
    }
}
