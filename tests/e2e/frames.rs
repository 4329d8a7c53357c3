//! Frames that no socket makes: tags, options, extension headers and fragments on a real link, in both modes.

use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, PacketBuilder, TcpHeader, VlanId,
};

use crate::{
    lab::{PATIENCE, wait_for},
    site::{DICOM, Site},
    wire::{RawSocket, syn},
};

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Writes frames from one host of the site to its archive.
struct Writer {
    from: [u8; 6],
    to: [u8; 6],
    source: std::net::Ipv4Addr,
    source6: std::net::Ipv6Addr,
    archive: std::net::Ipv4Addr,
    archive6: std::net::Ipv6Addr,
}

impl Writer {
    fn tcp() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut tcp = TcpHeader::new(40_000, DICOM, 1, 64_240);
        tcp.syn = true;
        tcp.write(&mut bytes).unwrap();
        bytes
    }

    fn frame(&self, kind: [u8; 2], rest: &[&[u8]]) -> Vec<u8> {
        [&self.to[..], &self.from, &kind, &rest.concat()].concat()
    }

    fn tagged(&self, outer: bool) -> Vec<u8> {
        let frame = PacketBuilder::ethernet2(self.from, self.to);
        let frame = match outer {
            false => frame.single_vlan(VlanId::ZERO),
            true => frame.double_vlan(VlanId::try_new(5).unwrap(), VlanId::try_new(6).unwrap()),
        };
        let mut bytes = Vec::new();
        let frame = frame.ipv4(self.source.octets(), self.archive.octets(), 64);
        frame.tcp(40_000, DICOM, 1, 64_240).syn().write(&mut bytes, &[]).unwrap();
        bytes
    }

    fn ipv4(&self, change: impl FnOnce(&mut Ipv4Header), payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap();
        let (source, to) = (self.source.octets(), self.archive.octets());
        let mut header = Ipv4Header::new(length, 64, IpNumber::TCP, source, to).unwrap();
        change(&mut header);
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = Vec::new();
        header.write(&mut bytes).unwrap();
        self.frame(IPV4, &[&bytes, payload])
    }

    fn ipv6(&self, next: IpNumber, payload: &[u8]) -> Vec<u8> {
        let header = Ipv6Header {
            payload_length: u16::try_from(payload.len()).unwrap(),
            next_header: next,
            hop_limit: 64,
            source: self.source6.octets(),
            destination: self.archive6.octets(),
            ..Ipv6Header::default()
        };
        self.frame(IPV6, &[&header.to_bytes(), payload])
    }

    fn ipv6_fragment(&self, offset: u16, payload: &[u8]) -> Vec<u8> {
        let offset = IpFragOffset::try_new(offset).unwrap();
        let header = Ipv6FragmentHeader::new(IpNumber::TCP, offset, true, 7);
        self.ipv6(IpNumber::IPV6_FRAGMENTATION_HEADER, &[&header.to_bytes()[..], payload].concat())
    }
}

fn each_is_judged(mode: &str) {
    let site = Site::new();
    let _daemon = site.guard(&["--xdp-mode", mode]);
    let raw = RawSocket::open(&site.stranger);
    let write = Writer {
        from: raw.mac(),
        to: RawSocket::open(&site.pacs).mac(),
        source: site.stranger.addr4(),
        source6: site.stranger.addr6(),
        archive: site.pacs.addr4(),
        archive6: site.pacs.addr6(),
    };
    let tcp = Writer::tcp();
    let hop_by_hop = [&[6, 0, 1, 4, 0, 0, 0, 0], &tcp[..]].concat();
    // Nine destination options, each naming the next: over the bound of extension headers.
    let chain = [[60, 0, 1, 4, 0, 0, 0, 0].repeat(8), vec![6, 0, 1, 4, 0, 0, 0, 0], tcp.clone()].concat();
    let mapped = syn(write.from, write.to, "::ffff:10.99.0.2".parse().unwrap(), write.archive6.into(), DICOM);
    let options = |header: &mut Ipv4Header| {
        header.set_payload_len(tcp.len()).unwrap();
        header.options = [1; 8].into();
        header.total_len += 8;
    };
    let first = |header: &mut Ipv4Header| header.more_fragments = true;
    let second = |header: &mut Ipv4Header| header.fragment_offset = IpFragOffset::try_new(1).unwrap();
    let later = |header: &mut Ipv4Header| header.fragment_offset = IpFragOffset::try_new(100).unwrap();
    let cases = [
        ("a priority tag", write.tagged(false), "not-in-segment"),
        ("two tags", write.tagged(true), "not-in-segment"),
        ("IPv4 options", write.ipv4(options, &tcp), "not-in-segment"),
        ("a first fragment", write.ipv4(first, &tcp), "not-in-segment"),
        ("a first fragment without ports", write.ipv4(first, &[0, 1]), "unparsed-fragment"),
        ("a fragment that rewrites the header", write.ipv4(second, &tcp), "unparsed-fragment"),
        ("a later fragment", write.ipv4(later, &tcp), "fragment-without-port"),
        ("hop-by-hop options", write.ipv6(IpNumber::IPV6_HEADER_HOP_BY_HOP, &hop_by_hop), "not-in-segment"),
        ("a first fragment of IPv6", write.ipv6_fragment(0, &tcp), "not-in-segment"),
        ("a later fragment of IPv6", write.ipv6_fragment(100, &tcp), "fragment-without-port"),
        (
            "a chain of headers",
            write.ipv6(IpNumber::IPV6_DESTINATION_OPTIONS, &chain),
            "unparsed-extension-headers",
        ),
        ("a mapped address of the modality", mapped, "not-in-segment"),
    ];
    for (what, frame, reason) in cases {
        let before = site.booked(reason);
        raw.send(&frame);
        wait_for(&format!("{what} to be {reason} in {mode} mode"), PATIENCE, || {
            Ok(site.booked(reason) == before + 1)
        })
        .unwrap();
    }
}

#[test]
fn each_is_judged_native() {
    each_is_judged("native");
}

#[test]
fn each_is_judged_generic() {
    each_is_judged("generic");
}
