//! Random frames with structure: valid header chains, and then what a hostile sender would do to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    build::{self, *},
    random::Random,
};

/// What the frames are made of. Each list holds at least one.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) sources4: Vec<Ipv4Addr>,
    pub(crate) sources6: Vec<Ipv6Addr>,
    pub(crate) to4: Vec<Ipv4Addr>,
    pub(crate) to6: Vec<Ipv6Addr>,
    pub(crate) ports: Vec<u16>,
}

/// An endless run of frames, the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    random: Random,
    pool: Pool,
}

impl Iterator for Generator {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.frame())
    }
}

impl Generator {
    pub(crate) fn new(seed: u64, pool: Pool) -> Self {
        Self { random: Random::new(seed), pool }
    }

    fn frame(&mut self) -> Vec<u8> {
        let (ether_type, packet) = match self.random.below(16) {
            0 => (self.random.pick(&[0x0806, 0x88cc, 0x8847, 0x0026, 0x9100, IPV4, IPV6]), self.noise(60)),
            1..8 => (IPV4, self.packet4()),
            _ => (IPV6, self.packet6()),
        };
        let tags = self.tags();
        let mut frame = ethernet(&tags, ether_type, &packet);
        self.spoil(&mut frame, 14 + 4 * tags.len());
        frame
    }

    fn tags(&mut self) -> Vec<(u16, u16)> {
        let count = if self.random.once_in(4) { 1 + self.random.below(3) } else { 0 };
        (0..count)
            .map(|_| (self.random.pick(&[CTAG, STAG]), self.random.pick(&[0, 0, 1, 100, 0xe000, 0xffff])))
            .collect()
    }

    fn packet4(&mut self) -> Vec<u8> {
        let (source, to) = (self.random.pick(&self.pool.sources4), self.random.pick(&self.pool.to4));
        let (protocol, payload) = self.transport(source.into(), to.into());
        let mut header = V4::new(source, to, protocol);
        if self.random.once_in(4) {
            header.options = self.options();
        }
        if self.random.once_in(6) {
            header.fragment =
                self.random.pick(&[MORE_FRAGMENTS, MORE_FRAGMENTS | 1, 1, 2, 3, 185, 0x1fff, 0x4000]);
        }
        header.packet(&payload)
    }

    /// At most 40 bytes, most of them well formed.
    fn options(&mut self) -> Vec<u8> {
        let mut options = Vec::new();
        for _ in 0..=self.random.below(4) {
            match self.random.below(8) {
                0 => options.push(0),
                1..4 => options.push(1),
                // Record route, timestamp, router alert, stream id; the security option's number too.
                4 => options.extend([self.random.pick(&[7, 68, 136, 130]), 4, 4, 0]),
                5 => options.extend([self.random.pick(&[131, 137]), 7, 4, 10, 0, 0, 9]),
                6 => options.extend([148, 4, 0, 0]),
                _ => options.extend([self.random.next() as u8, self.random.pick(&[0, 1, 2, 3, 40, 255])]),
            }
        }
        options.truncate(40);
        options
    }

    fn packet6(&mut self) -> Vec<u8> {
        let (source, to) = (self.random.pick(&self.pool.sources6), self.random.pick(&self.pool.to6));
        let (protocol, payload) = self.transport(source.into(), to.into());
        let mut chain = Chain::new();
        for _ in 0..self.chain_length() {
            let units =
                if self.random.once_in(50) { self.random.next() as u8 } else { self.random.below(3) as u8 };
            chain = match self.random.below(6) {
                0 => chain.options(HOP_BY_HOP, units),
                1 | 2 => chain.options(DESTINATION, units),
                3 => chain.routing(self.random.pick(&[0, 2, 3, 4, 253]), self.random.pick(&[0, 0, 1, 255])),
                4 => {
                    let offset = self.random.pick(&[0, 0, 0, 1, 2, 0x1fff]);
                    chain.fragment(offset, self.random.once_in(2), self.random.next() as u8)
                }
                _ => chain.authentication(3 + units / 4 * 4),
            };
        }
        let (next, bytes) = chain.before(protocol, &payload);
        V6::new(source, to, next).packet(&bytes)
    }

    fn chain_length(&mut self) -> usize {
        match self.random.below(8) {
            0..4 => 0,
            4..7 => self.random.below(3),
            _ => self.random.below(12),
        }
    }

    fn transport(&mut self, source: IpAddr, to: IpAddr) -> (u8, Vec<u8>) {
        let port = self.random.pick(&self.pool.ports);
        let (protocol, mut payload) = match self.random.below(10) {
            0..6 => {
                let flags = if self.random.once_in(2) { SYN } else { self.random.next() as u16 & 0x1ff };
                (TCP, build::tcp(source, to, port, flags))
            }
            6..8 => (UDP, build::udp(source, to, port, b"datagram")),
            // ICMP, IPIP, 6in4, GRE, ESP, ICMPv6, no next header, and anything.
            8 => (self.random.pick(&[1, 4, 41, 47, 50, 58, 59]), build::tcp(source, to, port, SYN)),
            _ => (self.random.next() as u8, self.noise(40)),
        };
        if self.random.once_in(12) {
            payload.truncate(self.random.below(12));
        }
        (protocol, payload)
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let count = self.random.below(most + 1);
        self.random.bytes(count)
    }

    /// Two frames in three stay as they are.
    fn spoil(&mut self, frame: &mut Vec<u8>, ip: usize) {
        match self.random.below(18) {
            0 | 1 => {
                for _ in 0..=self.random.below(3) {
                    let bit = self.random.below(frame.len() * 8);
                    frame[bit / 8] ^= 1 << (bit % 8);
                }
            }
            // Bits of the headers only, where they tell.
            2 => {
                let bit = 96 + self.random.below((frame.len() - 12).min(64) * 8);
                frame[bit / 8] ^= 1 << (bit % 8);
            }
            3 => frame.truncate(14 + self.random.below(frame.len() - 13)),
            // Padding, as on a wire that carries no frame under 60 bytes.
            4 => {
                let padding = self.noise(46);
                frame.extend(padding);
            }
            // The total length of IPv4 lies at 2, the payload length of IPv6 at 4.
            5 => {
                let at = ip + self.random.pick(&[2, 4]);
                let lie = self.random.pick(&[0, 1, 19, 20, 21, 23, 24, 28, 40, 60, 0xffff]);
                if let Some(field) = frame.get_mut(at..at + 2) {
                    field.copy_from_slice(&u16::to_be_bytes(lie));
                }
            }
            _ => {}
        }
    }
}
