//! One C-ECHO to one peer, within one deadline.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use dicom_ul::{
    Pdu,
    pdu::{
        AssociationAC, AssociationRQ, PDataValue, PDataValueType, PresentationContextProposed,
        PresentationContextResultReason as ContextResult, UserVariableItem,
    },
    write_pdu,
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    command::{ECHO_RSP, VERIFICATION, echo_request, parse_echo_response},
    failure::{ContextFault, Failure, GarbageSign, Limit, Phase, Surprise},
    printable::Printable,
    report::{Identity, Phases, Report},
    tls::Tls,
    wire::{MAX_COMMAND, MAX_PDU, Wire},
};
use crate::policy::model::{Peer, PeerTls};

/// Implicit VR Little Endian, the transfer syntax that every peer must know (PS3.5 section 10.1).
const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// The DICOM application context (PS3.7 annex A.2.1).
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// This program's Implementation Class UID, of the UUID form (PS3.5 annex B.2).
const CLASS_UID: &str = "2.25.67281628028835678550494807420429717733";
/// At most 16 characters (PS3.7 annex D.3.3.2).
const VERSION_NAME: &str = "PACS_GUARD";
/// The one presentation context that is proposed; ids are odd (PS3.8 section 9.3.2.2).
const CONTEXT: u8 = 1;
/// The one message of an association.
const MESSAGE: u16 = 1;
/// How long a peer that has passed may take over A-RELEASE. Many never answer it.
const RELEASE_WAIT: Duration = Duration::from_millis(500);
/// Longest text that is kept of what a peer says of itself, in characters: a UID's 64 (PS3.5 section 9.1).
const MAX_TEXT: usize = 64;

/// A peer to ask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its name in the policy, for the report.
    pub name: String,
    /// Never a host name: a name server must not choose who is asked.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
    /// Called AE title, 1 to 16 ASCII characters (PS3.5 section 6.2, VR AE).
    pub called: String,
    /// Calling AE title, as above.
    pub calling: String,
    /// How it is asked over TLS; `None` means in clear.
    pub tls: Option<PeerTls>,
}

impl From<&Peer> for Target {
    fn from(peer: &Peer) -> Self {
        Self {
            name: peer.name.clone(),
            address: peer.address,
            port: peer.port,
            called: peer.ae_title.clone(),
            calling: peer.calling_ae_title.clone(),
            tls: peer.tls.clone(),
        }
    }
}

/// Asks a peer: connects, associates for Verification, sends one C-ECHO, releases. Takes no longer than
/// `deadline`, whatever the peer does, and holds under 200 KiB of what it sends.
///
/// A peer that answers the echo has passed, even if it never answers the release.
pub async fn probe(target: &Target, deadline: Duration) -> Report {
    let when = jiff::Timestamp::now();
    let start = Instant::now();
    let mut phases = Phases::default();
    let outcome = match timeout(deadline, ask(target, &mut phases)).await {
        Ok(Ok((identity, wire))) => {
            let wait = RELEASE_WAIT.min(deadline.saturating_sub(start.elapsed()));
            let _ = timeout(wait, wire.release()).await;
            Ok(identity)
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) if phases.connect_us.is_none() => Err(Failure::NoAnswer),
        Err(_) => Err(Failure::TooSlow { phase: phases.current(target.tls.is_some()) }),
    };
    Report::new(target, when, phases, outcome)
}

async fn ask(target: &Target, phases: &mut Phases) -> Result<(Identity, Wire), Failure> {
    let request = association_request(target)?;
    let tls = target.tls.as_ref().map(|settings| Tls::read(settings, target.address)).transpose()?;
    let begun = Instant::now();
    let stream = TcpStream::connect(SocketAddr::new(target.address, target.port))
        .await
        .map_err(|error| Failure::from_io(&error, Phase::Connect))?;
    // Our PDUs are whole writes; waiting for more would only add to what is measured. It can't fail in a way that
    // the next write does not tell better.
    let _ = stream.set_nodelay(true);
    phases.connect_us = Some(micros_since(begun));
    let (mut wire, certificate) = match tls {
        None => (Wire::new(stream), None),
        Some(tls) => {
            let begun = Instant::now();
            let (stream, certificate) = tls.connect(stream).await?;
            phases.tls_us = Some(micros_since(begun));
            (Wire::new(stream), certificate)
        }
    };
    match converse(&mut wire, &request, phases).await {
        Ok(identity) => Ok((Identity { certificate, ..identity }, wire)),
        Err(failure) => {
            wire.abort();
            Err(failure)
        }
    }
}

