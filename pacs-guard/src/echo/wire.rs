//! The bounded side of a connection: one PDU at a time, none larger or more than a C-ECHO can need.
//!
//! The header is judged before a byte of the body is asked for, and memory is taken by what is allowed, never
//! by what the peer states beyond it.

use dicom_ul::{Pdu, pdu::ReadError, read_pdu};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    failure::{ContextFault, Failure, GarbageSign, Limit, Phase},
    refusal::{Abort, Rejection},
};

/// Maximum length of a PDU's variable field that is offered to peers and held to, in bytes (PS3.8 annex D.1).
pub(super) const MAX_PDU: u32 = 16_384;
/// PDUs that a peer may send in one probe. An honest one sends three.
pub(super) const MAX_PDUS: u32 = 64;
/// Bytes that a peer may send in one probe, headers included. An honest one sends under 500.
pub(super) const MAX_BYTES: usize = 65_536;
/// Bytes of one command set, over all of its fragments. An honest one has 78.
pub(super) const MAX_COMMAND: usize = 4_096;

/// PDU types (PS3.8 section 9.3.1) that are decoded here; all others are left to dicom-ul.
const ASSOCIATE_RJ: u8 = 3;
const ABORT: u8 = 7;

/// An A-ABORT by the service user (PS3.8 table 9-26), which ends an association that is of no use.
const ABORT_PDU: [u8; 10] = [ABORT, 0, 0, 0, 0, 4, 0, 0, 0, 0];
const RELEASE_RQ_PDU: [u8; 10] = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];

/// TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a peer and what the peer may still send over it.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    pdus_left: u32,
    bytes_left: usize,
}

impl Wire {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), pdus_left: MAX_PDUS, bytes_left: MAX_BYTES }
    }

    /// Sends bytes. A failed write is not the last word: a peer that rejects or aborts may close before it
    /// has read, and why it did is still there to be read. So the error is left for the read that follows.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next PDU with its type. A-ASSOCIATE-RJ and A-ABORT come back as the failures that they are.
    pub(super) async fn receive(&mut self, phase: Phase) -> Result<(u8, Pdu), Failure> {
        let too_large = |limit| Failure::TooLarge { phase, limit };
        self.pdus_left = self.pdus_left.checked_sub(1).ok_or(too_large(Limit::Pdus))?;
        // Two bytes first: a server of another protocol may have nothing more to say, and wait.
        let mut start = [0; 2];
        self.fill(&mut start, phase).await?;
        let [pdu_type, reserved] = start;
        match (pdu_type, reserved) {
            (1..=7, _) => {}
            (0x14..=0x17, 3) => {
                return Err(Failure::Garbage { phase, sign: GarbageSign::Tls });
            }
            (first, _) => {
                return Err(Failure::Garbage { phase, sign: GarbageSign::NotAPdu { first } });
            }
        }
        let mut length = [0; 4];
        self.fill(&mut length, phase).await?;
        let stated = u32::from_be_bytes(length);
        if stated > MAX_PDU {
            return Err(too_large(Limit::PduLength { stated }));
        }
        let mut pdu = vec![0; start.len() + length.len() + stated as usize];
        let Some((header, body)) = pdu.split_first_chunk_mut() else {
            return Err(Failure::Internal);
        };
        let ([t, r], [a, b, c, d]) = (start, length);
        *header = [t, r, a, b, c, d];
        self.fill(body, phase).await?;
        match (pdu_type, &*body) {
            (ASSOCIATE_RJ, &[_, result, source, reason]) => {
                Err(Failure::Rejected(Rejection::decode([result, source, reason])))
            }
            (ABORT, &[_, _, source, reason]) => {
                Err(Failure::Aborted { phase, abort: Abort::decode([source, reason]) })
            }
            _ => Ok((pdu_type, decode(pdu_type, &pdu, phase)?)),
        }
    }

    async fn fill(&mut self, buffer: &mut [u8], phase: Phase) -> Result<(), Failure> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(buffer.len())
            .ok_or(Failure::TooLarge { phase, limit: Limit::Bytes })?;
        self.stream.read_exact(buffer).await.map_err(|error| Failure::from_io(&error, phase))?;
        Ok(())
    }

    /// Releases the association and waits until the peer has answered with anything at all, or closed.
    pub(super) async fn release(mut self) {
        self.send(&RELEASE_RQ_PDU).await;
        let _ = self.receive(Phase::Echo).await;
    }

    /// Tells the peer that the association is over, if that can be done without waiting, and hangs up.
    pub(super) fn abort(mut self) {
        let _ = self.send(&ABORT_PDU).now_or_never();
    }
}

/// One whole PDU, its header included.
fn decode(pdu_type: u8, pdu: &[u8], phase: Phase) -> Result<Pdu, Failure> {
    match read_pdu(pdu, MAX_PDU, true) {
        Ok(Some(pdu)) => Ok(pdu),
        // A refused context needs no transfer syntax (PS3.8 table 9-18: "not significant"), and some leave it
        // out.
        Err(ReadError::MissingTransferSyntax { .. }) => {
            Err(Failure::WrongContext { fault: ContextFault::Unanswered })
        }
        Ok(None) | Err(_) => Err(Failure::Garbage { phase, sign: GarbageSign::MalformedPdu { pdu_type } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The library's reader is given whole PDUs of every type with any inside, and must not panic.
        #[test]
        fn any_body_is_decoded_or_refused(
            pdu_type in 1u8..=7,
            body in prop::collection::vec(
                prop_oneof![any::<u8>(), Just(0), Just(0x21), Just(0x50), Just(0x56)],
                0..400,
            ),
        ) {
            let mut pdu = vec![pdu_type, 0];
            pdu.extend_from_slice(&(body.len() as u32).to_be_bytes());
            pdu.extend_from_slice(&body);
            let _ = decode(pdu_type, &pdu, Phase::Associate);
        }

        /// The same behind a valid fixed part of an A-ASSOCIATE-AC, so that the items are reached.
        #[test]
        fn any_items_are_decoded_or_refused(
            kind in prop_oneof![Just(0x10u8), Just(0x21), Just(0x50)],
            items in prop::collection::vec(
                prop_oneof![any::<u8>(), Just(0), 0x51u8..=0x58, Just(0x40)],
                0..300,
            ),
        ) {
            let mut body = vec![0, 1];
            body.resize(68, b' ');
            body.extend_from_slice(&[kind, 0]);
            body.extend_from_slice(&(items.len() as u16).to_be_bytes());
            body.extend_from_slice(&items);
            let mut pdu = vec![2, 0];
            pdu.extend_from_slice(&(body.len() as u32).to_be_bytes());
            pdu.extend_from_slice(&body);
            let _ = decode(2, &pdu, Phase::Associate);
        }
    }
}
