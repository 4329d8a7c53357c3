//! Any bytes as a frame: parser, verdict and reset neither panic nor contradict each other.
#![no_main]

use std::{path::Path, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use pacs_guard::{
    image::{Card, Image, Ledger, compile},
    policy,
};
use pacs_guard_common::{
    packet::{Content, Frame, FrameMut, Parsed, Syn, Transport, parse, titles},
    verdict::{Reason, Verdict, judge},
};

const POLICY: &str = "version: 1
name: fuzz
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104, 11112] }
  video: { ports: [5104], transport: udp }
segments:
  modalities: { sources: [10.0.0.0/9, 'fd00::/9'], services: [dicom] }
  recorders: { sources: [10.1.0.0/16], services: [video] }
";

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let checked = policy::parse(Path::new("fuzz.yaml"), POLICY).unwrap();
    let card = Card::new(&checked, jiff::Timestamp::UNIX_EPOCH, None);
    compile(&checked.policy, &mut Ledger::default(), 1, &card).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let Parsed { packet, content } = parse(&bytes);
    let judgement = judge(&bytes, &*IMAGE);
    assert_eq!(judgement.packet, packet);
    let (verdict, reason) = (judgement.ruling.verdict, judgement.ruling.reason);
    match content {
        Content::Unparsed(cause) => assert_eq!((verdict, reason), (Verdict::Drop, Reason::Unparsed(cause))),
        Content::NotIp => assert_eq!(reason, Reason::NotIp),
        Content::OtherProtocol => assert_eq!(reason, Reason::NotTcp),
        Content::LaterFragment => assert_eq!(reason, Reason::FragmentWithoutPort),
        Content::Ports(transport) if protected(transport, packet.destination_port) => {
            assert!(matches!(verdict, Verdict::Drop | Verdict::Allow));
        }
        Content::Ports(_) => assert_eq!((verdict, reason), (Verdict::Pass, Reason::NotProtected)),
    }
    if !matches!(content, Content::Unparsed(_)) {
        // What lies behind a whole packet is padding.
        let padded = [bytes, &[0xff; 9]].concat();
        assert_eq!(parse(&padded.as_slice()), Parsed { packet, content });
    }
    if titles(&bytes, &packet).is_some() {
        assert!(matches!(content, Content::Ports(Transport::Tcp)));
    }
    reset(bytes, content);
});

fn protected(transport: Transport, port: u16) -> bool {
    match transport {
        Transport::Tcp => [104, 11112].contains(&port),
        Transport::Udp => port == 5104,
    }
}

/// A SYN that may be answered has ports, and the answer goes back to where it came from.
fn reset(bytes: &[u8], content: Content) {
    let Some(syn) = Syn::find(&bytes) else { return };
    if content != Content::Ports(Transport::Tcp) {
        return assert!(matches!(content, Content::Unparsed(_)), "a SYN, but {content:?}");
    }
    let asked = parse(&bytes).packet;
    let mut frame = Buffer(bytes.to_vec());
    if syn.answer(&mut frame).is_some() {
        let told = parse(&frame).packet;
        assert_eq!((told.source, told.destination), (asked.destination, asked.source));
        assert_eq!((told.source_port, told.destination_port), (asked.destination_port, asked.source_port));
    }
}

struct Buffer(Vec<u8>);

impl Frame for Buffer {
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.as_slice().read(at)
    }

    fn holds(&self, length: usize) -> bool {
        self.0.len() >= length
    }
}

impl FrameMut for Buffer {
    fn write<const N: usize>(&mut self, at: usize, bytes: [u8; N]) -> Option<()> {
        self.0.get_mut(at..)?.first_chunk_mut().map(|place| *place = bytes)
    }

    fn resize(&mut self, length: usize) -> Option<()> {
        self.0.resize(length, 0);
        Some(())
    }
}
