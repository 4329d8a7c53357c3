//! Asks the archive what it lets a stranger do.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde::Serialize;

use super::{Door, Open, Product};
use crate::echo::{Channel, Failure, Target, negotiate, probe};

/// Titles that no site gives to anything.
const NOBODY: &str = "PG-NOBODY-HERE";
const STRANGER: &str = "PG-STRANGER";

/// Verification, Study Root FIND and MOVE, CT Image Storage (PS3.4 annexes A, C and B).
const SYNTAXES: [&str; 4] = [
    "1.2.840.10008.1.1",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.5.1.4.1.2.2.2",
    "1.2.840.10008.5.1.4.1.1.2",
];
/// The doors that an accepted context opens, in the order of [`SYNTAXES`]. C-ECHO itself is tried.
const DOORS: [Option<Door>; 4] = [None, Some(Door::Find), Some(Door::Move), Some(Door::Store)];

/// A port to examine.
#[derive(Clone, Debug)]
pub struct Question {
    /// Where the archive listens.
    pub address: SocketAddr,
    /// The AE title that it has, where that is known.
    pub called: Option<String>,
    /// Whether the port is meant to take TLS only.
    pub claims_tls: bool,
    /// What listens there, where that is known.
    pub product: Option<Product>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Examined {
    /// Where.
    pub address: SocketAddr,
    /// What listens there, where that is known.
    pub product: Option<Product>,
    /// Whether the port is meant to take TLS only.
    pub claims_tls: bool,
    /// What is open.
    pub open: Vec<Open>,
    /// What the archive made of each set of titles, in the order in which they were tried.
    pub tried: Vec<Tried>,
}

/// One association that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Over what.
    pub channel: Channel,
    /// The called AE title.
    pub called: String,
    /// The calling AE title.
    pub calling: String,
    /// Why there was none; `None` where the archive took it.
    pub refused: Option<Failure>,
}

impl Examined {
    /// Whether it was an archive that was asked, so that what is not open is shut: it answered as DICOM, or, where
    /// it claims TLS, not at all.
    pub fn answered(&self) -> bool {
        let answers = |failure: &Failure| {
            let ends =
                matches!(failure, Failure::Garbage { .. } | Failure::Closed { .. } | Failure::Tls { .. });
            is_dicom(failure) || self.claims_tls && ends
        };
        self.tried.iter().any(|tried| tried.refused.as_ref().is_none_or(answers))
    }
}

/// Examines a port: at most two associations in clear, two over TLS where that is claimed, and a C-ECHO, each within
/// the deadline.
pub async fn examine(question: &Question, deadline: Duration) -> Examined {
    let Question { address, product, claims_tls, .. } = *question;
    let mut found = Examined { address, product, claims_tls, open: vec![], tried: vec![] };
    let mut doors = BTreeSet::new();
    let channels = if claims_tls { &[Channel::Clear, Channel::StrangersTls][..] } else { &[Channel::Clear] };
    for &channel in channels {
        // Whoever knows nothing, and then whoever knows the archive's own title.
        for called in [Some(NOBODY), question.called.as_deref()].into_iter().flatten() {
            let target = stranger(question, called);
            let asked = negotiate(&target, channel, &SYNTAXES, deadline).await;
            if let Ok(contexts) = &asked {
                doors.extend((called == NOBODY).then_some(Door::AnyCalled));
                doors.insert(Door::AnyCalling);
                let accepted = contexts.iter().zip(DOORS).filter(|(fault, _)| fault.is_none());
                doors.extend(accepted.filter_map(|(_, door)| door));
                if channel == Channel::Clear && probe(&target, deadline).await.outcome.is_ok() {
                    doors.insert(Door::Echo);
                }
            }
            let refused = asked.err();
            // A rejection over a channel is an answer over it too.
            let spoke = refused.as_ref().is_none_or(is_dicom);
            doors.extend((spoke && claims_tls).then_some(match channel {
                Channel::Clear => Door::Clear,
                Channel::StrangersTls => Door::NoClientCertificate,
            }));
            let done = refused.is_none();
            let (called, calling) = (called.to_owned(), STRANGER.to_owned());
            found.tried.push(Tried { channel, called, calling, refused });
            if done {
                break;
            }
        }
    }
    found.open = doors.into_iter().map(|door| Open::new(door, product)).collect();
    found
}

/// Whether a failure is the answer of something that speaks DICOM.
fn is_dicom(failure: &Failure) -> bool {
    matches!(failure, Failure::Rejected(_) | Failure::Aborted { .. })
}

fn stranger(question: &Question, called: &str) -> Target {
    Target {
        name: "archive".to_owned(),
        address: question.address.ip(),
        port: question.address.port(),
        called: called.to_owned(),
        calling: STRANGER.to_owned(),
        tls: None,
    }
}
