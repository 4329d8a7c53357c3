//! The C-ECHO command set, written and read by hand (DICOM PS3.7 sections 9.3.5 and 6.3.1, annex E).
//!
//! By hand, because a general data set reader believes an element's length: 20 bytes that state a length of
//! 0xFFFFFFF0 made one take 4.2 GB. Command sets are always Implicit VR Little Endian: group and element as
//! `u16`, length as `u32`, then the value.

use serde::Serialize;

/// Verification SOP Class (PS3.4 annex A).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Command Field of a C-ECHO-RQ.
const ECHO_RQ: u16 = 0x0030;
/// Command Field of a C-ECHO-RSP.
pub const ECHO_RSP: u16 = 0x8030;
/// Command Data Set Type that says "no data set follows".
const NO_DATA_SET: u16 = 0x0101;

/// Elements of group 0000 that C-ECHO needs.
const GROUP_LENGTH: u16 = 0x0000;
const AFFECTED_SOP_CLASS_UID: u16 = 0x0002;
const COMMAND_FIELD: u16 = 0x0100;
const MESSAGE_ID: u16 = 0x0110;
const MESSAGE_ID_RESPONDED_TO: u16 = 0x0120;
const DATA_SET_TYPE: u16 = 0x0800;
const STATUS: u16 = 0x0900;

/// What a C-ECHO-RSP says; whether that is a success is the caller's to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EchoResponse {
    /// (0000,0100): 8030h in a C-ECHO-RSP.
    pub command_field: u16,
    /// (0000,0120): the message id of the request that is answered.
    pub message_id: u16,
    /// (0000,0900): 0000h is success (PS3.7 annex C).
    pub status: u16,
}

/// Why bytes are no response command set. Offsets count bytes from the start of the command set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "error", rename_all = "kebab-case")]
pub enum CommandError {
    /// Fewer than the eight bytes of an element's header are left.
    #[error("the command set ends inside an element's header at byte {at}")]
    Truncated {
        /// Where the header begins.
        at: usize,
    },
    /// An element states a length past the end.
    #[error("element (0000,{element:04X}) states {length} bytes where {left} are left")]
    Overrun {
        /// Element number in group 0000.
        element: u16,
        /// The length that it states.
        length: u32,
        /// The bytes that there are.
        left: usize,
    },
    /// An element outside group 0000, which a command set can't hold.
    #[error("element of group {group:04X} in a command set")]
    Group {
        /// The group found.
        group: u16,
    },
    /// A 16-bit element that isn't two bytes long.
    #[error("element (0000,{element:04X}) is {length} bytes long, not 2")]
    Width {
        /// Element number in group 0000.
        element: u16,
        /// The length that it states.
        length: usize,
    },
    /// An element that is there twice, so that two readers could see two answers.
    #[error("element (0000,{element:04X}) is there twice")]
    Twice {
        /// Element number in group 0000.
        element: u16,
    },
    /// An element that every response must have.
    #[error("element (0000,{element:04X}) is missing")]
    Missing {
        /// Element number in group 0000.
        element: u16,
    },
}

/// The C-ECHO-RQ command set (PS3.7 table 9.3-12): 68 bytes, five elements.
#[must_use]
pub fn echo_request(message_id: u16) -> Vec<u8> {
    let mut body = Vec::with_capacity(56);
    let mut sop_class = VERIFICATION.as_bytes().to_vec();
    // A UID is padded to an even length with one NUL (PS3.5 section 9.1).
    sop_class.resize(sop_class.len().next_multiple_of(2), 0);
    element(&mut body, AFFECTED_SOP_CLASS_UID, &sop_class);
    element(&mut body, COMMAND_FIELD, &ECHO_RQ.to_le_bytes());
    element(&mut body, MESSAGE_ID, &message_id.to_le_bytes());
    element(&mut body, DATA_SET_TYPE, &NO_DATA_SET.to_le_bytes());
    let mut command = Vec::with_capacity(68);
    element(&mut command, GROUP_LENGTH, &(body.len() as u32).to_le_bytes());
    command.extend_from_slice(&body);
    command
}

