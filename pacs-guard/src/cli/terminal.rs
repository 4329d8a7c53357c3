//! What people read: tables, colours, numbers.

use std::{
    fmt::{Arguments, Display},
    io::{self, ErrorKind, IsTerminal, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use serde::Serialize;

use crate::span;

pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const DIM: Style = Style::new().dimmed();

/// Prints text for people or machines. Whether somebody still reads it (`| head -1`) changes nothing that a command does,
/// and not how it ends.
macro_rules! println {
    ($($text:tt)*) => { $crate::cli::terminal::put(anstream::stdout(), format_args!("{}\n", format_args!($($text)*))) };
}
macro_rules! print {
    ($($text:tt)*) => { $crate::cli::terminal::put(anstream::stdout(), format_args!($($text)*)) };
}
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::terminal::put(anstream::stderr(), format_args!("{}\n", format_args!($($text)*))) };
}
macro_rules! eprint {
    ($($text:tt)*) => { $crate::cli::terminal::put(anstream::stderr(), format_args!($($text)*)) };
}
pub(super) use {eprint, eprintln, print, println};

/// What the macros above do.
pub(super) fn put(mut to: impl Write, text: Arguments<'_>) {
    if let Err(why) = to.write_fmt(text)
        && why.kind() != ErrorKind::BrokenPipe
    {
        // A full disk, say. Where standard error fails too, there is nobody left to tell.
        let _ = writeln!(io::stderr(), "error: the output is cut off: {why}");
    }
}

/// Text in a style; the terminal decides whether it is seen (NO_COLOR, pipes).
pub(super) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Says why a command failed, on standard error.
pub(super) fn error(why: &str) {
    eprintln!("{} {why}", styled(BAD, "error:"));
}

/// Whether standard error shows colours, for text that is rendered elsewhere.
pub(super) fn stderr_has_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Whether standard output shows colours.
pub(super) fn stdout_has_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// Prints one JSON document.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// An aligned table; the columns with these indices hold numbers.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    numbers: &[usize],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    table.trim_fmt()
}

/// The width of the terminal that standard output is; endless where it is none, for whoever reads lines wants them whole.
pub(super) fn width() -> usize {
    match io::stdout().is_terminal().then(ratatui::crossterm::terminal::size) {
        Some(Ok((columns @ 1.., _))) => columns.into(),
        _ => usize::MAX,
    }
}

/// A text in lines of at most this width, broken between words; codes for colours take no room.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for word in text.split_inclusive(' ') {
        let room = anstream::adapter::strip_str(word.trim_end()).to_string().chars().count();
        if taken > 0 && taken + room > width {
            // A space beyond the last column would be a line of its own.
            if let Some(line) = lines.last_mut() {
                line.truncate(line.trim_end().len());
            }
            lines.push(String::new());
            taken = 0;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
        taken += room + usize::from(word.ends_with(' '));
    }
    lines
}

/// A number with its thousands apart.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group));
    let groups = std::iter::once(head.into())
        .filter(|head: &std::borrow::Cow<'_, str>| !head.is_empty())
        .chain(groups);
    groups.collect::<Vec<_>>().join(",")
}

/// A time on the wall clock, and how long ago that is: its two largest units.
pub(super) fn ago(time: Timestamp) -> String {
    let seconds = time.duration_until(Timestamp::now()).as_secs();
    format!("{} ({} ago)", time.strftime("%F %TZ"), lasting(seconds.try_into().unwrap_or(0)))
}

/// Seconds in their two largest units, the second left out where it is 0: `3d 4h`, `12m 5s`, `1d`.
pub(super) fn lasting(seconds: u64) -> String {
    span::short(Duration::from_secs(seconds))
}

/// A number of things.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_two_largest_units() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (3599, "59m 59s"),
            (7260, "2h 1m"),
            (90_061, "1d 1h"),
            (86_405, "1d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(lasting(seconds), text);
        }
    }

    #[test]
    fn lines_are_broken_between_words_and_colours_take_no_room() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", usize::MAX), ["one two three"]);
        assert_eq!(wrapped("a-word-too-long b", 5), ["a-word-too-long", "b"]);
        let red = styled(BAD, "one two");
        assert_eq!(wrapped(&red, 7).concat(), red);
        assert_eq!(wrapped(&red, 7).len(), 1);
        assert_eq!(wrapped("", 7), [""]);
    }

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
