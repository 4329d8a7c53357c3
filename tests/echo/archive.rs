//! What a stranger could do at real archives, open and hardened: Orthanc, dcmqrscp, and one that claims TLS.

use std::{fs, path::Path};

use crate::{
    real::{free_port, orthanc, start, stop},
    scp::AMPLE,
};
use pacs_guard::{
    archive::{Door, Examined, Product, Question, examine},
    echo::{Failure, Target},
};
use tokio::process::{Child, Command};

const ALL: [Door; 6] = [Door::AnyCalled, Door::AnyCalling, Door::Echo, Door::Find, Door::Move, Door::Store];

fn question(target: &Target, called: &str) -> Question {
    let address = (target.address, target.port).into();
    Question { address, called: Some(called.into()), claims_tls: false, product: None }
}

fn doors(examined: &Examined) -> Vec<Door> {
    examined.open.iter().map(|open| open.door).collect()
}

#[tokio::test]
async fn orthanc_as_installed_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let (child, target) = orthanc(folder.path(), serde_json::json!({})).await;
    let examined = examine(&question(&target, "ORTHANC"), AMPLE).await;
    assert_eq!(doors(&examined), ALL, "{examined:?}");
    assert_eq!(examined.tried.len(), 1, "the stranger who knows nothing got all there is");
    // As a user sees it, with the settings of Orthanc alone: what listens is known.
    let done = audit(&["--called", "ORTHANC", &examined.address.to_string()]).await;
    assert!(
        !done.1 && done.0.contains("(Orthanc)") && done.0.contains("\"DicomCheckCalledAet\": true"),
        "{}",
        done.0
    );
    assert!(!done.0.contains("AETable") && done.0.contains("no patient data was asked for"), "{}", done.0);
    stop(child).await;
}

/// The output of `audit-archive`, and whether nothing is open.
async fn audit(args: &[&str]) -> (String, bool) {
    let done = Command::new(env!("CARGO_BIN_EXE_pacs-guard")).arg("audit-archive").args(args).output().await;
    let done = done.unwrap();
    let text = [done.stdout, done.stderr].concat();
    (String::from_utf8(text).unwrap(), done.status.success())
}

#[tokio::test]
async fn orthanc_with_its_called_title_checked_is_open_to_who_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let (child, target) = orthanc(folder.path(), serde_json::json!({ "DicomCheckCalledAet": true })).await;
    let examined = examine(&question(&target, "ORTHANC"), AMPLE).await;
    assert_eq!(doors(&examined), ALL[1..], "{examined:?}");
    assert!(matches!(examined.tried[0].refused, Some(Failure::Rejected(_))));
    stop(child).await;
}

#[tokio::test]
async fn orthanc_hardened_is_shut() {
    let folder = tempfile::tempdir().unwrap();
    let hardened = serde_json::json!({
        "DicomCheckCalledAet": true, "DicomCheckModalityHost": true,
        "DicomAlwaysAllowEcho": false, "DicomAlwaysAllowStore": false,
        "DicomModalities": { "ct": ["CT1", "127.0.0.1", 104] },
    });
    let (child, target) = orthanc(folder.path(), hardened).await;
    let examined = examine(&question(&target, "ORTHANC"), AMPLE).await;
    assert_eq!(doors(&examined), []);
    assert!(examined.answered() && examined.tried.len() == 2, "{examined:?}");
    let (text, shut) = audit(&["--called", "ORTHANC", &examined.address.to_string()]).await;
    assert!(shut && text.contains("a stranger gets no association"), "{text}");
    stop(child).await;
}

async fn dcmqrscp(folder: &Path, peers: &str, access: &str) -> (Child, Target) {
    let port = free_port();
    fs::create_dir(folder.join("db")).unwrap();
    let config = format!(
        "NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n\
         HostTable BEGIN\nct1 = (CT1, localhost, 104)\nHostTable END\n\
         VendorTable BEGIN\nVendorTable END\n\
         AETable BEGIN\nARCHIVE db {access} (200, 1024mb) {peers}\nAETable END\n"
    );
    fs::write(folder.join("qr.cfg"), config).unwrap();
    start("dcmqrscp", &["-c", "qr.cfg"], folder, port).await
}

#[tokio::test]
async fn dcmqrscp_open_to_any_and_to_its_peers_only() {
    let folder = tempfile::tempdir().unwrap();
    let (child, target) = dcmqrscp(folder.path(), "ANY", "RW").await;
    let examined = examine(&question(&target, "ARCHIVE"), AMPLE).await;
    assert_eq!(doors(&examined), ALL[1..], "{examined:?}");
    // Its own title is all that it asks for, so a stranger who does not know it is turned away.
    let blind = Question { called: None, ..question(&target, "") };
    assert_eq!(doors(&examine(&blind, AMPLE).await), []);
    stop(child).await;

    let folder = tempfile::tempdir().unwrap();
    let (child, target) = dcmqrscp(folder.path(), "ct1", "RW").await;
    let examined = examine(&question(&target, "ARCHIVE"), AMPLE).await;
    assert_eq!(doors(&examined), [], "{examined:?}");
    assert!(examined.answered());
    stop(child).await;
}

#[tokio::test]
async fn a_port_that_claims_tls_and_answers_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let (child, target) = start("storescp", &[&port.to_string()], folder.path(), port).await;
    let claims = Question { claims_tls: true, ..question(&target, "ANY") };
    let examined = examine(&claims, AMPLE).await;
    assert_eq!(doors(&examined)[0], Door::Clear, "{examined:?}");
    stop(child).await;
}

#[tokio::test]
async fn a_port_that_claims_tls_and_keeps_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"])
        .args(["-subj", "/CN=pacs"])
        .current_dir(folder.path())
        .output();
    assert!(made.await.unwrap().status.success());
    let over_tls = [Door::NoClientCertificate, Door::AnyCalled, Door::AnyCalling, Door::Store];
    for (demands, doors_open) in [(&["-ic"][..], &over_tls[..]), (&["+cf", "cert.pem"], &[])] {
        let port = free_port().to_string();
        let args = [&["+tls", "key.pem", "cert.pem"], demands, &[port.as_str()]].concat();
        let (child, target) = start("storescp", &args, folder.path(), port.parse().unwrap()).await;
        let claims = Question { claims_tls: true, ..question(&target, "ANY") };
        let examined = examine(&claims, AMPLE).await;
        assert_eq!(doors(&examined), doors_open, "{examined:?}");
        assert!(examined.answered(), "{examined:?}");
        stop(child).await;
    }
}

#[test]
fn settings_are_shown_for_the_product_that_is_known_or_for_all() {
    use pacs_guard::archive::Open;
    assert_eq!(Open::new(Door::Store, Some(Product::Dcmqrscp)).shut_by.len(), 1);
    for door in ALL.into_iter().chain([Door::Clear, Door::NoClientCertificate]) {
        assert_eq!(Open::new(door, None).shut_by.len(), 3);
    }
}

#[tokio::test]
async fn another_host_is_not_examined() {
    let (text, shut) = audit(&["192.0.2.1:104"]).await;
    assert!(!shut && text.contains("192.0.2.1 is no address of this host"), "{text}");
}
