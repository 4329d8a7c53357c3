//! CEF: events as ArcSight's Common Event Format, revision 27, which most SIEMs take.

use std::fmt::{self, Write};

use super::beat::Beat;
use crate::control::EventRecord;

/// One event, as a line.
pub(super) fn event(event: &EventRecord) -> String {
    let severity = if event.dropped() { 5 } else { 3 };
    let mut line = Line::new(&event.reason, "Packet refused", severity);
    line.field("rt", event.time.as_millisecond());
    let addresses = [
        ("src", "c6a2", "Source IPv6 Address", event.source),
        ("dst", "c6a3", "Destination IPv6 Address", event.destination),
    ];
    for (ipv4, ipv6, label, address) in addresses {
        match address {
            None => {}
            Some(address) if address.is_ipv4() => line.field(ipv4, address),
            Some(address) => line.labelled(ipv6, address, label),
        }
    }
    line.field("spt", event.source_port);
    line.field("dpt", event.destination_port);
    match event.protocol {
        6 => line.field("proto", "TCP"),
        17 => line.field("proto", "UDP"),
        number => line.field("proto", number),
    }
    line.field("act", &event.verdict);
    line.field("reason", &event.reason);
    line.labelled("cn1", event.generation, "generation");
    line.labelled("cn2", event.interface, "interface");
    if let Some(segment) = &event.segment {
        line.labelled("cs1", segment, "segment");
    }
    if let Some(service) = &event.service {
        line.labelled("cs2", service, "service");
    }
    line.0
}

/// How many came, and how many did not.
pub(super) fn beat(beat: &Beat) -> String {
    let mut line = Line::new("heartbeat", "Events shown and left out", 0);
    line.field("rt", beat.at.as_millisecond());
    line.field("cnt", beat.events);
    line.labelled("cn1", beat.missed, "missed");
    if let Some(left_out) = beat.left_out {
        line.labelled("cn2", left_out.suppressed, "suppressed");
        line.labelled("cn3", left_out.lost, "lost");
    }
    line.labelled("cfp1", format_args!("{:.3}", beat.rate()), "events per second");
    line.0
}

struct Line(String);

impl Line {
    fn new(id: &str, name: &str, severity: u8) -> Self {
        let (id, name) = (Escaped(id, '|'), Escaped(name, '|'));
        Self(format!("CEF:0|pacs-guard|pacs-guard|{}|{id}|{name}|{severity}|", env!("CARGO_PKG_VERSION")))
    }

    fn field(&mut self, key: &str, value: impl fmt::Display) {
        let space = if self.0.ends_with('|') { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(self.0, "{space}{key}={}", Escaped(&value.to_string(), '='));
    }

    fn labelled(&mut self, key: &str, value: impl fmt::Display, label: &str) {
        self.field(key, value);
        self.field(&format!("{key}Label"), label);
    }
}

/// Text with the character escaped that would end it, `|` in the header and `=` behind it; and a line stays one line.
struct Escaped<'a>(&'a str, char);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            c if c == self.1 => write!(f, "\\{c}"),
            // Only behind the header may a line break be written at all.
            '\n' if self.1 == '=' => f.write_str("\\n"),
            '\r' if self.1 == '=' => f.write_str("\\r"),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::events::beat::LeftOut;

    fn record() -> EventRecord {
        EventRecord {
            time: "2026-03-01T12:00:00.5Z".parse().unwrap(),
            interface: 2,
            source: Some("10.0.0.9".parse().unwrap()),
            source_port: 40_000,
            destination: Some("fd00::1".parse().unwrap()),
            destination_port: 104,
            protocol: 6,
            verdict: "drop".into(),
            reason: "not-in-segment".into(),
            segment: None,
            service: Some("a=b|c\\d\ne\u{1b}".into()),
            generation: 7,
        }
    }

    #[test]
    fn an_event_is_one_line_with_every_separator_escaped() {
        assert_eq!(
            event(&record()),
            format!(
                "CEF:0|pacs-guard|pacs-guard|{}|not-in-segment|Packet refused|5|rt=1772366400500 src=10.0.0.9 \
                 c6a3=fd00::1 c6a3Label=Destination IPv6 Address spt=40000 dpt=104 proto=TCP act=drop \
                 reason=not-in-segment cn1=7 cn1Label=generation cn2=2 cn2Label=interface \
                 cs2=a\\=b|c\\\\d\\ne  cs2Label=service",
                env!("CARGO_PKG_VERSION")
            )
        );
    }

    #[test]
    fn the_header_escapes_bars_and_takes_no_line_break() {
        let line = event(&EventRecord { reason: "a|b\\c=d\ne".into(), ..record() });
        assert!(line.contains("|a\\|b\\\\c=d e|Packet refused|"), "{line}");
        assert!(line.contains("reason=a|b\\\\c\\=d\\ne "), "{line}");
    }

    #[test]
    fn a_beat_says_what_was_left_out() {
        let left_out = Some(LeftOut { suppressed: 34, lost: 1 });
        let at = "2026-03-01T12:00:00Z".parse().unwrap();
        let line = beat(&Beat { at, seconds: 60.0, events: 30, missed: 2, left_out });
        let end = "|heartbeat|Events shown and left out|0|rt=1772366400000 cnt=30 cn1=2 cn1Label=missed cn2=34 \
                   cn2Label=suppressed cn3=1 cn3Label=lost cfp1=0.500 cfp1Label=events per second";
        assert!(line.ends_with(end), "{line}");
    }
}
