//! Every way in which a probe can fail, each with a name that metrics can use.

use std::{fmt, io, path::PathBuf};

use serde::Serialize;

use super::{
    command::{CommandError, EchoResponse},
    refusal::{Abort, Rejection},
    tls::TlsFault,
};

/// Why a peer has not passed a C-ECHO. Reads on after the peer's name: "CT1 10.20.0.11:104 refuses the
/// connection".
///
/// As JSON it is an object whose `kind` is [`Failure::kind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Failure {
    /// An AE title that can't be sent; found before connecting.
    #[error("was not asked: an AE title is blank, over 16 characters or not plain ASCII")]
    BadTitle,
    /// TCP RST to our SYN: a host is there and nothing listens.
    #[error("refuses the connection")]
    Refused,
    /// No TCP connection within the deadline: switched off, or a firewall drops in silence.
    #[error("does not answer: no TCP connection within the deadline")]
    NoAnswer,
    /// The network says that there is no way to the peer.
    #[error("can't be reached: no route")]
    NoRoute,
    /// This host's own socket failed: no file descriptors, or a rule of its own firewall.
    #[error("could not be asked, {phase}: {}", OsError(*os_error))]
    Socket {
        /// When.
        phase: Phase,
        /// The kernel's errno, where there is one.
        os_error: Option<i32>,
    },
    /// A file of the peer's `tls` settings can't be used.
    #[error("was not asked: {}: {why}", .file.display())]
    TlsSetup {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS fails.
    #[error("fails in TLS, {phase}: {fault}")]
    Tls {
        /// When: a peer may refuse our certificate after the handshake.
        phase: Phase,
        /// What is wrong.
        #[serde(flatten)]
        fault: TlsFault,
    },
    /// A-ASSOCIATE-RJ.
    #[error("rejects the association: {0}")]
    Rejected(Rejection),
    /// A-ABORT.
    #[error("aborts the association, {phase}: {abort}")]
    Aborted {
        /// When.
        phase: Phase,
        /// What it says about why.
        #[serde(flatten)]
        abort: Abort,
    },
    /// The association stands, but not for Verification with Implicit VR Little Endian.
    #[error("does not take Verification with Implicit VR Little Endian: {fault}")]
    WrongContext {
        /// What it answered instead.
        fault: ContextFault,
    },
    /// A C-ECHO-RSP with another status than success.
    #[error("answers C-ECHO with failure status {code:04X}h ({})", status_words(*code))]
    Status {
        /// (0000,0900), PS3.7 annex C.
        code: u16,
    },
    /// Bytes that are not DICOM.
    #[error("does not speak DICOM, {phase}: {sign}")]
    Garbage {
        /// When.
        phase: Phase,
        /// What they are instead.
        #[serde(flatten)]
        sign: GarbageSign,
    },
    /// Connected, and then the deadline passed.
    #[error("is too slow: the deadline passed {phase}")]
    TooSlow {
        /// When.
        phase: Phase,
    },
    /// More than a C-ECHO can need.
    #[error("sends too much, {phase}: {limit}")]
    TooLarge {
        /// When.
        phase: Phase,
        /// The bound that it would break.
        #[serde(flatten)]
        limit: Limit,
    },
    /// The peer ended the connection mid-way.
    #[error("{} the connection {phase}", if *reset { "resets" } else { "closes" })]
    Closed {
        /// When.
        phase: Phase,
        /// By RST rather than FIN.
        reset: bool,
    },
    /// DICOM, but not the answer to what was asked.
    #[error("answers something else, {phase}: {surprise}")]
    Unexpected {
        /// When.
        phase: Phase,
        /// What came.
        #[serde(flatten)]
        surprise: Surprise,
    },
    /// The probe itself crashed: a fault of this program, never of the peer's.
    #[error("could not be asked: the probe crashed, please report it")]
    Internal,
}

impl Failure {
    /// Static name, for metrics and scripts. Stable.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BadTitle => "bad-title",
            Self::Refused => "refused",
            Self::NoAnswer => "no-answer",
            Self::NoRoute => "no-route",
            Self::Socket { .. } => "socket",
            Self::TlsSetup { .. } => "tls-setup",
            Self::Tls { .. } => "tls",
            Self::Rejected(_) => "rejected",
            Self::Aborted { .. } => "aborted",
            Self::WrongContext { .. } => "wrong-context",
            Self::Status { .. } => "status",
            Self::Garbage { .. } => "garbage",
            Self::TooSlow { .. } => "too-slow",
            Self::TooLarge { .. } => "too-large",
            Self::Closed { .. } => "closed",
            Self::Unexpected { .. } => "unexpected",
            Self::Internal => "internal",
        }
    }

    /// What a socket's error means in a phase.
    pub(super) fn from_io(error: &io::Error, phase: Phase) -> Self {
        use io::ErrorKind as Kind;
        if let Some(fault) = TlsFault::of(error) {
            return Self::Tls { phase, fault };
        }
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::TimedOut if phase == Phase::Connect => Self::NoAnswer,
            Kind::TimedOut => Self::TooSlow { phase },
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => Self::NoRoute,
            Kind::UnexpectedEof => Self::Closed { phase, reset: false },
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                Self::Closed { phase, reset: true }
            }
            _ => Self::Socket { phase, os_error: error.raw_os_error() },
        }
    }
}

/// How far a probe had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The TCP handshake.
    Connect,
    /// The TLS handshake.
    Tls,
    /// A-ASSOCIATE.
    Associate,
    /// C-ECHO.
    Echo,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "while connecting",
            Self::Tls => "in the TLS handshake",
            Self::Associate => "while associating",
            Self::Echo => "while answering C-ECHO",
        })
    }
}

