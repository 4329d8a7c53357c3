//! One C-ECHO to one peer, within one deadline.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use dicom_ul::{
    Pdu,
    pdu::{PDataValue, PDataValueType},
};
use serde::Serialize;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    command::{ECHO_RSP, VERIFICATION, echo_request, parse_echo_response},
    failure::{ContextFault, Failure, GarbageSign, Limit, Phase, Surprise},
    negotiate::{Answer, context_id, encode, read_answer, request},
    report::{Identity, Phases, Report},
    tls::{Certificate, Tls},
    wire::{MAX_COMMAND, Wire},
};
use crate::policy::model::{Peer, PeerTls};

/// The one presentation context of an echo.
const CONTEXT: u8 = context_id(0);
/// The one message of an association.
const MESSAGE: u16 = 1;
/// How long a peer that has passed may take over A-RELEASE. Many never answer it.
const RELEASE_WAIT: Duration = Duration::from_millis(500);

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
    let request = request(target, &[VERIFICATION])?;
    let tls = target.tls.as_ref().map(|settings| Tls::read(settings, target.address)).transpose()?;
    let (mut wire, certificate) = connect(target, tls, phases).await?;
    match converse(&mut wire, &request, phases).await {
        Ok(identity) => Ok((Identity { certificate, ..identity }, wire)),
        Err(failure) => {
            wire.abort();
            Err(failure)
        }
    }
}

async fn connect(
    target: &Target,
    tls: Option<Tls>,
    phases: &mut Phases,
) -> Result<(Wire, Option<Certificate>), Failure> {
    let begun = Instant::now();
    let stream = TcpStream::connect(SocketAddr::new(target.address, target.port))
        .await
        .map_err(|error| Failure::from_io(&error, Phase::Connect))?;
    // Our PDUs are whole writes; waiting for more would only add to what is measured. It can't fail in a way that
    // the next write does not tell better.
    let _ = stream.set_nodelay(true);
    phases.connect_us = Some(micros_since(begun));
    let Some(tls) = tls else { return Ok((Wire::new(stream), None)) };
    let begun = Instant::now();
    let (stream, certificate) = tls.connect(stream).await?;
    phases.tls_us = Some(micros_since(begun));
    Ok((Wire::new(stream), certificate))
}

async fn associate(wire: &mut Wire, request: &[u8], contexts: usize) -> Result<Answer, Failure> {
    wire.send(request).await;
    match wire.receive(Phase::Associate).await? {
        (_, Pdu::AssociationAC(accepted)) => Ok(read_answer(accepted, contexts)),
        (pdu_type, _) => Err(unexpected(Phase::Associate, Surprise::Pdu { pdu_type })),
    }
}

/// How [`negotiate`] connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// In clear.
    Clear,
    /// Over TLS, without a certificate to show, and whoever answers.
    StrangersTls,
}

/// Asks what a peer would take, and takes nothing: associates with these abstract syntaxes and releases at once.
/// No command is sent. `None` in the answer is a context that it accepts. The target's own TLS settings don't count.
///
/// # Errors
/// Where there is no association.
pub async fn negotiate(
    target: &Target,
    channel: Channel,
    syntaxes: &[&str],
    deadline: Duration,
) -> Result<Vec<Option<ContextFault>>, Failure> {
    let mut phases = Phases::default();
    let asked = timeout(deadline, async {
        let request = request(target, syntaxes)?;
        let tls = match channel {
            Channel::Clear => None,
            Channel::StrangersTls => Some(Tls::of_a_stranger(target.address)?),
        };
        let (mut wire, _) = connect(target, tls, &mut phases).await?;
        match associate(&mut wire, &request, syntaxes.len()).await {
            Ok(answer) => Ok((answer, wire)),
            Err(failure) => {
                wire.abort();
                Err(failure)
            }
        }
    });
    match asked.await {
        Ok(Ok((answer, wire))) => {
            let _ = timeout(RELEASE_WAIT, wire.release()).await;
            Ok(answer.contexts)
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) if phases.connect_us.is_none() => Err(Failure::NoAnswer),
        Err(_) => Err(Failure::TooSlow { phase: phases.current(channel == Channel::StrangersTls) }),
    }
}

async fn converse(wire: &mut Wire, request: &[u8], phases: &mut Phases) -> Result<Identity, Failure> {
    let begun = Instant::now();
    let Answer { identity, contexts } = associate(wire, request, 1).await?;
    if let Some(fault) = contexts.into_iter().flatten().next() {
        return Err(Failure::WrongContext { fault });
    }
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

fn echo_pdu() -> Result<Vec<u8>, Failure> {
    let data = PDataValue {
        presentation_context_id: CONTEXT,
        value_type: PDataValueType::Command,
        is_last: true,
        data: echo_request(MESSAGE),
    };
    encode(&Pdu::PData { data: vec![data] }).ok_or(Failure::Internal)
}

fn unexpected(phase: Phase, surprise: Surprise) -> Failure {
    Failure::Unexpected { phase, surprise }
}

fn micros_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
