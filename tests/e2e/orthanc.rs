//! Orthanc behind the guard: DICOM and DICOMweb, each for the segment that is granted it.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
};

use crate::{
    lab::{self, Host, PATIENCE},
    site::Site,
    wire::{is_met_with_silence, on},
};

const DICOM: u16 = 4242;
const HTTP: u16 = 8042;

const CONFIG: &str = r#"{
  "Name": "archive", "DicomAet": "ORTHANC", "DicomPort": 4242, "HttpPort": 8042,
  "RemoteAccessAllowed": true, "AuthenticationEnabled": false,
  "StorageDirectory": "db", "IndexDirectory": "db", "Plugins": []
}"#;

fn policy(site: &Site) -> String {
    format!(
        "version: 1\nname: orthanc\ninterfaces: [eth0]\nmode: enforce\n\
         services:\n  dicom: {{ ports: [{DICOM}] }}\n  dicomweb: {{ ports: [{HTTP}] }}\n\
         segments:\n  modalities: {{ sources: [{}], services: [dicom] }}\n  viewers: {{ sources: [{}], services: [dicomweb] }}\n",
        site.modality.addr4(),
        site.stranger.addr4()
    )
}

fn echo(from: &Host, to: Ipv4Addr, seconds: &str) -> bool {
    let mut command = from.command("echoscu");
    command.args(["-to", seconds, "-aec", "ORTHANC"]).arg(to.to_string()).arg(DICOM.to_string());
    lab::run(command, PATIENCE).unwrap().success()
}

fn get(from: &Host, to: Ipv4Addr, path: &str) -> String {
    on(from, || {
        let mut stream = TcpStream::connect_timeout(&(to, HTTP).into(), PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
}

#[test]
fn each_segment_gets_what_it_is_granted() {
    let site = Site::new();
    fs::write(site.pacs.dir().join("orthanc.json"), CONFIG).unwrap();
    let mut command = site.pacs.command("Orthanc");
    command.arg("orthanc.json");
    let mut orthanc = site.pacs.spawn("orthanc", command).unwrap();
    for port in [DICOM, HTTP] {
        site.pacs.wait_listening(port, &mut orthanc).unwrap();
    }
    site.write(&policy(&site));
    let _daemon = site.start(&[]);
    let to = site.pacs.addr4();

    assert!(echo(&site.modality, to, "10"), "the modality's C-ECHO");
    assert!(!echo(&site.stranger, to, "1"), "the viewer's C-ECHO was answered");
    let page = get(&site.stranger, to, "/system");
    assert!(page.starts_with("HTTP/1.") && page.contains("\"DicomAet\" : \"ORTHANC\""), "{page}");
    assert!(is_met_with_silence(&site.modality, to, HTTP), "the modality reaches DICOMweb");
    // Each is in a segment: what is refused is the service.
    assert!(site.booked("service-not-allowed") >= 2);
    assert_eq!(site.booked("not-in-segment"), 0);
    assert!(orthanc.ended().unwrap().is_none());
}
