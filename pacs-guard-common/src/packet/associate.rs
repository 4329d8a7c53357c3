//! The AE titles of an A-ASSOCIATE-RQ, read in passing (DICOM PS3.8 section 9.3.2). Observed, and never enforced.

use super::{Frame, Packet, parse::TCP};

/// Bytes of an AE title in the PDU.
pub const TITLE: usize = 16;

const ASSOCIATE_RQ: u8 = 1;
/// Bytes of the PDU's header, which its length does not count.
const HEADER: u32 = 6;
/// Bytes before the first item.
const FIXED: usize = 74;
/// Type of the application context item, which comes first.
const APPLICATION_CONTEXT: u8 = 0x10;
/// No honest request comes near it: 128 contexts with every transfer syntax there is.
const LONGEST: u32 = 1 << 18;

/// Who is called and who calls, as sent: padded with spaces, of any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Titles {
    /// The called AE title.
    pub called: [u8; TITLE],
    /// The calling AE title.
    pub calling: [u8; TITLE],
}

/// Reads the titles of a packet whose TCP payload begins with an A-ASSOCIATE-RQ.
///
/// Everything of it must be right that can be seen, for a packet in the midst of a stream may begin with any byte;
/// and all of it must be in this one packet. `None` where it is not so, and where TLS hides it.
#[inline(always)]
pub fn titles<F: Frame>(frame: &F, packet: &Packet) -> Option<Titles> {
    let tcp = packet.transport_at as usize;
    // A later fragment, or what could not be parsed, has no header that is known.
    if packet.protocol != TCP || tcp == 0 {
        return None;
    }
    titles_at(frame, tcp)
}

/// The same, where the TCP header is known to start at `tcp`.
#[inline(always)]
pub fn titles_at<F: Frame>(frame: &F, tcp: usize) -> Option<Titles> {
    let tcp = frame.forget(tcp);
    let [offset, _]: [u8; 2] = frame.read(tcp + 12)?;
    let at = frame.forget(tcp + (offset >> 4) as usize * 4);
    // One read: one bound for the verifier to prove, and all of the PDU's fixed part or none.
    let fixed: [u8; FIXED + 2] = frame.read(at)?;
    let [pdu, _, l1, l2, l3, l4, _, version, _, _, rest @ ..] = fixed;
    let (called, rest) = rest.split_first_chunk()?;
    let (calling, _) = rest.split_first_chunk()?;
    let [item, _] = *fixed.last_chunk()?;
    let length = u32::from_be_bytes([l1, l2, l3, l4]);
    let right = pdu == ASSOCIATE_RQ
        && version & 1 == 1
        && item == APPLICATION_CONTEXT
        && length > FIXED as u32 - HEADER
        && length <= LONGEST;
    right.then_some(Titles { called: *called, calling: *calling })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the TCP header lies, and the request behind its five words.
    const AT: usize = 2;
    const PDU: usize = AT + 20;

    fn request() -> [u8; PDU + 90] {
        let mut frame = [0; PDU + 90];
        frame[AT + 12] = 0x50;
        frame[PDU..PDU + 8].copy_from_slice(&[1, 0, 0, 0, 0, 84, 0, 1]);
        frame[PDU + 10..PDU + 26].copy_from_slice(b"ARCHIVE         ");
        frame[PDU + 26..PDU + 42].copy_from_slice(b"CT1             ");
        frame[PDU + FIXED] = 0x10;
        frame
    }

    const TO_TCP: Packet = Packet { protocol: TCP, transport_at: AT as u16, ..zero() };

    const fn zero() -> Packet {
        Packet {
            source: super::super::Address { family: super::super::Family::None, high: 0, low: 0 },
            destination: super::super::Address { family: super::super::Family::None, high: 0, low: 0 },
            protocol: 0,
            source_port: 0,
            destination_port: 0,
            transport_at: 0,
            source_routed: false,
        }
    }

    fn read(frame: &[u8]) -> Option<Titles> {
        titles(&frame, &TO_TCP)
    }

    #[test]
    fn both_titles_are_read() {
        let found = read(&request()).unwrap();
        assert_eq!((&found.called, &found.calling), (b"ARCHIVE         ", b"CT1             "));
        let udp = Packet { protocol: 17, ..TO_TCP };
        assert_eq!(titles(&&request()[..], &udp), None, "of UDP nothing is read");
        let fragment = Packet { transport_at: 0, ..TO_TCP };
        assert_eq!(titles(&&request()[AT..], &fragment), None, "of a later fragment neither");
    }

    #[test]
    fn whatever_is_not_wholly_right_is_unknown() {
        for (at, byte) in [(0, 4), (7, 2), (FIXED, 0x20), (5, 68), (2, 0x10)] {
            let mut frame = request();
            frame[PDU + at] = byte;
            assert_eq!(read(&frame), None, "byte {at}");
        }
        let mut frame = request();
        frame[AT + 12] = 0xf0;
        assert_eq!(read(&frame), None, "options that reach into the request");
        for end in 0..PDU + FIXED + 2 {
            assert_eq!(read(&request()[..end]), None, "{end} bytes");
        }
    }
}
