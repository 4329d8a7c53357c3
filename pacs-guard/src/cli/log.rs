//! The log of the daemon: its own words on standard error. Whoever does not take them costs lines, and never the daemon.

use std::{
    env,
    io::{self, Write},
    os::fd::AsRawFd,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use nix::sys::{
    socket::{MsgFlags, send},
    stat::fstat,
};
use tracing::{Level, Metadata};
use tracing_subscriber::{filter::Targets, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

use super::terminal;

/// Entries that nobody took, and that no line has told of yet.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Starts it. The journal adds the time itself, and takes the level as its priority.
pub(super) fn start() -> anyhow::Result<()> {
    let filter = match env::var("PACS_GUARD_LOG") {
        Ok(filter) if !filter.is_empty() => {
            filter.parse().with_context(|| format!("PACS_GUARD_LOG={filter}"))?
        }
        _ => Targets::new().with_default(Level::INFO),
    };
    let journal = is_the_journal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Log { journal })
        .with_ansi(terminal::stderr_has_colour())
        .with_target(false);
    let log = tracing_subscriber::registry().with(filter);
    if journal {
        log.with(lines.without_time()).init();
    } else {
        log.with(lines).init();
    }
    Ok(())
}

/// Whether standard error is the journal's stream, as systemd.exec(5) has it told apart from one that took its place.
fn is_the_journal() -> bool {
    let named = env::var("JOURNAL_STREAM").ok();
    let found = fstat(io::stderr()).ok().map(|file| format!("{}:{}", file.st_dev, file.st_ino));
    named.is_some() && named == found
}

struct Log {
    journal: bool,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Entry;

    fn make_writer(&'a self) -> Entry {
        Entry { level: Level::INFO, journal: self.journal }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Entry {
        Entry { level: *of.level(), journal: self.journal }
    }
}

struct Entry {
    level: Level,
    journal: bool,
}

impl Entry {
    /// Whether somebody took it.
    fn put(&self, level: Level, text: &str) -> bool {
        if !self.journal {
            return io::stderr().write_all(text.as_bytes()).is_ok();
        }
        let lines = prioritised(level, text);
        // A journal that hangs takes nothing any more once its buffer is full, and must not hang the daemon too.
        let at_once = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(io::stderr().as_raw_fd(), lines.as_bytes(), at_once) == Ok(lines.len())
    }
}

impl Write for Entry {
    /// Takes a whole entry. It never fails: there is nobody to tell but who reads the entries to come.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let lost = LOST.swap(0, Ordering::Relaxed);
        // The entry before may have been cut in its line.
        let note = format!("\n WARN {lost} entries of this log are missing here: nobody took them\n");
        let untold = if lost == 0 || self.put(Level::WARN, &note) { 0 } else { lost };
        let taken = untold == 0 && self.put(self.level, &String::from_utf8_lossy(text));
        LOST.fetch_add(untold + u64::from(!taken), Ordering::Relaxed);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each line with its priority (sd-daemon(3)): the journal makes an entry of each.
fn prioritised(level: Level, text: &str) -> String {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    // What stands before a line break may be the end of an entry that was cut.
    let (cut, text) = text.strip_prefix('\n').map_or(("", text), |text| ("\n", text));
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.fold(cut.to_owned(), |lines, line| format!("{lines}<{priority}>{line}\n"))
}
