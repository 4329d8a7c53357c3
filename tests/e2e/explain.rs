//! Explain: addresses, hex frames and captures, offline and through the loaded program, all of one opinion.

use std::fs;

use etherparse::PacketBuilder;
use serde_json::{Value, json};

use crate::{
    lab::Finished,
    site::{Site, ask, ask_with_input, policy},
    wire::syn,
};

const POLICY: &str = "\
version: 1
name: explained
mode: enforce
services:
  dicom: { ports: [104] }
  dicomweb: { ports: [8042], mode: audit }
segments:
  modalities:
    sources:
      - 10.20.0.0/24
      - 2001:db8:20::/64
    except: [10.20.0.66]
    services: [dicom]
";

const FROM: [u8; 6] = [2, 0, 0, 0, 0, 1];
const TO: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn row(
    verdict: &str,
    reason: &str,
    segment: Option<&str>,
    service: Option<&str>,
    line: Option<u32>,
) -> Value {
    let file = line.map(|_| "policy.yaml");
    json!({ "verdict": verdict, "reason": reason, "segment": segment, "service": service, "file": file, "line": line })
}

/// Source, port, and what becomes of the first packet of such a connection.
fn asked() -> Vec<(&'static str, u16, Value)> {
    let (modalities, dicom, dicomweb) = (Some("modalities"), Some("dicom"), Some("dicomweb"));
    vec![
        ("10.20.0.11", 104, row("allow", "allowed", modalities, dicom, Some(10))),
        ("2001:db8:20::7", 104, row("allow", "allowed", modalities, dicom, Some(11))),
        ("10.20.0.66", 104, row("drop", "not-in-segment", None, dicom, Some(5))),
        ("10.9.9.9", 104, row("drop", "not-in-segment", None, dicom, Some(5))),
        ("2001:db8:21::7", 104, row("drop", "not-in-segment", None, dicom, Some(5))),
        ("10.20.0.11", 8042, row("would-drop", "service-not-allowed", modalities, dicomweb, Some(10))),
        ("10.9.9.9", 8042, row("would-drop", "not-in-segment", None, dicomweb, Some(6))),
        ("10.9.9.9", 22, row("pass", "not-protected", None, None, None)),
    ]
}

/// Frames, and what becomes of them: the asked ones, and what no address can ask for.
fn frames() -> Vec<(Vec<u8>, Value)> {
    let mut frames: Vec<(Vec<u8>, Value)> = asked()
        .into_iter()
        .map(|(source, port, row)| {
            let to = if source.contains(':') { "2001:db8::1" } else { "192.0.2.1" };
            (syn(FROM, TO, source.parse().unwrap(), to.parse().unwrap(), port), row)
        })
        .collect();
    let mut udp = Vec::new();
    let packet = PacketBuilder::ethernet2(FROM, TO).ipv4([10, 9, 9, 9], [192, 0, 2, 1], 64).udp(1, 104);
    packet.write(&mut udp, &[]).unwrap();
    frames.push((udp, row("pass", "not-tcp", None, None, None)));
    let mut arp = [TO, FROM].concat();
    arp.extend([0x08, 0x06]);
    arp.resize(60, 0);
    frames.push((arp, row("pass", "not-ip", None, None, None)));
    let mut cut = frames[0].0.clone();
    cut.truncate(20);
    frames.push((cut, row("drop", "unparsed-truncated", None, None, None)));
    frames
}

fn hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A capture file as tcpdump writes it: the classic format, microseconds, one record a frame.
pub(crate) fn pcap(link_type: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link_type];
    let mut bytes: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap();
        bytes.extend([0, 0, length, length].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(frame);
    }
    bytes
}

/// The same as pcapng: a section header, one Ethernet interface, enhanced packet blocks.
fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = u32::try_from(body.len() + padding + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes(), &length, body, &vec![0; padding], &length].concat()
    }
    let section: Vec<u8> =
        [0x1a2b_3c4d, 1, u32::MAX, u32::MAX].into_iter().flat_map(u32::to_le_bytes).collect();
    let mut bytes = block(0x0a0d_0d0a, &section);
    bytes.extend(block(1, &[1, 0, 0, 0, 0, 0, 4, 0]));
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap();
        let mut body: Vec<u8> = [0, 0, 0, length, length].into_iter().flat_map(u32::to_le_bytes).collect();
        body.extend(frame);
        bytes.extend(block(6, &body));
    }
    bytes
}

