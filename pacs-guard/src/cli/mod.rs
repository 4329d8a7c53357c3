//! The command line: one verb a file.

mod args;
mod audit_archive;
mod bench;
mod busy;
mod change;
mod check;
mod check_nagios;
mod counters;
mod detach;
mod doctor;
mod echo;
mod events;
mod explain;
mod help;
mod history;
mod inventory;
mod layer;
mod learn;
mod live;
mod log;
mod peers;
mod plan;
mod ready;
mod restore;
mod run;
mod schema;
mod status;
mod terminal;
mod top;

use std::{
    io::{self, ErrorKind},
    path::Path,
    process::ExitCode,
};

use clap::{CommandFactory, Parser};

use crate::{
    control::{Change, Client},
    observe::{Reading, Scrape},
    policy::{self, Checked},
};
use args::{Args, Verb};

use crate::datapath::chain;

/// How a command ends. The numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Fine = 0,
    /// It could not.
    Failed = 1,
    /// The policy is invalid. (2 is a wrong command line.)
    Invalid = 3,
    /// Nothing is enforced.
    NotEnforcing = 4,
    /// The plan lets more sources in, and shuts none out.
    Widens = 10,
    /// The plan shuts sources out.
    Narrows = 11,
    /// The plan cuts connections of now.
    Cuts = 12,
    /// What is in audit mode is not ready to be enforced.
    NotReady = 13,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match dispatch(&args) {
        Ok(exit) => exit.into(),
        // Whoever read the output has seen enough.
        Err(why) if why.downcast_ref().is_some_and(|why: &io::Error| why.kind() == ErrorKind::BrokenPipe) => {
            Exit::Fine.into()
        }
        Err(why) => {
            terminal::error(&chain(why.as_ref()));
            Exit::Failed.into()
        }
    }
}

fn dispatch(args: &Args) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::Run(verb) => run::run(args, verb),
        Verb::Check(verb) => check::run(args, verb),
        Verb::Status => status::run(args),
        Verb::Counters(verb) => counters::run(args, verb),
        Verb::Top => top::run(args),
        Verb::CheckNagios(verb) => check_nagios::run(args, verb),
        Verb::Events(verb) => events::run(args, verb),
        Verb::Echo(verb) => echo::run(args, verb),
        Verb::Inventory(verb) => inventory::run(args, verb.command.as_ref()),
        Verb::Learn(verb) => learn::run(args, verb),
        Verb::AuditArchive(verb) => audit_archive::run(args, verb),
        Verb::Peers => peers::run(args),
        Verb::Peer(verb) => peers::accept(args, verb),
        Verb::Explain(verb) => explain::run(args, verb),
        Verb::Bench(verb) => bench::run(args, verb),
        Verb::Reload => change::run(args, &Change::Reload),
        Verb::Plan(verb) => plan::run(args, verb),
        Verb::Ready(verb) => ready::run(args, verb),
        Verb::Apply(verb) => change::apply(args, verb),
        Verb::Confirm => change::run(args, &Change::Confirm),
        Verb::Rollback(verb) => change::run(args, &Change::Rollback { steps: verb.steps.into() }),
        Verb::Bypass(verb) => change::bypass(args, verb),
        Verb::History => history::run(args),
        Verb::Doctor(file) => doctor::run(args, file),
        Verb::Restore(verb) => restore::run(args, verb),
        Verb::Detach(verb) => detach::run(args, verb),
        Verb::Schema => schema::run(),
        Verb::Help(verb) => help::run(args, verb),
    }
}

/// Reads a policy; `None` where it is invalid, which is then told.
fn read_policy(path: &Path) -> Option<Checked> {
    match policy::read(path) {
        Ok(checked) => Some(checked),
        Err(rejected) => {
            terminal::eprint!("{}", rejected.render(terminal::stderr_has_colour()));
            None
        }
    }
}

/// What is in force, and what the daemon says where one answers.
fn scrape(args: &Args) -> anyhow::Result<Scrape> {
    let pins = args.pins()?;
    block_on(async {
        let daemon = match Client::connect(&args.socket()).await {
            Ok(client) => client.status().await.ok(),
            Err(_) => None,
        };
        Ok(Scrape::new(Reading::take(&pins).await?, daemon))
    })
}

/// A runtime of one thread, for a command that asks and goes.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
