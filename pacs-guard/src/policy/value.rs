//! Single values of a policy, from text to meaning. Prefixes have a file of their own.

use std::{net::IpAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use jiff::{Timestamp, civil::DateTime};
use pacs_guard_common::packet::Cause;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{
    fault::{Fault, Quoted, nearest},
    model::{Mode, TlsVersion, Transport, UnparsedAction},
    prefix,
};

/// The version of the file format that this release reads.
pub(super) fn version(text: &str) -> Result<(), Fault> {
    if text == "1" { Ok(()) } else { Err(Fault::Version { found: Quoted::new(text) }) }
}

/// The name of a policy, service or segment: it ends up in metric labels and map keys.
pub(super) fn name(text: &str) -> Result<(), Fault> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    named(text, fits, "[a-z0-9-]")
}

/// The name of a peer: people write the AE title here, so upper case, `_` and `.` are welcome too.
pub(super) fn peer_name(text: &str) -> Result<(), Fault> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    named(text, fits, "[A-Za-z0-9._-]")
}

fn named(text: &str, fits: impl Fn(u8) -> bool, allowed: &'static str) -> Result<(), Fault> {
    if (1..=63).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(());
    }
    Err(Fault::Name { found: Quoted::new(text), allowed })
}

/// An interface name as the kernel accepts it (`dev_valid_name` in net/core/dev.c).
pub(super) fn interface(text: &str) -> Result<(), Fault> {
    let refused = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if (1..=15).contains(&text.len()) && !matches!(text, "." | "..") && !text.contains(refused) {
        return Ok(());
    }
    Err(Fault::Interface { found: Quoted::new(text) })
}

/// Free text for people, who read it on terminals.
pub(super) fn description(text: &str) -> Result<(), Fault> {
    let harmless = |c: char| !c.is_control() || c == '\n';
    if text.chars().all(harmless) { Ok(()) } else { Err(Fault::Description) }
}

/// The words of `mode`.
pub(super) const MODES: [(&str, Mode); 2] = [("audit", Mode::Audit), ("enforce", Mode::Enforce)];
/// The words of `transport`.
pub(super) const TRANSPORTS: [(&str, Transport); 2] = [("tcp", Transport::Tcp), ("udp", Transport::Udp)];
/// The words of `on_refuse`: whether a reset is asked for.
pub(super) const REFUSALS: [(&str, bool); 2] = [("drop", false), ("reset", true)];
/// The words of `unparsed`.
pub(super) const ACTIONS: [(&str, UnparsedAction); 2] =
    [("drop", UnparsedAction::Drop), ("pass", UnparsedAction::Pass)];

/// The words of `min_version`.
pub(super) const TLS_VERSIONS: [(&str, TlsVersion); 2] =
    [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

/// `1.2` or `1.3`.
pub(super) fn tls_version(text: &str) -> Result<TlsVersion, Fault> {
    word(text, &TLS_VERSIONS)
}

/// A path that means the same file to every process.
pub(super) fn path(text: &str) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(text);
    if path.is_absolute() && !text.contains(char::is_control) {
        Ok(path)
    } else {
        Err(Fault::Path { found: Quoted::new(text) })
    }
}

/// A name that a certificate can hold.
pub(super) fn server_name(text: &str) -> Result<String, Fault> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Fault::ServerName { found: Quoted::new(text) }),
    }
}

/// `audit` or `enforce`.
pub(super) fn mode(text: &str) -> Result<Mode, Fault> {
    word(text, &MODES)
}

/// `tcp` or `udp`.
pub(super) fn transport(text: &str) -> Result<Transport, Fault> {
    word(text, &TRANSPORTS)
}

/// Whether `reset` is asked for, not `drop`.
pub(super) fn resets(text: &str) -> Result<bool, Fault> {
    word(text, &REFUSALS)
}

/// `true` or `false`, and none of YAML's older spellings.
pub(super) fn flag(text: &str) -> Result<bool, Fault> {
    word(text, &[("true", true), ("false", false)])
}

/// `drop` or `pass`.
pub(super) fn action(text: &str) -> Result<UnparsedAction, Fault> {
    word(text, &ACTIONS)
}

/// One of [`Cause::ALL`].
pub(super) fn cause(text: &str) -> Result<Cause, Fault> {
    word(text, &Cause::ALL.map(|cause| (cause.name(), cause)))
}

fn word<T: Copy>(text: &str, known: &[(&'static str, T)]) -> Result<T, Fault> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    Err(Fault::Word {
        found: Quoted::new(text),
        nearest: nearest(text, names.iter().copied()),
        known: names.join(", "),
    })
}

/// A port or a range of ports, such as `104` or `4000-4010`.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, Fault> {
    let fault = || Fault::Port { found: Quoted::new(text) };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = decimal::<u16>(first.trim()).filter(|port| *port > 0).ok_or_else(fault)?;
    let last = decimal::<u16>(last.trim()).filter(|port| *port > 0).ok_or_else(fault)?;
    if first > last {
        return Err(Fault::PortReversed { first, last });
    }
    Ok(first..=last)
}

/// One port.
pub(super) fn port(text: &str) -> Result<u16, Fault> {
    decimal(text).filter(|port| *port > 0).ok_or_else(|| Fault::Port { found: Quoted::new(text) })
}

/// A peer's address.
pub(super) fn address(text: &str) -> Result<IpAddr, Fault> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => Err(Fault::Mapped { ipv4: Some(v4.to_string()) }),
            None => Ok(v6.into()),
        },
        Ok(v4) => Ok(v4),
        Err(_) if prefix::looks_like_dns_name(text) => Err(Fault::DnsName { found: Quoted::new(text) }),
        Err(_) => Err(Fault::Address { found: Quoted::new(text) }),
    }
}

/// An AE title, without the spaces around it that carry no meaning (DICOM PS3.5 section 6.2, VR AE).
pub(crate) fn ae_title(text: &str) -> Result<String, Fault> {
    let title = text.trim_matches(' ');
    let why = if title.is_empty() {
        "it is empty"
    } else if title.chars().count() > 16 {
        "it is over 16 characters"
    } else if title.contains('\\') {
        "a backslash separates values"
    } else if title.chars().any(char::is_control) {
        "it has control characters"
    } else if !title.is_ascii() {
        "it has characters outside ASCII"
    } else {
        return Ok(title.to_owned());
    };
    Err(Fault::AeTitle { found: Quoted::new(text), why })
}

/// An interval such as `30s`, `5m` or `1h`, from 10 seconds to a week.
pub(super) fn interval(text: &str) -> Result<Duration, Fault> {
    let found = || Quoted::new(text);
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let parts = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let (count, unit) = parts.ok_or_else(|| Fault::Interval { found: found() })?;
    let count = decimal::<u32>(count).ok_or_else(|| Fault::Interval { found: found() })?;
    let seconds = u64::from(count) * unit;
    if !(10..=7 * 24 * 3600).contains(&seconds) {
        return Err(Fault::IntervalBounds { found: found() });
    }
    Ok(Duration::from_secs(seconds))
}

/// A moment with its offset from UTC, such as `2027-03-01T00:00:00Z` (RFC 3339).
pub(super) fn until(text: &str) -> Result<Timestamp, Fault> {
    text.parse().map_err(|_| match text.parse::<DateTime>() {
        Ok(_) => Fault::NoOffset { found: Quoted::new(text) },
        Err(_) => Fault::NotATime { found: Quoted::new(text) },
    })
}

/// A number in plain decimal: no sign, no leading zero (which some read as octal).
pub(super) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}