fn site() -> Site {
    let site = Site::new();
    site.write(POLICY);
    site
}

/// The arguments, with and without the kernel.
fn both<'a>(args: &[&'a str]) -> [Vec<&'a str>; 2] {
    let offline = [&["explain", "--json", "--policy", "policy.yaml"], args].concat();
    let kernel = [&offline[..], &["--kernel"]].concat();
    [offline, kernel]
}

fn rows(done: &Finished) -> Vec<Value> {
    assert!(done.success(), "{}", done.text());
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn addresses_and_ports() {
    let site = site();
    for (source, port, expected) in asked() {
        for args in both(&[source, &port.to_string()]) {
            let done = ask(&site.pacs, &args);
            assert_eq!(rows(&done), std::slice::from_ref(&expected), "{args:?}");
            let keys = ["\"verdict\"", "\"reason\"", "\"segment\"", "\"service\"", "\"file\"", "\"line\""];
            let places: Vec<_> = keys.iter().map(|key| done.stdout.find(key).unwrap()).collect();
            assert!(places.is_sorted(), "{}", done.stdout);
        }
    }
    let udp = rows(&ask(&site.pacs, &both(&["10.9.9.9", "104", "--udp"])[0]));
    assert_eq!(udp, [row("pass", "not-tcp", None, None, None)]);
}

#[test]
fn hex_frames() {
    let site = site();
    let frames = frames();
    let lines: String = frames.iter().map(|(frame, _)| hex(frame) + "\n\n").collect();
    let expected: Vec<&Value> = frames.iter().map(|(_, row)| row).collect();
    for args in both(&["--frame", "-"]) {
        let done = ask_with_input(&site.pacs, &args, &lines);
        assert_eq!(rows(&done).iter().collect::<Vec<_>>(), expected, "{args:?}");
    }
    let (frame, expected) = &frames[0];
    // As people copy them, with colons and spaces.
    let spaced: String = frame.iter().map(|byte| format!("{byte:02X}: ")).collect();
    for text in [hex(frame), spaced] {
        for args in both(&["--frame", &text]) {
            assert_eq!(rows(&ask(&site.pacs, &args)), std::slice::from_ref(expected));
        }
    }
}

#[test]
fn captures() {
    let site = site();
    let (bytes, expected): (Vec<_>, Vec<_>) = frames().into_iter().unzip();
    fs::write(site.pacs.dir().join("frames.pcap"), pcap(1, &bytes)).unwrap();
    fs::write(site.pacs.dir().join("frames.pcapng"), pcapng(&bytes)).unwrap();
    for file in ["frames.pcap", "frames.pcapng"] {
        for args in both(&["--pcap", file]) {
            assert_eq!(rows(&ask(&site.pacs, &args)), expected, "{args:?}");
        }
    }
}

#[test]
fn sentences_for_people() {
    let site = site();
    let cases = [
        (
            "10.20.0.11",
            "104",
            "10.20.0.11 is allowed to port 104: segment modalities grants dicom to 10.20.0.0/24 (policy.yaml:10)\n",
        ),
        (
            "10.9.9.9",
            "104",
            "10.9.9.9 is dropped at port 104: it lies in no segment, and dicom is protected (policy.yaml:5)\n",
        ),
    ];
    for (source, port, sentence) in cases {
        for kernel in [None, Some("--kernel")] {
            let mut args = vec!["explain", "--policy", "policy.yaml", source, port];
            args.extend(kernel);
            assert_eq!(site.ask(&args).stdout, sentence);
        }
    }
    // Nothing was attached, and nothing pinned.
    assert!(!site.pacs.pins().exists());
}

#[test]
fn live_judges_by_what_is_in_force_and_not_by_the_file() {
    let site = Site::new();
    let modality = site.modality.addr4().to_string();
    let asked = ["explain", "--live", &modality, "11112"];
    assert_eq!(site.ask(&asked).status.code(), Some(4), "nothing is in force yet");
    let mut daemon = site.guard(&[]);
    site.write(&policy("enforce", &[&site.stranger]));
    daemon.kill().unwrap();
    let live = site.ask(&asked);
    assert!(live.stdout.contains("is allowed"), "{}", live.text());
    assert!(live.stdout.contains("in force since"), "{}", live.text());
    let filed = site.ask(&["explain", "--policy", "policy.yaml", &modality, "11112"]);
    assert!(filed.stdout.contains("is dropped"), "{}", filed.text());
}
