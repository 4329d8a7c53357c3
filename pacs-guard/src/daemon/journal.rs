//! The journal: refused packets as entries with fields, by systemd's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

use std::{
    fmt::{Display, Write},
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::control::EventRecord;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Entries a second. journald takes 10,000 of a service in 30 s and then drops whatever comes: a flood of refused packets
/// must not cost the daemon's own words.
const BUDGET: u32 = 100;

/// The way to journald. Each entry goes to whoever listens by then: a journald that starts anew is another listener.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    /// The second that is budgeted, and what it has had.
    second: (Instant, u32),
    /// Events that made no entry since the last entry.
    left_out: u64,
    /// Events that made none at all.
    all_left_out: u64,
}

impl Journal {
    /// Opens it where systemd runs the daemon; `None` elsewhere. Enforcement never depends on it.
    pub(super) fn of_the_service() -> Option<Self> {
        std::env::var_os("JOURNAL_STREAM")?;
        let journal = Self::at(Path::new(SOCKET));
        journal.inspect_err(|why| tracing::warn!("refused packets are not in the journal: {why}")).ok()
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // The daemon waits for no reader of its log.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned(), second: (Instant::now(), 0), left_out: 0, all_left_out: 0 })
    }

    /// Events that made no entry since the daemon started.
    pub(super) const fn all_left_out(&self) -> u64 {
        self.all_left_out
    }

    /// Writes an entry, or counts that there is none.
    pub(super) fn record(&mut self, event: &EventRecord) {
        if self.second.0.elapsed() >= Duration::from_secs(1) {
            self.second = (Instant::now(), 0);
        }
        let send = |left_out| self.socket.send_to(entry(event, left_out).as_bytes(), &self.path);
        if self.second.1 < BUDGET && send(self.left_out).is_ok() {
            self.second.1 += 1;
            self.left_out = 0;
        } else {
            self.left_out += 1;
            self.all_left_out += 1;
        }
    }
}

/// One field a line: no value may hold a line break, and none does.
fn entry(event: &EventRecord, left_out: u64) -> String {
    let source = event.source.map_or_else(|| "?".to_owned(), |source| source.to_string());
    let mut text = String::new();
    let mut field = |key: &str, value: &dyn Display| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{key}={}", value.to_string().replace(char::is_control, " "));
    };
    let message = format!("{}: {source} to port {}, {}", event.verdict, event.destination_port, event.reason);
    field("MESSAGE", &message);
    // Normal, but of note (syslog(3)).
    field("PRIORITY", &5);
    field("SYSLOG_IDENTIFIER", &"pacs-guard");
    field("PACS_GUARD_VERDICT", &event.verdict);
    field("PACS_GUARD_REASON", &event.reason);
    field("PACS_GUARD_SOURCE", &source);
    field("PACS_GUARD_SOURCE_PORT", &event.source_port);
    if let Some(destination) = &event.destination {
        field("PACS_GUARD_DESTINATION", destination);
    }
    field("PACS_GUARD_DESTINATION_PORT", &event.destination_port);
    field("PACS_GUARD_PROTOCOL", &event.protocol);
    if let Some(segment) = &event.segment {
        field("PACS_GUARD_SEGMENT", segment);
    }
    if let Some(service) = &event.service {
        field("PACS_GUARD_SERVICE", service);
    }
    field("PACS_GUARD_GENERATION", &event.generation);
    field("PACS_GUARD_INTERFACE", &event.interface);
    if left_out > 0 {
        field("PACS_GUARD_LEFT_OUT", &left_out);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventRecord {
        EventRecord {
            time: jiff::Timestamp::now(),
            interface: 2,
            source: Some("10.0.0.9".parse().unwrap()),
            source_port: 40_000,
            destination: Some("10.0.0.1".parse().unwrap()),
            destination_port: 104,
            protocol: 6,
            verdict: "drop".into(),
            reason: "service-not-allowed".into(),
            segment: Some("view\ners".into()),
            service: Some("dicom".into()),
            generation: 7,
        }
    }

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 4096];
        let count = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    #[test]
    fn a_refusal_is_an_entry_with_fields_and_a_flood_is_bounded_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        journald.set_nonblocking(true).unwrap();
        let mut journal = Journal::at(&path).unwrap();
        journal.record(&event());
        assert_eq!(
            heard(&journald).unwrap(),
            "MESSAGE=drop: 10.0.0.9 to port 104, service-not-allowed\nPRIORITY=5\nSYSLOG_IDENTIFIER=pacs-guard\n\
             PACS_GUARD_VERDICT=drop\nPACS_GUARD_REASON=service-not-allowed\nPACS_GUARD_SOURCE=10.0.0.9\n\
             PACS_GUARD_SOURCE_PORT=40000\nPACS_GUARD_DESTINATION=10.0.0.1\nPACS_GUARD_DESTINATION_PORT=104\n\
             PACS_GUARD_PROTOCOL=6\nPACS_GUARD_SEGMENT=view ers\nPACS_GUARD_SERVICE=dicom\n\
             PACS_GUARD_GENERATION=7\nPACS_GUARD_INTERFACE=2\n"
        );
        // What the budget leaves out, and what nobody takes, is told by the next entry.
        journal.second = (Instant::now(), BUDGET);
        (0..3).for_each(|_| journal.record(&event()));
        assert_eq!(heard(&journald), None);
        journal.second.1 = 0;
        journal.record(&event());
        assert!(heard(&journald).unwrap().ends_with("PACS_GUARD_LEFT_OUT=3\n"));
        drop(journald);
        journal.record(&event());
        // A journald that starts anew makes the socket anew.
        std::fs::remove_file(&path).unwrap();
        journal.record(&event());
        let journald = UnixDatagram::bind(&path).unwrap();
        journal.record(&event());
        assert!(heard(&journald).unwrap().ends_with("PACS_GUARD_LEFT_OUT=2\n"));
        assert_eq!(journal.all_left_out(), 5);
    }
}
