//! What a peer says when it refuses or ends an association, in words (DICOM PS3.8 sections 9.3.4 and 9.3.8).

use std::fmt;

use serde::Serialize;

/// An A-ASSOCIATE-RJ. Products differ in what they reject with: DCMTK says "called AE title not recognised"
/// where it is the calling one that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// `permanent`, `transient`, or that the code means nothing.
    pub result: &'static str,
    /// Which layer of the peer rejects.
    pub source: &'static str,
    /// Why, in the standard's words.
    pub reason: &'static str,
    /// Result, source and reason as sent.
    pub codes: [u8; 3],
}

impl Rejection {
    /// From the bytes result, source and reason of the PDU (PS3.8 table 9-21). Takes every value.
    #[must_use]
    pub fn decode(codes: [u8; 3]) -> Self {
        let [result, source, reason] = codes;
        Self {
            result: match result {
                1 => "permanent",
                2 => "transient",
                _ => "for an unknown time",
            },
            source: match source {
                1 => "service user",
                2 => "service provider, association control",
                3 => "service provider, presentation",
                _ => "unknown source",
            },
            reason: match (source, reason) {
                (1 | 2, 1) => "no reason given",
                (1, 2) => "application context name not supported",
                (1, 3) => "calling AE title not recognised",
                (1, 7) => "called AE title not recognised",
                (2, 2) => "protocol version not supported",
                (3, 1) => "temporary congestion",
                (3, 2) => "local limit exceeded",
                _ => "a reason that the standard does not define",
            },
            codes,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, by the {})", self.reason, self.result, self.source)
    }
}

/// An A-ABORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// Which layer of the peer aborts.
    pub source: &'static str,
    /// Why; only the service provider gives reasons.
    pub reason: &'static str,
    /// Source and reason as sent.
    pub codes: [u8; 2],
}

impl Abort {
    /// From the bytes source and reason of the PDU (PS3.8 table 9-26). Takes every value.
    #[must_use]
    pub fn decode(codes: [u8; 2]) -> Self {
        let [source, reason] = codes;
        Self {
            source: match source {
                0 => "service user",
                2 => "service provider",
                _ => "unknown source",
            },
            reason: match (source, reason) {
                (0, _) | (2, 0) => "no reason given",
                (2, 1) => "unrecognised PDU",
                (2, 2) => "unexpected PDU",
                (2, 4) => "unrecognised PDU parameter",
                (2, 5) => "unexpected PDU parameter",
                (2, 6) => "invalid PDU parameter value",
                _ => "a reason that the standard does not define",
            },
            codes,
        }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (by the {})", self.reason, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_read_as_sentences() {
        let cases = [
            ([1, 1, 7], "called AE title not recognised (permanent, by the service user)"),
            ([1, 1, 3], "calling AE title not recognised (permanent, by the service user)"),
            ([2, 3, 2], "local limit exceeded (transient, by the service provider, presentation)"),
            (
                [1, 2, 2],
                "protocol version not supported (permanent, by the service provider, association control)",
            ),
            (
                [9, 9, 9],
                "a reason that the standard does not define (for an unknown time, by the unknown source)",
            ),
        ];
        for (codes, words) in cases {
            assert_eq!(Rejection::decode(codes).to_string(), words);
        }
    }

    #[test]
    fn aborts_read_as_sentences() {
        assert_eq!(Abort::decode([0, 9]).to_string(), "no reason given (by the service user)");
        assert_eq!(Abort::decode([2, 1]).to_string(), "unrecognised PDU (by the service provider)");
    }
}