fn element(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

/// Reads a response command set (PS3.7 table 9.3-13). Takes any bytes: never panics and allocates nothing.
///
/// Elements that C-ECHO has no use for are skipped, the group length among them: it says no more than `bytes`
/// does.
///
/// # Errors
/// The first thing that is wrong, as [`CommandError`].
pub fn parse_echo_response(bytes: &[u8]) -> Result<EchoResponse, CommandError> {
    let (mut command_field, mut message_id, mut status) = (None, None, None);
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let Some((&[g0, g1, e0, e1, l0, l1, l2, l3], after)) = rest.split_first_chunk() else {
            return Err(CommandError::Truncated { at });
        };
        let group = u16::from_le_bytes([g0, g1]);
        let element = u16::from_le_bytes([e0, e1]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if group != 0 {
            return Err(CommandError::Group { group });
        }
        let Some((value, next)) = usize::try_from(length).ok().and_then(|n| after.split_at_checked(n)) else {
            return Err(CommandError::Overrun { element, length, left: after.len() });
        };
        rest = next;
        let slot = match element {
            COMMAND_FIELD => &mut command_field,
            MESSAGE_ID_RESPONDED_TO => &mut message_id,
            STATUS => &mut status,
            _ => continue,
        };
        let &[low, high] = value else {
            return Err(CommandError::Width { element, length: value.len() });
        };
        if slot.replace(u16::from_le_bytes([low, high])).is_some() {
            return Err(CommandError::Twice { element });
        }
    }
    let needed = |slot: Option<u16>, element| slot.ok_or(CommandError::Missing { element });
    Ok(EchoResponse {
        command_field: needed(command_field, COMMAND_FIELD)?,
        message_id: needed(message_id, MESSAGE_ID_RESPONDED_TO)?,
        status: needed(status, STATUS)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn response(elements: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, value) in elements {
            element(&mut out, *number, value);
        }
        out
    }

    /// As DCMTK's storescp sends it.
    fn good() -> Vec<u8> {
        response(&[
            (GROUP_LENGTH, &66u32.to_le_bytes()),
            (AFFECTED_SOP_CLASS_UID, b"1.2.840.10008.1.1\0"),
            (COMMAND_FIELD, &[0x30, 0x80]),
            (MESSAGE_ID_RESPONDED_TO, &[7, 0]),
            (DATA_SET_TYPE, &[1, 1]),
            (STATUS, &[0, 0]),
        ])
    }

    #[test]
    fn request_is_what_the_standard_shows() {
        let bytes = echo_request(0x0102);
        assert_eq!(bytes.len(), 68);
        assert_eq!(&bytes[..12], &[0, 0, 0, 0, 4, 0, 0, 0, 56, 0, 0, 0]);
        assert_eq!(&bytes[12..38], b"\x00\x00\x02\x00\x12\x00\x00\x001.2.840.10008.1.1\x00");
        assert_eq!(&bytes[38..48], &[0, 0, 0x00, 0x01, 2, 0, 0, 0, 0x30, 0]);
        assert_eq!(&bytes[48..58], &[0, 0, 0x10, 0x01, 2, 0, 0, 0, 0x02, 0x01]);
        assert_eq!(&bytes[58..], &[0, 0, 0x00, 0x08, 2, 0, 0, 0, 0x01, 0x01]);
    }

    #[test]
    fn response_is_read() {
        let want = EchoResponse { command_field: ECHO_RSP, message_id: 7, status: 0 };
        assert_eq!(parse_echo_response(&good()), Ok(want));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let good = good();
        for end in 0..good.len() {
            assert!(parse_echo_response(&good[..end]).is_err(), "{end} bytes passed");
        }
    }

    #[test]
    fn each_error_has_its_case() {
        let field: (u16, &[u8]) = (COMMAND_FIELD, &[0x30, 0x80]);
        let id: (u16, &[u8]) = (MESSAGE_ID_RESPONDED_TO, &[7, 0]);
        let status: (u16, &[u8]) = (STATUS, &[0, 0]);
        let wide: (u16, &[u8]) = (STATUS, &[0, 0, 0, 0]);
        let mut huge = response(&[field]);
        huge[4..8].copy_from_slice(&0xFFFF_FFF0u32.to_le_bytes());
        let mut foreign = response(&[field]);
        foreign[0] = 8;
        let cases = [
            (vec![], CommandError::Missing { element: COMMAND_FIELD }),
            (response(&[field, status]), CommandError::Missing { element: MESSAGE_ID_RESPONDED_TO }),
            (response(&[field, id]), CommandError::Missing { element: STATUS }),
            (response(&[field, id, status, status]), CommandError::Twice { element: STATUS }),
            (response(&[field, id, wide]), CommandError::Width { element: STATUS, length: 4 }),
            (huge, CommandError::Overrun { element: COMMAND_FIELD, length: 0xFFFF_FFF0, left: 2 }),
            (foreign, CommandError::Group { group: 8 }),
            (vec![0; 9], CommandError::Truncated { at: 8 }),
        ];
        for (bytes, want) in cases {
            assert_eq!(parse_echo_response(&bytes), Err(want));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = parse_echo_response(&bytes);
        }

        #[test]
        fn a_damaged_response_never_panics(at in 0usize..78, bits in any::<u8>()) {
            let mut bytes = good();
            bytes[at] ^= bits;
            let _ = parse_echo_response(&bytes);
        }

        #[test]
        fn what_is_written_is_read(field: u16, id: u16, code: u16) {
            let bytes = response(&[
                (COMMAND_FIELD, &field.to_le_bytes()),
                (MESSAGE_ID_RESPONDED_TO, &id.to_le_bytes()),
                (STATUS, &code.to_le_bytes()),
            ]);
            let want = EchoResponse { command_field: field, message_id: id, status: code };
            prop_assert_eq!(parse_echo_response(&bytes), Ok(want));
        }
    }
}
