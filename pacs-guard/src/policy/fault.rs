//! Everything that can be wrong with a policy: the single list of codes, messages and hints.

use std::{fmt, path::PathBuf};

use ipnet::IpNet;
use serde::Serialize;
use thiserror::Error;

/// Whether the policy can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy is valid, and this line likely isn't what its author meant.
    Warning,
}

/// What is wrong with a policy. Its text is the diagnostic's message.
#[derive(Clone, Debug, PartialEq, Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Fault {
    #[error("cannot be read: {error}")]
    Unreadable { error: String },
    #[error("a policy is a regular file, and this is a {kind}")]
    NotAFile { kind: &'static str },
    #[error("this is expected to be a folder of policy files, and is none")]
    NotAFolder,
    #[error("every user of this host can write to this {what} (its mode is {mode:04o})")]
    WorldWritable { what: &'static str, path: PathBuf, mode: u32 },
    #[error("a policy is at most {limit} bytes long, all its files together")]
    TooLarge { limit: u64 },
    #[error("a policy is UTF-8 text, and the byte here is not")]
    NotUtf8,
    #[error("a policy is text, and there is a NUL byte here")]
    Nul,
    #[error("this symlink leads out of its folder, so whoever may change its target may change the policy")]
    LeadsOut,
    #[error("there is no policy in this folder: no file in it has a name that ends in `.yaml`")]
    EmptyFolder,

    #[error("{reason}")]
    Syntax { reason: String },
    #[error("a tab in the indentation")]
    Tab,
    #[error("a policy file holds one YAML document, and a second one begins here")]
    SeveralDocuments,
    #[error("this policy is over the reader's budget: {reason}")]
    OverBudget { reason: String },
    #[error("the key {key} is here a second time")]
    DuplicateKey { key: Quoted },
    #[error("unknown key {key}")]
    UnknownKey { key: Quoted, nearest: Option<String>, known: String },
    #[error("{expected} is expected here")]
    Shape { expected: &'static str, hint: &'static str },
    #[error("a value is missing here")]
    NoValue,
    #[error("merge keys (`<<`) are not accepted: a policy says in each place what it means")]
    MergeKey,
    #[error("{owner} has no `{key}`")]
    MissingKey { owner: String, key: &'static str },

    #[error("{found} is not a version that this release reads")]
    Version { found: Quoted },
    #[error("{found} is not a name: 1 to 63 of the characters {allowed}")]
    Name { found: Quoted, allowed: &'static str },
    #[error("{found} is not one of {known}")]
    Word { found: Quoted, nearest: Option<String>, known: String },
    #[error(
        "{found} is not the name of an interface: 1 to 15 bytes, without `/`, `:`, space or control character"
    )]
    Interface { found: Quoted },
    #[error("{found} is neither an address nor a prefix in CIDR notation")]
    Prefix { found: Quoted, hint: Option<String> },
    #[error("a prefix length is at most {most}")]
    PrefixLength { most: u8 },
    #[error("{prefix} has host bits set")]
    HostBits { prefix: IpNet },
    #[error("{found} is a DNS name, and a policy takes addresses only: a name can be spoofed")]
    DnsName { found: Quoted },
    #[error("an IPv4-mapped prefix never matches: a packet from such an address is IPv6, not IPv4")]
    Mapped { ipv4: Option<String> },
    #[error("{found} is not an IP address")]
    Address { found: Quoted },
    #[error("{found} is not a port: a number from 1 to 65535, or a range such as 4000-4010")]
    Port { found: Quoted },
    #[error("the range {first}-{last} ends before it begins")]
    PortReversed { first: u16, last: u16 },
    #[error("{found} is not an AE title: {why} (DICOM PS3.5 section 6.2)")]
    AeTitle { found: Quoted, why: &'static str },
    #[error("{found} is not an interval")]
    Interval { found: Quoted },
    #[error("a peer is asked at most every 10s and at least once a week, and {found} is outside that")]
    IntervalBounds { found: Quoted },
    #[error("{found} is not a point in time")]
    NotATime { found: Quoted },
    #[error("{found} has no offset from UTC, so it is another moment in each time zone")]
    NoOffset { found: Quoted },
    #[error("control characters have no place in a description")]
    Description,
    #[error("{found} is not an absolute path")]
    Path { found: Quoted },
    #[error("{found} is neither a DNS name nor an address, so no certificate can hold it")]
    ServerName { found: Quoted },

    #[error("{what} {name} is here twice")]
    DuplicateName { what: &'static str, name: Quoted },
    #[error("{owner} has {found} {what}, and {limit} is the most")]
    TooMany { owner: String, what: &'static str, found: usize, limit: usize },
    #[error("{transport} {ports} overlaps with what service `{service}` protects")]
    PortTaken { transport: &'static str, ports: String, service: String },
    #[error("this protects port 22: a mistake in this policy would lock you out of SSH")]
    ManagementPort,
    #[error("no service is named {name}")]
    UnknownService { name: Quoted, nearest: Option<String>, known: String },
    #[error("service `{service}` enforces and no segment grants it: every packet to it would be dropped")]
    EmptyAllowlist { service: String },
    #[error("{owner} has an empty `{key}`")]
    EmptyList { owner: String, key: &'static str },
    #[error("{prefix} is outside the sources of segment `{segment}`")]
    ExceptOutside { prefix: IpNet, segment: String },
    #[error("peer `{peer}` at {address} is outside every segment: its own traffic would be refused")]
    PeerOutside { peer: String, address: std::net::IpAddr },
    #[error("`on_refuse: reset` needs `reset_to`: whose refused connections are answered")]
    ResetToNobody,
    #[error("`reset_to` says nothing without `on_refuse: reset`")]
    ResetNotAsked,
    #[error("UDP knows no reset: `on_refuse: reset` goes with `transport: tcp`")]
    ResetUdp,
    #[error("{what} {name} is declared in another file too")]
    Redeclared { what: &'static str, name: Quoted },
    #[error("`{key}` is {here} here, and {there} in another file")]
    Contradiction { key: String, here: Quoted, there: Quoted },
    #[error("{prefix} lies in segments with more than {most} different ends")]
    TooManyEnds { prefix: IpNet, most: usize },
    #[error("`{there}` says nothing without `{missing}`")]
    TlsPair { there: &'static str, missing: &'static str },
    #[error("{count} more errors are not shown")]
    MoreErrors { count: usize },

    #[error("{prefix} is already a source of segment `{segment}`")]
    RepeatedPrefix { prefix: IpNet, segment: String },
    #[error("{prefix} admits every address to an enforced service")]
    EveryAddress { prefix: IpNet },
    #[error("segment `{segment}` is wholly hidden by its `except`: no address is in it")]
    Hidden { segment: String },
    #[error("no segment grants service `{service}`: once it enforces, every packet to it is dropped")]
    Ungranted { service: String },
    #[error("segment `{segment}` has ended: it grants nothing any more")]
    Ended { segment: String },
    #[error("this file is no part of the policy: only names that end in `.yaml` are read")]
    LeftOut,
    #[error("{count} more warnings are not shown")]
    MoreWarnings { count: usize },
}

impl Fault {
    /// Something else in place of a list.
    pub(super) const NO_LIST: Self =
        Self::Shape { expected: "a list", hint: "write [first, second], or one item a line after `- `" };
    /// Something else in place of a mapping.
    pub(super) const NO_MAPPING: Self =
        Self::Shape { expected: "a mapping", hint: "write `key: value`, one a line and further indented" };
    /// A list or a mapping in place of a single value.
    pub(super) const NO_SCALAR: Self =
        Self::Shape { expected: "a single value", hint: "a list or a mapping has no meaning here" };

    /// The stable code and the kebab-case label, such as `("PG0207", "host-bits")`.
    const fn row(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unreadable { .. } => ("PG0001", "unreadable"),
            Self::NotAFile { .. } => ("PG0002", "not-a-file"),
            Self::WorldWritable { .. } => ("PG0003", "world-writable"),
            Self::TooLarge { .. } => ("PG0004", "too-large"),
            Self::NotUtf8 => ("PG0005", "not-utf8"),
            Self::Nul => ("PG0006", "nul"),
            Self::LeadsOut => ("PG0007", "leads-out"),
            Self::EmptyFolder => ("PG0008", "empty-folder"),
            Self::NotAFolder => ("PG0009", "not-a-folder"),
            Self::Syntax { .. } => ("PG0101", "syntax"),
            Self::Tab => ("PG0102", "tab"),
            Self::SeveralDocuments => ("PG0103", "several-documents"),
            Self::OverBudget { .. } => ("PG0104", "over-budget"),
            Self::DuplicateKey { .. } => ("PG0105", "duplicate-key"),
            Self::UnknownKey { .. } => ("PG0106", "unknown-key"),
            Self::Shape { .. } => ("PG0107", "shape"),
            Self::NoValue => ("PG0108", "no-value"),
            Self::MergeKey => ("PG0109", "merge-key"),
            Self::MissingKey { .. } => ("PG0110", "missing-key"),
            Self::Version { .. } => ("PG0201", "version"),
            Self::Name { .. } => ("PG0202", "name"),
            Self::Word { .. } => ("PG0203", "word"),
            Self::Interface { .. } => ("PG0204", "interface"),
            Self::Prefix { .. } => ("PG0205", "prefix"),
            Self::PrefixLength { .. } => ("PG0206", "prefix-length"),
            Self::HostBits { .. } => ("PG0207", "host-bits"),
            Self::DnsName { .. } => ("PG0208", "dns-name"),
            Self::Mapped { .. } => ("PG0209", "ipv4-mapped"),
            Self::Address { .. } => ("PG0210", "address"),
            Self::Port { .. } => ("PG0211", "port"),
            Self::PortReversed { .. } => ("PG0212", "port-reversed"),
            Self::AeTitle { .. } => ("PG0213", "ae-title"),
            Self::Interval { .. } => ("PG0214", "interval"),
            Self::IntervalBounds { .. } => ("PG0215", "interval-bounds"),
            Self::Description => ("PG0216", "description"),
            Self::NotATime { .. } => ("PG0217", "not-a-time"),
            Self::NoOffset { .. } => ("PG0218", "no-offset"),
            Self::Path { .. } => ("PG0219", "path"),
            Self::ServerName { .. } => ("PG0220", "server-name"),
            Self::DuplicateName { .. } => ("PG0301", "duplicate-name"),
            Self::TooMany { .. } => ("PG0302", "too-many"),
            Self::PortTaken { .. } => ("PG0303", "port-taken"),
            Self::ManagementPort => ("PG0304", "management-port"),
            Self::UnknownService { .. } => ("PG0305", "unknown-service"),
            Self::EmptyAllowlist { .. } => ("PG0306", "empty-allowlist"),
            Self::EmptyList { .. } => ("PG0307", "empty-list"),
            Self::ExceptOutside { .. } => ("PG0308", "except-outside"),
            Self::PeerOutside { .. } => ("PG0309", "peer-outside"),
            Self::ResetToNobody => ("PG0310", "reset-to-nobody"),
            Self::ResetNotAsked => ("PG0311", "reset-not-asked"),
            Self::ResetUdp => ("PG0312", "reset-udp"),
            Self::Redeclared { .. } => ("PG0313", "redeclared"),
            Self::Contradiction { .. } => ("PG0314", "contradiction"),
            Self::TooManyEnds { .. } => ("PG0315", "too-many-ends"),
            Self::TlsPair { .. } => ("PG0316", "tls-pair"),
            Self::MoreErrors { .. } => ("PG0399", "more-errors"),
            Self::RepeatedPrefix { .. } => ("PG0901", "repeated-prefix"),
            Self::EveryAddress { .. } => ("PG0902", "every-address"),
            Self::Hidden { .. } => ("PG0903", "hidden-segment"),
            Self::Ungranted { .. } => ("PG0904", "ungranted-service"),
            Self::LeftOut => ("PG0905", "left-out"),
            Self::Ended { .. } => ("PG0906", "ended-segment"),
            Self::MoreWarnings { .. } => ("PG0999", "more-warnings"),
        }
    }

    /// The stable code, such as `PG0207`. Codes are never reused.
    pub const fn code(&self) -> &'static str {
        self.row().0
    }

    /// The kebab-case label, for metrics.
    pub const fn kind(&self) -> &'static str {
        self.row().1
    }

    /// Codes from PG0900 on are warnings.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::RepeatedPrefix { .. }
            | Self::EveryAddress { .. }
            | Self::Hidden { .. }
            | Self::Ungranted { .. }
            | Self::LeftOut
            | Self::Ended { .. }
            | Self::MoreWarnings { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let did_you_mean = |nearest: &Option<String>, known: &str| match nearest {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known here: {known}"),
        };
        let hint = match self {
            Self::WorldWritable { path, .. } => {
                format!("chmod o-w {}", path.display().to_string().escape_debug())
            }
            Self::LeadsOut => {
                "copy the file into the folder, or link to a file in it by a relative path".to_owned()
            }
            Self::EmptyFolder => "write `policy.yaml` there, or name the policy's file".to_owned(),
            Self::Tab => "YAML is indented with spaces".to_owned(),
            Self::SeveralDocuments => "put the second document in a file of its own".to_owned(),
            Self::DuplicateKey { .. } => "keep one of the two".to_owned(),
            Self::UnknownKey { nearest, known, .. } => did_you_mean(nearest, known),
            Self::Word { nearest, .. } => format!("did you mean `{}`?", nearest.as_ref()?),
            Self::UnknownService { known, .. } if known.is_empty() => {
                "declare it under `services`".to_owned()
            }
            Self::UnknownService { nearest, known, .. } => did_you_mean(nearest, known),
            Self::Shape { hint, .. } => (*hint).to_owned(),
            Self::NoValue => "write a value, or leave the key out".to_owned(),
            Self::MissingKey { key: "version", .. } | Self::Version { .. } => "write `version: 1`".to_owned(),
            Self::MissingKey { key: "mode", .. } => {
                "write `mode: audit` to watch first, or `mode: enforce`".to_owned()
            }
            Self::Prefix { hint, .. } => hint.clone()?,
            Self::HostBits { prefix } => {
                format!("did you mean {}, or {}/{}?", prefix.trunc(), prefix.addr(), prefix.max_prefix_len())
            }
            Self::DnsName { .. } => "write the address, with the name in a comment beside it".to_owned(),
            Self::Mapped { ipv4 } => format!("did you mean {}?", ipv4.as_ref()?),
            Self::PortReversed { first, last } => format!("did you mean {last}-{first}?"),
            Self::Interval { .. } => "write a number and s, m or h: 30s, 5m, 1h".to_owned(),
            Self::NotATime { .. } => "write date, time and offset: 2027-03-01T00:00:00Z".to_owned(),
            Self::NoOffset { .. } => {
                "end it with Z for UTC, or with your own offset: 2027-03-01T00:00:00+01:00".to_owned()
            }
            Self::TooManyEnds { .. } => "let some of these segments end at the same time".to_owned(),
            Self::Ended { .. } => "take it out of the policy, or give it a later `until`".to_owned(),
            Self::Path { .. } => "write it from the root on, such as /etc/pacs-guard/tls/ca.pem".to_owned(),
            Self::TlsPair { .. } => "a client shows a certificate and proves that it has its key".to_owned(),
            Self::ManagementPort => {
                "if that is what you want, write `allow_management_port: true` at the top".to_owned()
            }
            Self::EmptyAllowlist { service } | Self::Ungranted { service } => {
                format!("name `{service}` under `services` of a segment")
            }
            Self::ResetToNobody => {
                "name your own networks only: an answer tells a scanner that somebody is there".to_owned()
            }
            Self::Redeclared { .. } => "names count over all files: keep one, or rename one".to_owned(),
            Self::Contradiction { .. } => "state it in one file, or alike in both".to_owned(),
            Self::LeftOut => "rename it to end in `.yaml`, or move it away".to_owned(),
            Self::RepeatedPrefix { .. } => "what two segments grant to the same source adds up".to_owned(),
            Self::PeerOutside { address, .. } => format!("add {address} to the sources of its segment"),
            _ => return None,
        };
        Some(hint)
    }
}

/// Text out of a policy, made harmless for a terminal and short enough for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    /// Escapes what a terminal would act on, and cuts what is longer than 64 characters.
    pub fn new(text: &str) -> Self {
        let mut quoted = String::from("`");
        for c in text.chars().take(64) {
            match c {
                '"' | '\'' | '\\' => quoted.push(c),
                _ => quoted.extend(c.escape_debug()),
            }
        }
        quoted.push_str(if text.chars().nth(64).is_some() { "…`" } else { "`" });
        Self(quoted)
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The candidate that `found` is likely a slip of, if any is near.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // The distance costs the product of both lengths: names are short, garbage need not be.
    if found.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(found, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_, name)| name.to_owned())
}
