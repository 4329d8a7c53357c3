//! The C-ECHO probe against real DICOM products on loopback: DCMTK's storescp (plain and TLS), Orthanc and
//! pynetdicom.
//!
//! A product that is not installed is a failure, not a skip.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use crate::scp::{AMPLE, target};
use pacs_guard::echo::{Failure, Report, Target, probe};
use tokio::{
    process::{Child, Command},
    time::{interval, timeout},
};

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Whether somebody on this host listens on a port. Asked of the kernel: a connection that is made and
/// dropped only to see was followed, now and then, by a storescp that listened no more.
fn listens(port: u16) -> bool {
    let local = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|table| std::fs::read_to_string(table).ok()).any(
        |table| {
            table.lines().any(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                fields.len() > 3 && fields[1].ends_with(&local) && fields[3] == "0A"
            })
        },
    )
}

/// Starts a server and waits until it listens. It is killed when dropped.
pub(crate) async fn start(program: &str, args: &[&str], folder: &Path, port: u16) -> (Child, Target) {
    let child = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let up = async {
        let mut beat = interval(Duration::from_millis(50));
        while !listens(port) {
            beat.tick().await;
        }
    };
    timeout(Duration::from_secs(30), up).await.unwrap_or_else(|_| panic!("{program} never listened"));
    (child, target(at))
}

pub(crate) async fn stop(mut child: Child) {
    child.kill().await.unwrap();
}

/// The line for people and the JSON, as a user would see them.
pub(crate) fn show(report: &Report) {
    println!("{report}\n{}", serde_json::to_string(report).unwrap());
}

#[tokio::test]
async fn dcmtk_storescp_answers() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let (child, target) = start("storescp", &[&port.to_string()], folder.path(), port).await;
    let report = probe(&target, AMPLE).await;
    show(&report);
    let said = report.outcome.unwrap();
    assert!(said.implementation_version_name.unwrap().starts_with("OFFIS_DCMTK_"));
    assert!(said.implementation_class_uid.unwrap().starts_with("1.2.276.0.7230010.3.0.3."));
    assert_eq!(said.max_pdu, Some(16_384));
    stop(child).await;
    let report = probe(&target, AMPLE).await;
    assert_eq!(report.outcome, Err(Failure::Refused));
}

#[tokio::test]
async fn dcmtk_storescp_that_rejects_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let (child, target) = start("storescp", &["--refuse", &port.to_string()], folder.path(), port).await;
    let report = probe(&target, AMPLE).await;
    show(&report);
    let words = "rejects the association: no reason given (permanent, by the service user)";
    assert!(report.to_string().ends_with(words), "{report}");
    stop(child).await;
}

#[tokio::test]
async fn dcmtk_storescp_that_wants_tls_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"])
        .args(["-days", "1", "-subj", "/CN=localhost"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(made.success());
    let port = free_port();
    let args = ["+tls", "key.pem", "cert.pem", "-ic", &port.to_string()];
    let (child, target) = start("storescp", &args, folder.path(), port).await;
    let report = probe(&target, AMPLE).await;
    show(&report);
    assert!(matches!(report.outcome.unwrap_err().kind(), "garbage" | "closed"));
    stop(child).await;
}

pub(crate) async fn orthanc(folder: &Path, settings: serde_json::Value) -> (Child, Target) {
    let port = free_port();
    let mut all = serde_json::json!({
        "DicomPort": port, "HttpServerEnabled": false, "StorageDirectory": "db", "IndexDirectory": "db",
        "RemoteAccessAllowed": true, "Plugins": [], "DicomAet": "ORTHANC",
    });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    std::fs::write(folder.join("orthanc.json"), all.to_string()).unwrap();
    start("Orthanc", &["orthanc.json"], folder, port).await
}

#[tokio::test]
async fn orthanc_answers_whatever_the_title() {
    let folder = tempfile::tempdir().unwrap();
    let (child, target) = orthanc(folder.path(), serde_json::json!({})).await;
    for called in ["ORTHANC", "SOMEONE_ELSE"] {
        let report = probe(&Target { called: called.into(), ..target.clone() }, AMPLE).await;
        show(&report);
        assert!(report.outcome.is_ok(), "{report}");
    }
    stop(child).await;
}

#[tokio::test]
async fn orthanc_that_checks_titles_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let strict = serde_json::json!({ "DicomCheckCalledAet": true, "DicomAlwaysAllowEcho": false });
    let (child, target) = orthanc(folder.path(), strict).await;
    for called in ["SOMEONE_ELSE", "ORTHANC"] {
        let report = probe(&Target { called: called.into(), ..target.clone() }, AMPLE).await;
        show(&report);
        let kind = report.outcome.unwrap_err().kind();
        assert!(matches!(kind, "rejected" | "aborted"), "{kind} for {called}");
    }
    stop(child).await;
}

/// pynetdicom, with the AE titles that it demands, as `cargo xtask setup` has installed it.
async fn pynetdicom(folder: &Path) -> (Child, Target) {
    const SCP: &str = "import sys\n\
        from pynetdicom import AE\n\
        from pynetdicom.sop_class import Verification\n\
        ae = AE(ae_title='ARCHIVE')\n\
        ae.require_called_aet = True\n\
        ae.require_calling_aet = ['PACSGUARD']\n\
        ae.add_supported_context(Verification)\n\
        ae.start_server(('127.0.0.1', int(sys.argv[1])), block=True)\n";
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target_dir.join("pynetdicom/bin/python");
    assert!(python.exists(), "{} is missing: run `cargo xtask setup`", python.display());
    let port = free_port();
    start(python.to_str().unwrap(), &["-c", SCP, &port.to_string()], folder, port).await
}

#[tokio::test]
async fn pynetdicom_tells_which_title_it_wants() {
    let folder = tempfile::tempdir().unwrap();
    let (child, target) = pynetdicom(folder.path()).await;
    let right = Target { called: "ARCHIVE".into(), ..target.clone() };
    let report = probe(&right, AMPLE).await;
    show(&report);
    let said = report.outcome.unwrap();
    assert!(said.implementation_version_name.unwrap().starts_with("PYNETDICOM"));
    let wrong = [
        (Target { called: "SOMEONE".into(), ..target.clone() }, "called AE title not recognised"),
        (Target { calling: "STRANGER".into(), ..right }, "calling AE title not recognised"),
    ];
    for (target, words) in wrong {
        let report = probe(&target, AMPLE).await;
        show(&report);
        assert!(report.to_string().contains(&format!("rejects the association: {words}")), "{report}");
    }
    stop(child).await;
}