/// What an accepted association lacks (PS3.8 table 9-18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContextFault {
    /// Our presentation context is not in the answer.
    #[error("the answer leaves it out")]
    Unanswered,
    /// Accepted, with a transfer syntax that was not proposed.
    #[error("it picks a transfer syntax that was not proposed")]
    TransferSyntax,
    /// Result 1.
    #[error("rejected by the user")]
    User,
    /// Result 2.
    #[error("rejected by the provider without a reason")]
    Provider,
    /// Result 3.
    #[error("abstract syntax not supported")]
    AbstractSyntax,
    /// Result 4.
    #[error("transfer syntaxes not supported")]
    TransferSyntaxes,
}

/// What the bytes that are not DICOM look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "sign", rename_all = "kebab-case")]
pub enum GarbageSign {
    /// A TLS record: the port wants TLS.
    #[error("it answers with TLS, so the port may want TLS")]
    Tls,
    /// A first byte that begins no PDU.
    #[error("no PDU begins with {first:02X}h")]
    NotAPdu {
        /// The byte.
        first: u8,
    },
    /// A PDU whose inside can't be read.
    #[error("a malformed PDU of type {pdu_type:02X}h")]
    MalformedPdu {
        /// PS3.8 section 9.3.1.
        pdu_type: u8,
    },
    /// A command set that can't be read.
    #[error("{0}")]
    Command(CommandError),
}

/// The bounds on what a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "limit", rename_all = "kebab-case")]
pub enum Limit {
    /// Longer than the maximum length that was negotiated.
    #[error("a PDU of {stated} bytes")]
    PduLength {
        /// The length in the PDU's header.
        stated: u32,
    },
    /// Too many PDUs in one probe.
    #[error("over {} PDUs", super::wire::MAX_PDUS)]
    Pdus,
    /// Too many bytes in one probe.
    #[error("over {} bytes", super::wire::MAX_BYTES)]
    Bytes,
    /// A command set over the bound.
    #[error("a command set over {} bytes", super::wire::MAX_COMMAND)]
    Command,
}

/// DICOM that was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "surprise", rename_all = "kebab-case")]
pub enum Surprise {
    /// A PDU that has no place in this phase.
    #[error("a PDU of type {pdu_type:02X}h")]
    Pdu {
        /// PS3.8 section 9.3.1.
        pdu_type: u8,
    },
    /// A data fragment, or one of another presentation context.
    #[error("a data value on presentation context {context} that no C-ECHO holds")]
    DataValue {
        /// The presentation context.
        context: u8,
    },
    /// A response to something else, or none.
    #[error("command {:04X}h in answer to message {}", .0.command_field, .0.message_id)]
    Response(EchoResponse),
}

/// The kernel's words for an errno.
struct OsError(Option<i32>);

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => io::Error::from_raw_os_error(code).fmt(f),
            None => f.write_str("the socket failed"),
        }
    }
}

/// Statuses that PS3.7 section 9.1.5.1.4 gives for C-ECHO.
fn status_words(code: u16) -> &'static str {
    match code {
        0x0122 => "SOP class not supported",
        0x0210 => "duplicate invocation",
        0x0211 => "unrecognised operation",
        0x0212 => "mistyped argument",
        _ => "not one that the standard gives for C-ECHO",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn json_kind_is_the_metric_kind() {
        let phase = Phase::Echo;
        let all = [
            Failure::BadTitle,
            Failure::Refused,
            Failure::NoAnswer,
            Failure::NoRoute,
            Failure::Socket { phase, os_error: Some(24) },
            Failure::TlsSetup { file: "/ca.pem".into(), why: "it holds no certificate".into() },
            Failure::Tls { phase: Phase::Tls, fault: TlsFault::Expired },
            Failure::Rejected(Rejection::decode([1, 1, 7])),
            Failure::Aborted { phase, abort: Abort::decode([2, 0]) },
            Failure::WrongContext { fault: ContextFault::AbstractSyntax },
            Failure::Status { code: 0x0122 },
            Failure::Garbage { phase, sign: GarbageSign::Command(CommandError::Truncated { at: 0 }) },
            Failure::TooSlow { phase },
            Failure::TooLarge { phase, limit: Limit::PduLength { stated: u32::MAX } },
            Failure::Closed { phase, reset: true },
            Failure::Unexpected { phase, surprise: Surprise::Pdu { pdu_type: 5 } },
            Failure::Internal,
        ];
        for failure in all {
            let json = serde_json::to_value(&failure).unwrap();
            assert_eq!(json["kind"], failure.kind(), "{failure:?}");
            assert!(!failure.to_string().is_empty());
        }
    }

    #[test]
    fn errno_is_judged_by_phase() {
        let cases = [
            (111, Phase::Connect, Failure::Refused),
            (110, Phase::Connect, Failure::NoAnswer),
            (110, Phase::Echo, Failure::TooSlow { phase: Phase::Echo }),
            (113, Phase::Connect, Failure::NoRoute),
            (101, Phase::Connect, Failure::NoRoute),
            (104, Phase::Associate, Failure::Closed { phase: Phase::Associate, reset: true }),
            (24, Phase::Connect, Failure::Socket { phase: Phase::Connect, os_error: Some(24) }),
        ];
        for (errno, phase, want) in cases {
            assert_eq!(Failure::from_io(&io::Error::from_raw_os_error(errno), phase), want);
        }
        let words = "could not be asked, while connecting: Too many open files (os error 24)";
        assert_eq!(Failure::Socket { phase: Phase::Connect, os_error: Some(24) }.to_string(), words);
    }
}
