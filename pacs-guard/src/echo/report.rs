//! What a probe found, as one line for people and as JSON.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize, Serializer};

use super::{Certificate, Target, failure::Failure, failure::Phase, printable::Printable};

/// A certificate that ends within so many days is warned of.
pub const EXPIRY_WARNING_DAYS: i64 = 30;

/// The result of one probe.
///
/// As JSON: `peer`, `address`, `port`, `when` (RFC 3339, UTC), `phases`, and either `identity` or `failure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The peer's name in the policy, unescaped.
    pub peer: String,
    /// Where it was asked.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
    /// When the probe began.
    pub when: jiff::Timestamp,
    /// How long each phase took.
    pub phases: Phases,
    /// Who answered, or why nobody did.
    #[serde(flatten, serialize_with = "identity_or_failure")]
    pub outcome: Result<Identity, Failure>,
}

impl Report {
    pub(super) fn new(
        target: &Target,
        when: jiff::Timestamp,
        phases: Phases,
        outcome: Result<Identity, Failure>,
    ) -> Self {
        Self { peer: target.name.clone(), address: target.address, port: target.port, when, phases, outcome }
    }
}

/// Microseconds that each phase took, by this host's monotonic clock; `None` for a phase that was not
/// finished.
///
/// The TCP handshake alone is near to network latency. The other two hold the peer's own time and, with many
/// products, about 40 ms of delayed acknowledgement: they are no measure of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// TCP handshake.
    pub connect_us: Option<u64>,
    /// TLS handshake; left out in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// A-ASSOCIATE-RQ to A-ASSOCIATE-AC.
    pub associate_us: Option<u64>,
    /// C-ECHO-RQ to the last fragment of the C-ECHO-RSP.
    pub echo_us: Option<u64>,
}

impl Phases {
    /// The first phase that is not finished; the last one where all are.
    pub(super) fn current(&self, tls: bool) -> Phase {
        match (self.connect_us, self.associate_us) {
            (None, _) => Phase::Connect,
            (_, None) if tls && self.tls_us.is_none() => Phase::Tls,
            (_, None) => Phase::Associate,
            _ => Phase::Echo,
        }
    }
}

/// What a peer says of itself in the A-ASSOCIATE-AC. All text is escaped as [`Printable`] does and bounded.
///
/// **It proves reachability, not identity.** Nothing here is authenticated, Orthanc answers C-ECHO under any
/// AE title by default, and any host can say any of it. It is a base line: a change is worth a look, never a
/// block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Implementation Class UID (PS3.7 annex D.3.3.2), which the standard demands and some peers leave out.
    pub implementation_class_uid: Option<String>,
    /// Implementation Version Name (PS3.7 annex D.3.3.2), optional by the standard.
    pub implementation_version_name: Option<String>,
    /// Maximum PDU length that it receives, in bytes; 0 means no limit (PS3.8 annex D.1).
    pub max_pdu: Option<u32>,
    /// Its certificate, over TLS: the one thing here that is proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

impl Identity {
    /// Whole days until its certificate ends, where it has one.
    pub fn certificate_days(&self, now: jiff::Timestamp) -> Option<i64> {
        self.certificate.as_ref().map(|certificate| certificate.days_left(now))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome<'a> {
    Identity(&'a Identity),
    Failure(&'a Failure),
}

fn identity_or_failure<S: Serializer>(outcome: &Result<Identity, Failure>, to: S) -> Result<S::Ok, S::Error> {
    match outcome {
        Ok(identity) => Outcome::Identity(identity),
        Err(failure) => Outcome::Failure(failure),
    }
    .serialize(to)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", Printable(&self.peer), SocketAddr::new(self.address, self.port))?;
        let identity = match &self.outcome {
            Ok(identity) => identity,
            Err(failure) => return failure.fmt(f),
        };
        let ms = |us: Option<u64>| us.unwrap_or(0) as f64 / 1000.0;
        let Phases { connect_us, tls_us, associate_us, echo_us } = self.phases;
        let (connect, tls, associate, echo) = (ms(connect_us), ms(tls_us), ms(associate_us), ms(echo_us));
        write!(f, "answers C-ECHO in {:.0} ms ", connect + tls + associate + echo)?;
        write!(f, "(connect {connect:.1} ms, ")?;
        if tls_us.is_some() {
            write!(f, "TLS {tls:.1} ms, ")?;
        }
        write!(f, "associate {associate:.1} ms, echo {echo:.1} ms; ")?;
        let name =
            identity.implementation_version_name.as_ref().or(identity.implementation_class_uid.as_ref());
        write!(f, "{})", name.map_or("says nothing of itself", String::as_str))?;
        match identity.certificate_days(self.when) {
            Some(days) if days < EXPIRY_WARNING_DAYS => write!(f, "; its certificate ends in {days} days"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::echo::Rejection;

    fn report(outcome: Result<Identity, Failure>) -> Report {
        Report {
            peer: "CT1".into(),
            address: "10.20.0.11".parse().unwrap(),
            port: 104,
            when: jiff::Timestamp::UNIX_EPOCH,
            phases: Phases {
                connect_us: Some(300),
                tls_us: None,
                associate_us: Some(2100),
                echo_us: Some(43_600),
            },
            outcome,
        }
    }

    fn dcmtk() -> Identity {
        Identity {
            implementation_class_uid: Some("1.2.276.0.7230010.3.0.3.6.7".into()),
            implementation_version_name: Some("OFFIS_DCMTK_367".into()),
            max_pdu: Some(16_384),
            certificate: None,
        }
    }

    #[test]
    fn success_is_one_line() {
        assert_eq!(
            report(Ok(dcmtk())).to_string(),
            "CT1 10.20.0.11:104 answers C-ECHO in 46 ms \
             (connect 0.3 ms, associate 2.1 ms, echo 43.6 ms; OFFIS_DCMTK_367)"
        );
    }

    #[test]
    fn failure_is_one_line() {
        assert_eq!(
            report(Err(Failure::Rejected(Rejection::decode([1, 1, 7])))).to_string(),
            "CT1 10.20.0.11:104 rejects the association: \
             called AE title not recognised (permanent, by the service user)"
        );
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let mut report = report(Err(Failure::Refused));
        report.peer = "CT1\u{1b}[2J".into();
        report.address = "2001:db8::1".parse().unwrap();
        assert_eq!(report.to_string(), "CT1\\u{1b}[2J [2001:db8::1]:104 refuses the connection");
    }

    #[test]
    fn json_has_identity_or_failure() {
        assert_eq!(
            serde_json::to_value(report(Ok(dcmtk()))).unwrap(),
            serde_json::json!({
                "peer": "CT1", "address": "10.20.0.11", "port": 104, "when": "1970-01-01T00:00:00Z",
                "phases": { "connect_us": 300, "associate_us": 2100, "echo_us": 43_600 },
                "identity": {
                    "implementation_class_uid": "1.2.276.0.7230010.3.0.3.6.7",
                    "implementation_version_name": "OFFIS_DCMTK_367",
                    "max_pdu": 16_384,
                },
            })
        );
        let refused = serde_json::to_value(report(Err(Failure::Refused))).unwrap();
        assert_eq!(refused.pointer("/failure/kind").unwrap(), "refused");
        assert!(refused.get("identity").is_none());
    }
}
