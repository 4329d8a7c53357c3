//! Asks the archive what it lets a stranger do.

use std::{net::SocketAddr, time::Duration};

use serde::Serialize;

use super::{Door, Open, Product};
use crate::echo::{Failure, Target, negotiate, probe};

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
        let hangs_up =
            |failure: &Failure| matches!(failure, Failure::Garbage { .. } | Failure::Closed { .. });
        self.speaks_clear()
            || self.claims_tls && self.tried.iter().any(|tried| tried.refused.as_ref().is_some_and(hangs_up))
    }

    fn speaks_clear(&self) -> bool {
        self.tried.iter().any(|tried| match &tried.refused {
            None => true,
            Some(failure) => matches!(failure, Failure::Rejected(_) | Failure::Aborted { .. }),
        })
    }
}

/// Examines a port: at most three associations and a C-ECHO, each within the deadline.
pub async fn examine(question: &Question, deadline: Duration) -> Examined {
    let mut found = Examined {
        address: question.address,
        product: question.product,
        claims_tls: question.claims_tls,
        open: vec![],
        tried: vec![],
    };
    let mut doors = Vec::new();
    // Whoever knows nothing, and then whoever knows the archive's own title.
    for called in [Some(NOBODY), question.called.as_deref()].into_iter().flatten() {
        let target = stranger(question, called);
        let asked = negotiate(&target, &SYNTAXES, deadline).await;
        if let Ok(contexts) = &asked {
            doors.extend(question.claims_tls.then_some(Door::Clear));
            doors.extend((called == NOBODY).then_some(Door::AnyCalled));
            doors.push(Door::AnyCalling);
            if probe(&target, deadline).await.outcome.is_ok() {
                doors.push(Door::Echo);
            }
            let accepted = contexts.iter().zip(DOORS).filter(|(fault, _)| fault.is_none());
            doors.extend(accepted.filter_map(|(_, door)| door));
        }
        let refused = asked.err();
        let done = refused.is_none();
        found.tried.push(Tried { called: called.to_owned(), calling: STRANGER.to_owned(), refused });
        if done {
            break;
        }
    }
    // A rejection in clear is an answer in clear too.
    if question.claims_tls && doors.is_empty() && found.speaks_clear() {
        doors.push(Door::Clear);
    }
    found.open = doors.into_iter().map(|door| Open::new(door, question.product)).collect();
    found
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
