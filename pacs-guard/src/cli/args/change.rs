//! The words about changes: plan, readiness, apply and the ways back; and the times that they take.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Plan {
    /// The policy file
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Ready {
    /// Time without anything that would have been dropped: 12h, 7d. Exit code 13 where there was less
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = period)]
    pub(in crate::cli) ready_after: u64,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Apply {
    /// The policy file
    #[arg(value_name = "FILE", required_unless_present = "enforce")]
    pub(in crate::cli) file: Option<PathBuf>,

    /// Enforce the policy in force, where `pacs-guard ready` finds nothing against it. The file is not written to
    #[arg(long, conflicts_with = "file")]
    pub(in crate::cli) enforce: bool,

    /// With --enforce: time without anything that would have been dropped: 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = period, requires = "enforce")]
    pub(in crate::cli) ready_after: u64,

    /// Put it in force even where it cuts connections of now
    #[arg(long)]
    pub(in crate::cli) cut: bool,

    /// Let the connections of now go on for a while where the new policy cuts them, and no new ones begin: 10m
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "enforce")]
    pub(in crate::cli) drain: Option<u64>,

    /// Go back by itself unless `pacs-guard confirm` comes in time: 60s, 5m
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(in crate::cli) confirm: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rollback {
    /// How many policies back
    #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(in crate::cli) steps: u16,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["duration", "end"]))]
pub(in crate::cli) struct Bypass {
    /// How long: 15m, at most a day; it ends by itself, also without the daemon
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, requires = "reason")]
    pub(in crate::cli) duration: Option<u64>,

    /// Why, for the history
    #[arg(long, value_name = "TEXT", requires = "duration")]
    pub(in crate::cli) reason: Option<String>,

    /// End it now
    #[arg(long)]
    pub(in crate::cli) end: bool,
}

/// A time of one second to one day, such as `60s`, `15m` or `1h`.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    const DAY: u64 = 86_400;
    let duration: jiff::SignedDuration =
        text.parse().map_err(|_| "write a number and s, m or h: 60s, 15m, 1h".to_owned())?;
    match u64::try_from(duration.as_secs()) {
        Ok(seconds @ 1..=DAY) => Ok(seconds),
        _ => Err("from one second to one day".to_owned()),
    }
}

/// A time of one second to one year, such as `90s`, `12h` or `7d`.
pub(super) fn period(text: &str) -> Result<u64, String> {
    const YEAR: u64 = 366 * 86_400;
    let words = |_| "write a number and s, m, h or d: 90s, 12h, 7d".to_owned();
    let span: jiff::Span = text.parse().map_err(words)?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(words)?;
    match u64::try_from(duration.as_secs()) {
        Ok(seconds @ 1..=YEAR) => Ok(seconds),
        _ => Err("from one second to one year".to_owned()),
    }
}
