//! Tells the story on the terminal: sentences, commands with their real output, and claims that were checked.

use std::cell::Cell;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::lab::{Finished, Host, run};

/// No command of the story takes longer.
const DEADLINE: Duration = Duration::from_secs(20);

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// The voice of the demo. Colour only on a terminal, and not where `NO_COLOR` is set (no-color.org).
pub(super) struct Teller {
    colour: bool,
    leave: Arc<AtomicBool>,
    claims: Cell<u32>,
    start: Instant,
}

impl Teller {
    /// From here on Ctrl-C, SIGTERM and SIGHUP end the story and not the process.
    pub(super) fn new() -> Result<Self> {
        let leave = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&leave)).context("cannot watch for Ctrl-C")?;
        }
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = stdout().is_terminal() && !no_color;
        Ok(Self { colour, leave, claims: Cell::new(0), start: Instant::now() })
    }

    /// Begins a part of the story.
    pub(super) fn chapter(&self, title: &str) {
        println!("\n{}", self.paint(BOLD, title));
    }

    /// One sentence.
    pub(super) fn say(&self, sentence: &str) {
        println!("{sentence}");
    }

    /// A command as somebody on `host` would type it.
    pub(super) fn prompt(&self, host: &Host, command: &Command, tail: &str) {
        // What stands before the `--` only leads into the host's namespace.
        let words = command.get_args().skip_while(|word| *word != "--").skip(1);
        let mut words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        if let Some(program) = words.first_mut() {
            *program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        }
        println!("  {} {}{tail}", self.paint(CYAN, &format!("{}$", host.name())), words.join(" "));
    }

    /// What a program wrote.
    pub(super) fn quote(&self, text: &str) {
        for line in text.lines() {
            println!("    {}", self.paint(DIM, line));
        }
    }

    /// Shows a command, runs it and shows what it wrote.
    pub(super) fn tell(&self, host: &Host, command: Command) -> Result<Finished> {
        self.prompt(host, &command, "");
        let done = run(command, DEADLINE);
        ensure!(!self.leave.load(Ordering::Relaxed), "interrupted; everything is being removed");
        let done = done?;
        self.quote(&done.text());
        Ok(done)
    }

    /// States what the listener has just seen; an error when it is not so.
    pub(super) fn claim(&self, what: &str, holds: bool) -> Result<()> {
        if !holds {
            println!("  {}", self.paint(RED, &format!("NOT TRUE: {what}")));
            bail!("the story is not true: {what}");
        }
        self.claims.set(self.claims.get() + 1);
        println!("  {}", self.paint(GREEN, &format!("ok: {what}")));
        Ok(())
    }

    /// The last line.
    pub(super) fn end(&self) {
        let seconds = self.start.elapsed().as_secs_f64();
        println!("\n{} claims, all of them true, in {seconds:.0} s.", self.claims.get());
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }
}

/// A word as a shell would need it.
fn quoted(word: &str) -> String {
    if word.contains([' ', '<', '>', '$']) { format!("'{word}'") } else { word.to_owned() }
}
