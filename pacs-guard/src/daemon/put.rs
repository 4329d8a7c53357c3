//! Putting a policy in force: interfaces, swap, links, in the order that loses nothing.

use super::{Options, error::StartError};
use crate::{
    clock::Clock,
    datapath::{Attached, BootTime, Datapath},
    image::{Card, Circumstances, Leaving, compile_for},
    interface::{self, Interface},
    policy::{Checked, model::Policy},
};

/// For how long, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct Term {
    /// When the policy ends by itself, and the one that is in force now is so again.
    pub(super) until: Option<BootTime>,
    /// Why nothing of it is enforced.
    pub(super) bypass: Option<String>,
    /// The card of the policy, where it is in force already and stays so: nothing is swapped then.
    pub(super) kept: Option<Card>,
    /// Whose connections go on for a while.
    pub(super) drain: Vec<Leaving>,
    /// Whether it is a way back: that must not depend on an interface, so what can't be guarded is told and left out.
    pub(super) way_back: bool,
}

/// An interface that the policy is for.
pub(super) struct Wanted {
    pub(super) interface: Interface,
    /// Whether it is under guard already.
    pub(super) linked: bool,
    /// Whether a refused connection may be answered on it; `None` where the policy asks for no answers.
    answers: Option<bool>,
}

/// The interfaces that the policy is for, each looked at before anything is changed; and, on a way back, what of them
/// can't be guarded.
pub(super) async fn wanted(
    options: &Options,
    policy: &Policy,
    way_back: bool,
) -> Result<(Vec<Wanted>, Vec<String>), StartError> {
    let names = if options.interfaces.is_empty() { &policy.interfaces } else { &options.interfaces };
    if names.is_empty() {
        return Err(StartError::NoInterface);
    }
    let known = interface::list().await?;
    let resets = policy.services.iter().any(|service| !service.reset_to.is_empty());
    let mut wanted = Vec::new();
    let mut left_out = Vec::new();
    for name in names {
        let found = interface::find(&known, name).map_err(StartError::from);
        let found = found.and_then(|found| Ok(Datapath::may_attach(&options.pins, found).map(|()| found)?));
        let interface = match found {
            Ok(interface) => interface.clone(),
            Err(why) if way_back => {
                left_out.push(format!("not under guard: {why}"));
                continue;
            }
            Err(why) => return Err(why),
        };
        if wanted.iter().any(|other: &Wanted| other.interface.index == interface.index) {
            continue;
        }
        // Where the card does not say, it may strip.
        let answers = if resets { Some(!interface::strips_vlan(name).await.unwrap_or(true)) } else { None };
        let linked = Datapath::is_linked(&options.pins, &interface)?;
        wanted.push(Wanted { interface, linked, answers });
    }
    Ok((wanted, left_out))
}

/// What came of putting a policy in force.
pub(super) struct Put {
    pub(super) card: Card,
    /// When it was compiled; none where it was in force already.
    pub(super) clock: Option<Clock>,
    /// The interfaces that came under guard by it.
    pub(super) attached: Vec<Attached>,
    /// What the policy wants and does not get.
    pub(super) problems: Vec<String>,
}

/// Puts a policy in force, or changes nothing.
///
/// No interface comes under guard before there is a policy; and where there is one, it is not replaced before
/// every interface is under guard. Should one fail, the others are let go again.
pub(super) fn put(
    datapath: &mut Datapath,
    options: &Options,
    checked: &Checked,
    wanted: &[Wanted],
    term: &Term,
) -> Result<Put, StartError> {
    let first = match &term.kept {
        Some(card) => Some((card.clone(), None)),
        None if datapath.generation()? == 0 => Some(swap(datapath, checked, term)?),
        None => None,
    };
    let mut attached: Vec<Attached> = Vec::new();
    let mut problems = Vec::new();
    let done = wanted
        .iter()
        .filter(|wanted| !wanted.linked)
        .try_for_each(|wanted| {
            match datapath.attach(&wanted.interface, options.xdp_mode) {
                Ok(done) => attached.push(done),
                Err(why) if term.way_back => problems.push(format!("not under guard: {why}")),
                Err(why) => return Err(why.into()),
            }
            Ok(())
        })
        .and_then(|()| first.map_or_else(|| swap(datapath, checked, term), Ok));
    match done {
        Ok((card, clock)) => {
            problems.extend(answer(datapath, wanted));
            Ok(Put { card, clock, attached, problems })
        }
        Err(why) => {
            for fresh in attached {
                options.pins.unlink(fresh.index)?;
            }
            Err(why)
        }
    }
}

/// Compiles a policy and puts it in force; its card, and when that was.
pub(super) fn swap(
    datapath: &mut Datapath,
    checked: &Checked,
    term: &Term,
) -> Result<(Card, Option<Clock>), StartError> {
    let clock = Clock::now();
    let mut card = Card::new(checked, clock.wall, term.bypass.clone());
    card.draining = term.drain.iter().map(Leaving::draining).collect();
    let circumstances = Circumstances { clock, drain: &term.drain, bypass: term.bypass.is_some() };
    let mut ledger = datapath.ledger().clone();
    let generation = datapath.generation()? + 1;
    let image = match term.bypass {
        None => compile_for(&checked.policy, &circumstances, &mut ledger, generation, &card)?,
        Some(_) => {
            compile_for(&checked.policy.in_audit_mode(), &circumstances, &mut ledger, generation, &card)?
        }
    };
    datapath.swap(&image, ledger, term.until)?;
    Ok((card, Some(clock)))
}

/// Lets the program answer where the policy wants it and the interface allows it; says where it does not. The policy is
/// in force by then, so nothing here is an error any more.
fn answer(datapath: &mut Datapath, wanted: &[Wanted]) -> Vec<String> {
    let answering: Vec<&Interface> =
        wanted.iter().filter(|wanted| wanted.answers == Some(true)).map(|wanted| &wanted.interface).collect();
    let failed =
        datapath.answer_on(&answering).err().map(|why| format!("`on_refuse: reset` stays silent: {why}"));
    let silent = wanted.iter().filter(|wanted| wanted.answers == Some(false));
    let silent = silent.map(|wanted| {
        format!(
            "{0}: `on_refuse: reset` stays silent there, for the card takes VLAN tags off and an answer could go to \
             another VLAN: `ethtool -K {0} rxvlan off rx-vlan-stag-hw-parse off`, then reload",
            wanted.interface.name
        )
    });
    silent.chain(failed).collect()
}
