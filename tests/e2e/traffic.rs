//! Traffic: who reaches what through the guard, over both address families and in both XDP modes.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, UdpSocket},
};

use crate::{
    lab::{self, Host, PATIENCE, Process},
    site::{DICOM, Site, policy},
    wire::{Listener, addresses, connects, greeting, is_met_with_silence, on},
};

const SSH: u16 = 22;

/// A small secondary capture (PS3.3 A.8.1), for DCMTK's `dump2dcm`.
const IMAGE: &str = "\
(0008,0016) UI =SecondaryCaptureImageStorage
(0008,0018) UI [2.25.70371418233719]
(0010,0010) PN [Doe^Jane]
(0020,000d) UI [2.25.70371418233717]
(0020,000e) UI [2.25.70371418233718]
";

fn archive(host: &Host) -> Process {
    fs::create_dir_all(host.dir().join("received")).unwrap();
    let mut command = host.command("storescp");
    command.args(["-aet", "PACS", "-od", "received", &DICOM.to_string()]);
    let mut archive = host.spawn("storescp", command).unwrap();
    host.wait_listening(DICOM, &mut archive).unwrap();
    archive
}

/// Runs a DCMTK client; its time-out is for the connection.
fn dcmtk(program: &str, from: &Host, to: IpAddr, seconds: &str, file: Option<&str>) -> lab::Finished {
    let mut command = from.command(program);
    command
        .args(["-v", "-to", seconds, "-aec", "PACS"])
        .arg(to.to_string())
        .arg(DICOM.to_string())
        .args(file);
    lab::run(command, PATIENCE).unwrap()
}

fn real_dicom(mode: &str) {
    let site = Site::new();
    let _archive = archive(&site.pacs);
    let _daemon = site.guard(&["--xdp-mode", mode]);
    assert_eq!(site.status()["interfaces"][0]["mode"], mode);
    fs::write(site.modality.dir().join("image.dump"), IMAGE).unwrap();
    site.modality.sh("dump2dcm +te image.dump image.dcm").unwrap();
    // DCMTK 3.6.7 speaks IPv4 only.
    let to = site.pacs.addr4().into();
    let done = dcmtk("echoscu", &site.modality, to, "10", None);
    assert!(done.success(), "C-ECHO: {}", done.text());
    let done = dcmtk("storescu", &site.modality, to, "10", Some("image.dcm"));
    assert!(done.success(), "C-STORE: {}", done.text());
    assert_eq!(
        fs::read_dir(site.pacs.dir().join("received")).unwrap().count(),
        1,
        "the image is in the archive"
    );

    let done = dcmtk("echoscu", &site.stranger, to, "1", None);
    assert!(!done.success() && done.text().contains("Timeout"), "the stranger: {}", done.text());
}

#[test]
fn real_dicom_native() {
    real_dicom("native");
}

#[test]
fn real_dicom_generic() {
    real_dicom("generic");
}

fn only_dicom_is_refused(mode: &str) {
    let site = Site::new();
    let dicom = Listener::open(&site.pacs, DICOM);
    let _ssh = Listener::open(&site.pacs, SSH);
    let _daemon = site.guard(&["--xdp-mode", mode]);
    for address in addresses(&site.pacs) {
        let before = dicom.accepted();
        assert!(is_met_with_silence(&site.stranger, address, DICOM), "{address} answers the stranger");
        assert_eq!(dicom.accepted(), before, "a SYN of the stranger reached the listener");
        assert_eq!(greeting(&site.stranger, address, SSH), Listener::GREETING, "SSH at {address}");
        // The archive forgets its neighbours, so that ARP and ND have to work again.
        site.pacs.sh("ip neigh flush dev eth0").unwrap();
        site.stranger.sh("ip neigh flush dev eth0").unwrap();
        site.stranger.sh(&format!("ping -q -c 1 -W 10 {address}")).unwrap();
        assert_eq!(greeting(&site.modality, address, DICOM), Listener::GREETING, "DICOM at {address}");
        dicom.accepts(before + 1);
    }
    // UDP to the port of a TCP service is not judged: the archive itself says that nothing is there.
    let refusal = on(&site.stranger, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.connect((site.pacs.addr4(), DICOM)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(b"?").unwrap();
        socket.recv(&mut [0]).unwrap_err()
    });
    assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused);
    assert!(site.booked("not-in-segment") >= 2, "one SYN of each family");
    assert!(site.booked("allowed") >= 2);
    assert!(site.booked("not-ip") > 0, "ARP is not judged");
    assert!(site.booked("not-tcp") > 0, "ping and neighbour discovery are not judged");
}

#[test]
fn only_dicom_is_refused_native() {
    only_dicom_is_refused("native");
}

#[test]
fn only_dicom_is_refused_generic() {
    only_dicom_is_refused("generic");
}

#[test]
fn audit_passes_and_counts() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    site.write(&policy("audit", &[&site.modality]));
    let _daemon = site.start(&[]);
    assert_eq!(site.status()["state"], "audit");
    for address in addresses(&site.pacs) {
        connects(&site.stranger, address, DICOM);
        connects(&site.modality, address, DICOM);
    }
    let status = site.status();
    assert!(status["packets"]["would_drop"].as_u64() >= Some(4), "{status}");
    assert!(status["packets"]["allowed"].as_u64() >= Some(4), "{status}");
    assert_eq!(status["packets"]["dropped"], 0);
}

#[test]
fn the_archive_reaches_out_as_before() {
    let site = Site::new();
    let _workstation = archive(&site.stranger);
    let _greeter = Listener::open(&site.stranger, 4000);
    let _daemon = site.guard(&[]);
    fs::write(site.pacs.dir().join("image.dump"), IMAGE).unwrap();
    site.pacs.sh("dump2dcm +te image.dump image.dcm").unwrap();
    // The workstation lies in no segment; it is the archive that opens the connection.
    let done = dcmtk("storescu", &site.pacs, site.stranger.addr4().into(), "10", Some("image.dcm"));
    assert!(done.success(), "C-STORE to a workstation: {}", done.text());
    for address in addresses(&site.stranger) {
        assert_eq!(greeting(&site.pacs, address, 4000), Listener::GREETING);
    }
    assert_eq!(site.status()["packets"]["dropped"], 0);
}

#[test]
fn what_is_open_is_cut_when_a_policy_begins_to_refuse_it() {
    let site = Site::new();
    let _archive = archive(&site.pacs);
    let daemon = site.guard(&[]);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    site.write(&policy("enforce", &[&site.stranger]));
    assert!(daemon.ask(&["reload"]).unwrap().success());
    assert!(is_met_with_silence(&site.modality, site.pacs.addr4(), DICOM));
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}
