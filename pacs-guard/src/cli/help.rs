//! `help`: a command's own help, or what a code of `check` means.

use clap::{CommandFactory, error::ErrorKind};

use super::{
    Exit,
    args::{Args, Help},
    terminal::{self, print},
};
use crate::{
    observe,
    policy::{self, codes},
};

pub(super) fn run(args: &Args, verb: &Help) -> anyhow::Result<Exit> {
    match verb.about.as_deref() {
        None => Args::command().print_long_help()?,
        Some("codes") if !args.json => print!("{}", codes::markdown()),
        Some("policy") => print!("{}", policy::reference()),
        Some("metrics") => print!("{}", observe::markdown()),
        Some("codes") => {
            let entries: Vec<_> = codes::all().map(codes::Entry::explain).collect();
            terminal::json(&entries)?;
        }
        Some(about) => match command(about) {
            Some(mut command) => command.print_long_help()?,
            None => return code(args, about),
        },
    }
    Ok(Exit::Fine)
}

fn command(name: &str) -> Option<clap::Command> {
    let mut whole = Args::command();
    // Gives the commands the options that they share.
    whole.build();
    whole.find_subcommand(name).cloned()
}

fn code(args: &Args, about: &str) -> anyhow::Result<Exit> {
    let what = match codes::find(about) {
        Ok(entry) if args.json => {
            terminal::json(&entry.explain())?;
            return Ok(Exit::Fine);
        }
        Ok(entry) => {
            print!("{}", entry.explain().text());
            return Ok(Exit::Fine);
        }
        Err(nearest) if about.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("PG")) => {
            format!("there is no code {}; did you mean {nearest}?", about.escape_debug())
        }
        Err(_) => format!("there is no command and no code '{}'", about.escape_debug()),
    };
    // A wrong command line, said and ended as clap does.
    Args::command().error(ErrorKind::InvalidValue, what).exit()
}
