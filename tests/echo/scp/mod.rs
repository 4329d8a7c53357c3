//! A DICOM peer whose every byte the test chooses, on a loopback port of its own.
// Shared by several test binaries, none of which needs all of it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use dicom_ul::{
    Pdu,
    pdu::{
        AssociationAC, PDataValue, PDataValueType, PresentationContextResult,
        PresentationContextResultReason, UserVariableItem, write_pdu,
    },
};
use pacs_guard::echo::{Failure, Report, Target, probe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

/// The deadline of a probe that is expected to end well before it.
pub const AMPLE: Duration = Duration::from_secs(10);
/// The deadline of a probe that is expected to run into it.
pub const SHORT: Duration = Duration::from_millis(400);

pub fn target(at: SocketAddr) -> Target {
    Target {
        name: "CT1".into(),
        address: at.ip(),
        port: at.port(),
        called: "CT1".into(),
        calling: "PACSGUARD".into(),
        tls: None,
    }
}

/// Serves each connection with `script`, until the runtime ends.
pub async fn serve<F, R>(script: F) -> SocketAddr
where
    F: Fn(Peer) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(Peer { stream }));
        }
    });
    at
}

/// An address that is taken and not listened on: connections are refused for as long as the socket lives.
pub fn refusing() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

/// A listener whose backlog is full: the kernel drops every further SYN. Keep what comes back for as long.
pub async fn hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(at)).await {
        fillers.push(filler.unwrap());
    }
    (at, listener, fillers)
}

/// The most that this process may grow by in one probe, in KiB. A peer that is believed costs gigabytes: 4.2 GB for
/// one element length of 0xFFFFFFF0, 1.1 GB for one PDU length of 0x7FFFFFF0.
const MOST_GROWTH: u64 = 32 * 1024;

/// Peak resident memory of this process so far, in KiB.
pub fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Probes, and fails where that takes memory by what a peer claims.
pub async fn frugal(target: &Target, deadline: Duration) -> Report {
    let before = peak_kib();
    let report = probe(target, deadline).await;
    let grown = peak_kib() - before;
    assert!(grown < MOST_GROWTH, "grew by {grown} KiB: {report}");
    report
}

/// Probes a peer that follows `script`; it has ample time.
pub async fn ask<F, R>(script: F) -> Report
where
    F: Fn(Peer) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let at = serve(script).await;
    let begun = Instant::now();
    let report = frugal(&target(at), AMPLE).await;
    assert!(begun.elapsed() < AMPLE / 2, "a judgement that needed the deadline");
    report
}

pub fn failure(report: Report) -> Failure {
    report.outcome.expect_err("the peer passed")
}

/// Probes with a short deadline a peer that outlasts it.
pub async fn outlast<F, R>(script: F) -> Report
where
    F: Fn(Peer) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let at = serve(script).await;
    let begun = Instant::now();
    let report = frugal(&target(at), SHORT).await;
    let took = begun.elapsed();
    assert!(took >= SHORT && took < SHORT + Duration::from_millis(500), "took {took:?}");
    report
}

/// One accepted connection.
pub struct Peer {
    pub stream: TcpStream,
}

impl Peer {
    /// Reads one PDU and returns its type and variable field.
    pub async fn read(&mut self) -> (u8, Vec<u8>) {
        let mut header = [0; 6];
        self.stream.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
        let mut body = vec![0; length as usize];
        self.stream.read_exact(&mut body).await.unwrap();
        (header[0], body)
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // The probe may have hung up already, which is for the test to judge on its own end.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Waits until the probe hangs up, so that the socket isn't closed from this side first.
    pub async fn wait(mut self) {
        let mut sink = [0; 256];
        while !matches!(self.stream.read(&mut sink).await, Ok(0) | Err(_)) {}
    }

    /// Takes the request and accepts it as an honest peer does.
    pub async fn associate(&mut self) {
        assert_eq!(self.read().await.0, 1);
        self.write(&accept(IMPLICIT)).await;
    }

    /// Associates and takes the C-ECHO-RQ too.
    pub async fn hear_echo(&mut self) {
        self.associate().await;
        assert_eq!(self.read().await.0, 4);
    }
}

pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// An A-ASSOCIATE-AC that accepts context 1 with a transfer syntax.
pub fn accept(syntax: &str) -> Vec<u8> {
    associate_ac(PresentationContextResultReason::Acceptance, syntax, "HOSTILE_1")
}

pub fn associate_ac(reason: PresentationContextResultReason, syntax: &str, version: &str) -> Vec<u8> {
    encode(&Pdu::AssociationAC(AssociationAC {
        protocol_version: 1,
        application_context_name: "1.2.840.10008.3.1.1.1".into(),
        called_ae_title: "CT1".into(),
        calling_ae_title: "PACSGUARD".into(),
        presentation_contexts: vec![PresentationContextResult {
            id: 1,
            reason,
            transfer_syntax: syntax.into(),
        }],
        user_variables: vec![
            UserVariableItem::MaxLength(32_768),
            UserVariableItem::ImplementationClassUID("1.2.3.4".into()),
            UserVariableItem::ImplementationVersionName(version.into()),
        ],
    }))
}

/// A P-DATA-TF with one command fragment.
pub fn fragment(data: &[u8], is_last: bool) -> Vec<u8> {
    encode(&Pdu::PData {
        data: vec![PDataValue {
            presentation_context_id: 1,
            value_type: PDataValueType::Command,
            is_last,
            data: data.to_vec(),
        }],
    })
}

/// A C-ECHO-RSP command set.
pub fn response(command_field: u16, message_id: u16, status: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in
        [(0x0100u16, command_field), (0x0120, message_id), (0x0800, 0x0101), (0x0900, status)]
    {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&2u32.to_le_bytes());
        out.extend_from_slice(&value.to_le_bytes());
    }
    out
}

pub fn success() -> Vec<u8> {
    fragment(&response(0x8030, 1, 0), true)
}

pub fn encode(pdu: &Pdu) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).unwrap();
    bytes
}