async fn converse(wire: &mut Wire, request: &[u8], phases: &mut Phases) -> Result<Identity, Failure> {
    let begun = Instant::now();
    wire.send(request).await;
    let identity = match wire.receive(Phase::Associate).await? {
        (_, Pdu::AssociationAC(accepted)) => accept(accepted)?,
        (pdu_type, _) => return Err(unexpected(Phase::Associate, Surprise::Pdu { pdu_type })),
    };
    phases.associate_us = Some(micros_since(begun));
    let begun = Instant::now();
    wire.send(&echo_pdu()?).await;
    let command = receive_command(wire).await?;
    phases.echo_us = Some(micros_since(begun));
    let response = parse_echo_response(&command)
        .map_err(|error| Failure::Garbage { phase: Phase::Echo, sign: GarbageSign::Command(error) })?;
    if (response.command_field, response.message_id) != (ECHO_RSP, MESSAGE) {
        return Err(unexpected(Phase::Echo, Surprise::Response(response)));
    }
    match response.status {
        0 => Ok(identity),
        code => Err(Failure::Status { code }),
    }
}

/// Gathers the fragments of one command set (PS3.8 annex E.2).
async fn receive_command(wire: &mut Wire) -> Result<Vec<u8>, Failure> {
    let phase = Phase::Echo;
    let mut command = Vec::new();
    loop {
        let values = match wire.receive(phase).await? {
            (_, Pdu::PData { data }) => data,
            (pdu_type, _) => return Err(unexpected(phase, Surprise::Pdu { pdu_type })),
        };
        for value in values {
            let context = value.presentation_context_id;
            if context != CONTEXT || value.value_type != PDataValueType::Command {
                return Err(unexpected(phase, Surprise::DataValue { context }));
            }
            if command.len() + value.data.len() > MAX_COMMAND {
                return Err(Failure::TooLarge { phase, limit: Limit::Command });
            }
            command.extend_from_slice(&value.data);
            if value.is_last {
                return Ok(command);
            }
        }
    }
}

fn association_request(target: &Target) -> Result<Vec<u8>, Failure> {
    let plain = |title: &str| title.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'\\');
    if !plain(&target.called) || !plain(&target.calling) {
        return Err(Failure::BadTitle);
    }
    let request = Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: target.calling.clone(),
        called_ae_title: target.called.clone(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: vec![PresentationContextProposed {
            id: CONTEXT,
            abstract_syntax: VERIFICATION.into(),
            transfer_syntaxes: vec![IMPLICIT_LITTLE_ENDIAN.into()],
        }],
        user_variables: vec![
            UserVariableItem::MaxLength(MAX_PDU),
            UserVariableItem::ImplementationClassUID(CLASS_UID.into()),
            UserVariableItem::ImplementationVersionName(VERSION_NAME.into()),
        ],
    });
    // All else in it is constant, so only a title's length can be wrong.
    encode(&request).ok_or(Failure::BadTitle)
}

fn echo_pdu() -> Result<Vec<u8>, Failure> {
    let data = PDataValue {
        presentation_context_id: CONTEXT,
        value_type: PDataValueType::Command,
        is_last: true,
        data: echo_request(MESSAGE),
    };
    encode(&Pdu::PData { data: vec![data] }).ok_or(Failure::Internal)
}

fn encode(pdu: &Pdu) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).ok().map(|()| bytes)
}

/// Judges the presentation context of an A-ASSOCIATE-AC and takes what the peer says of itself.
fn accept(accepted: AssociationAC) -> Result<Identity, Failure> {
    let fault = |fault| Err(Failure::WrongContext { fault });
    let Some(context) = accepted.presentation_contexts.iter().find(|context| context.id == CONTEXT) else {
        return fault(ContextFault::Unanswered);
    };
    match context.reason {
        ContextResult::Acceptance => {}
        ContextResult::UserRejection => return fault(ContextFault::User),
        ContextResult::NoReason => return fault(ContextFault::Provider),
        ContextResult::AbstractSyntaxNotSupported => return fault(ContextFault::AbstractSyntax),
        ContextResult::TransferSyntaxesNotSupported => return fault(ContextFault::TransferSyntaxes),
    }
    if unpadded(&context.transfer_syntax) != IMPLICIT_LITTLE_ENDIAN {
        return fault(ContextFault::TransferSyntax);
    }
    let mut identity = Identity::default();
    for item in accepted.user_variables {
        match item {
            UserVariableItem::MaxLength(length) => identity.max_pdu = Some(length),
            UserVariableItem::ImplementationClassUID(uid) => identity.implementation_class_uid = safe(&uid),
            UserVariableItem::ImplementationVersionName(name) => {
                identity.implementation_version_name = safe(&name)
            }
            _ => {}
        }
    }
    Ok(identity)
}

fn safe(text: &str) -> Option<String> {
    let text: String = unpadded(text).chars().take(MAX_TEXT).collect();
    (!text.is_empty()).then(|| Printable(&text).to_string())
}

/// Some peers pad with NUL where the standard wants no padding.
fn unpadded(text: &str) -> &str {
    text.trim_end_matches(['\0', ' '])
}

fn unexpected(phase: Phase, surprise: Surprise) -> Failure {
    Failure::Unexpected { phase, surprise }
}

fn micros_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
