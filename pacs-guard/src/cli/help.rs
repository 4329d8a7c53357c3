//! `help`: a command's own help, or what a code of `check` means.

use anstream::{print, println};
use clap::CommandFactory;

use super::{
    Exit,
    args::{Args, Help},
    terminal,
};
use crate::policy::codes;

pub(super) fn run(args: &Args, verb: &Help) -> anyhow::Result<Exit> {
    match verb.about.as_deref() {
        None => Args::command().print_long_help()?,
        Some("codes") if !args.json => print!("{}", codes::markdown()),
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
    match codes::find(about) {
        Ok(entry) if args.json => terminal::json(&entry.explain())?,
        Ok(entry) => println!("{}", entry.explain().text().trim_end()),
        Err(nearest) if about.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("PG")) => {
            anyhow::bail!("there is no code {}; did you mean {nearest}?", about.escape_debug())
        }
        Err(_) => {
            let what = format!("unrecognized subcommand '{}'", about.escape_debug());
            Args::command().error(clap::error::ErrorKind::InvalidSubcommand, what).exit()
        }
    }
    Ok(Exit::Fine)
}
