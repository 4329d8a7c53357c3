//! DICOM over TLS: DCMTK's storescp and hostile peers, and certificates of every kind, each made here.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{
    real::{free_port, show, start, stop},
    scp::{AMPLE, SHORT, failure, frugal, serve, target},
};
use pacs_guard::{
    echo::{EXPIRY_WARNING_DAYS, Failure, GarbageSign, Phase, Report, Target, TlsFault, probe},
    policy::model::{PeerTls, TlsVersion},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

/// A hospital's own authority, and a folder of files in PEM.
struct Pki {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { folder: tempfile::tempdir().unwrap(), authority };
        this.write("ca.pem", &this.authority.pem());
        this
    }

    /// `NAME.pem` and `NAME.key`, for this host's loopback address, valid for so many days from yesterday on.
    fn issue(&self, name: &str, days: u32) {
        self.issue_for(name, days, SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    }

    fn issue_for(&self, name: &str, days: u32, holds: SanType) {
        let key = KeyPair::generate().unwrap();
        let certificate = dated(days, holds).signed_by(&key, &self.authority).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn self_sign(&self, name: &str, days: u32) {
        let key = KeyPair::generate().unwrap();
        let holds = SanType::DnsName("device".try_into().unwrap());
        let certificate = dated(days, holds).self_signed(&key).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trusting(&self, ca: &str) -> PeerTls {
        PeerTls { ca: self.path(ca), client: None, server_name: None, min_version: TlsVersion::Tls12 }
    }

    /// Asks a storescp with the certificate `shown`.
    async fn ask(&self, shown: &str, extra: &[&str], tls: PeerTls) -> Report {
        let port = free_port();
        let (key, certificate) = (format!("{shown}.key"), format!("{shown}.pem"));
        let port_text = port.to_string();
        let mut args = vec!["+tls", &key, &certificate];
        args.extend(extra);
        args.push(&port_text);
        let (child, target) = start("storescp", &args, self.folder.path(), port).await;
        let report = probe(&Target { tls: Some(tls), ..target }, AMPLE).await;
        show(&report);
        stop(child).await;
        report
    }
}

fn dated(days: u32, holds: SanType) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Else it has its authority's name, and looks as if it had signed itself.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "device");
    params.subject_alt_names = vec![holds];
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() - DAY + DAY * days + Duration::from_secs(600)).into();
    params
}

fn fault(report: Report) -> TlsFault {
    match failure(report) {
        Failure::Tls { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

/// storescp takes a client without certificate.
const ANYBODY: &[&str] = &["-ic"];

#[tokio::test]
async fn storescp_over_tls() {
    let pki = Pki::new();
    pki.issue("ct1", 400);
    let report = pki.ask("ct1", ANYBODY, pki.trusting("ca.pem")).await;
    assert!(report.phases.tls_us.is_some() && !report.to_string().contains("certificate"), "{report}");
    let certificate = report.outcome.unwrap().certificate.unwrap();
    assert_eq!(certificate.days_left(jiff::Timestamp::now()), 399);
    assert_eq!(certificate.sha256, fingerprint(&pki.path("ct1.pem")));
}

/// As OpenSSL tells it.
fn fingerprint(file: &Path) -> String {
    let done = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    text.split_once('=').unwrap().1.trim().replace(':', "").to_lowercase()
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_warned_of() {
    let pki = Pki::new();
    pki.issue("ct1", 6);
    let report = pki.ask("ct1", ANYBODY, pki.trusting("ca.pem")).await;
    const { assert!(EXPIRY_WARNING_DAYS > 5) };
    assert!(report.to_string().ends_with("; its certificate ends in 5 days"), "{report}");
}

#[tokio::test]
async fn mutual_tls_with_and_without_our_certificate() {
    let pki = Pki::new();
    let other = Pki::new();
    for (pki, name) in [(&pki, "ct1"), (&pki, "guard"), (&other, "stranger")] {
        pki.issue(name, 90);
    }
    let must_show = ["+cf", "ca.pem"];
    let shows =
        |pki: &Pki, name: &str| Some((pki.path(&format!("{name}.pem")), pki.path(&format!("{name}.key"))));
    let with = PeerTls { client: shows(&pki, "guard"), ..pki.trusting("ca.pem") };
    assert!(pki.ask("ct1", &must_show, with).await.outcome.is_ok());
    let without = fault(pki.ask("ct1", &must_show, pki.trusting("ca.pem")).await);
    assert!(
        matches!(without, TlsFault::ClientCertificateRequired | TlsFault::Alert { alert: 40 }),
        "{without}"
    );
    let foreign = PeerTls { client: shows(&other, "stranger"), ..pki.trusting("ca.pem") };
    let foreign = fault(pki.ask("ct1", &must_show, foreign).await);
    assert_eq!(foreign, TlsFault::ClientCertificateRefused);
}

#[tokio::test]
async fn a_certificate_of_nobody_we_trust() {
    let (pki, other) = (Pki::new(), Pki::new());
    pki.issue("ct1", 90);
    let report = pki.ask("ct1", ANYBODY, other.trusting("ca.pem")).await;
    assert!(report.to_string().ends_with("its certificate comes from nobody in `ca`"), "{report}");
    assert_eq!(failure(report), Failure::Tls { phase: Phase::Tls, fault: TlsFault::UnknownIssuer });
}

#[tokio::test]
async fn a_certificate_with_another_name_unless_that_name_is_asked_for() {
    let pki = Pki::new();
    pki.issue_for("ct1", 90, SanType::DnsName("ct1.example.org".try_into().unwrap()));
    let by_address = pki.trusting("ca.pem");
    assert_eq!(fault(pki.ask("ct1", ANYBODY, by_address.clone()).await), TlsFault::WrongName);
    let by_name = PeerTls { server_name: Some("ct1.example.org".into()), ..by_address };
    assert!(pki.ask("ct1", ANYBODY, by_name).await.outcome.is_ok());
}

#[tokio::test]
async fn an_expired_certificate() {
    let pki = Pki::new();
    pki.issue("ct1", 0);
    pki.self_sign("device", 0);
    // Both end ten minutes after yesterday.
    assert_eq!(fault(pki.ask("ct1", ANYBODY, pki.trusting("ca.pem")).await), TlsFault::Expired);
    assert_eq!(fault(pki.ask("device", ANYBODY, pki.trusting("device.pem")).await), TlsFault::Expired);
}

#[tokio::test]
async fn the_very_certificate_of_a_device_is_trust_enough() {
    let pki = Pki::new();
    pki.self_sign("device", 90);
    pki.self_sign("impostor", 90);
    let tls = pki.trusting("device.pem");
    assert!(pki.ask("device", ANYBODY, tls.clone()).await.outcome.is_ok());
    assert_eq!(fault(pki.ask("impostor", ANYBODY, tls).await), TlsFault::UnknownIssuer);
}

#[tokio::test]
async fn a_version_below_the_wanted_one() {
    let pki = Pki::new();
    pki.issue("ct1", 90);
    let port = free_port();
    let port_text = port.to_string();
    let args =
        ["s_server", "-quiet", "-tls1_2", "-cert", "ct1.pem", "-key", "ct1.key", "-accept", &port_text];
    let (child, target) = start("openssl", &args, pki.folder.path(), port).await;
    let tls = PeerTls { min_version: TlsVersion::Tls13, ..pki.trusting("ca.pem") };
    let report = probe(&Target { tls: Some(tls), ..target }, AMPLE).await;
    assert_eq!(fault(report), TlsFault::Incompatible);
    stop(child).await;
}

/// A target over TLS at a peer that follows no protocol.
fn over_tls(pki: &Pki, at: std::net::SocketAddr) -> Target {
    Target { tls: Some(pki.trusting("ca.pem")), ..target(at) }
}

#[tokio::test]
async fn a_plain_peer_where_tls_is_wanted() {
    let pki = Pki::new();
    // What DICOM servers say to a ClientHello: an A-ABORT, or nothing at all.
    let at = serve(|mut peer| async move {
        peer.write(&[7, 0, 0, 0, 0, 4, 0, 0, 2, 1]).await;
        peer.wait().await;
    })
    .await;
    assert_eq!(fault(frugal(&over_tls(&pki, at), AMPLE).await), TlsFault::NotTls);
    let at = serve(|peer| async move {
        peer.stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(
        failure(frugal(&over_tls(&pki, at), AMPLE).await),
        Failure::Closed { phase: Phase::Tls, reset: true }
    );
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let (child, target) = start("storescp", &[&port.to_string()], folder.path(), port).await;
    let report = probe(&Target { tls: Some(pki.trusting("ca.pem")), ..target }, SHORT * 5).await;
    show(&report);
    let failure = failure(report);
    assert!(matches!(failure.kind(), "tls" | "closed" | "too-slow"), "{failure}");
    stop(child).await;
}

#[tokio::test]
async fn silence_and_drips_in_the_handshake_end_with_the_deadline() {
    let pki = Pki::new();
    let silent = serve(|peer| peer.wait()).await;
    let dripping = serve(|mut peer| async move {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        for byte in [0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc].into_iter().chain([0; 10_000]) {
            beat.tick().await;
            peer.write(&[byte]).await;
        }
    })
    .await;
    for at in [silent, dripping] {
        let begun = std::time::Instant::now();
        let report = frugal(&over_tls(&pki, at), SHORT).await;
        assert!(begun.elapsed() < SHORT + Duration::from_millis(500));
        assert_eq!(failure(report), Failure::TooSlow { phase: Phase::Tls });
    }
}

#[tokio::test]
async fn a_tls_port_that_is_asked_in_clear_is_recognised() {
    let pki = Pki::new();
    pki.issue("ct1", 90);
    let port = free_port();
    let args = ["+tls", "ct1.key", "ct1.pem", "-ic", &port.to_string()];
    let (child, target) = start("storescp", &args, pki.folder.path(), port).await;
    let failure = failure(probe(&target, AMPLE).await);
    let closed = matches!(failure, Failure::Closed { .. });
    assert!(closed || matches!(failure, Failure::Garbage { sign: GarbageSign::Tls, .. }), "{failure}");
    stop(child).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let pki = Pki::new();
    pki.issue("a", 90);
    pki.issue("b", 90);
    pki.write("empty.pem", "");
    let good = pki.trusting("ca.pem");
    let pair = |one: &str, other: &str| Some((pki.path(one), pki.path(other)));
    let cases = [
        (pki.trusting("nowhere.pem"), "nowhere.pem"),
        (pki.trusting("empty.pem"), "empty.pem"),
        (PeerTls { ca: "/dev/zero".into(), ..good.clone() }, "/dev/zero"),
        (PeerTls { client: pair("a.pem", "a.pem"), ..good.clone() }, "a.pem"),
        (PeerTls { client: pair("a.pem", "b.key"), ..good.clone() }, "b.key"),
    ];
    for (tls, named) in cases {
        // Nothing is connected to, so that any address will do.
        let at = (IpAddr::from(Ipv4Addr::LOCALHOST), 1).into();
        let report = probe(&Target { tls: Some(tls), ..target(at) }, AMPLE).await;
        assert!(report.to_string().contains(named), "{report}");
        assert_eq!(failure(report).kind(), "tls-setup");
    }
}
