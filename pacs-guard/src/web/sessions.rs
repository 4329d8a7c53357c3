//! Browsers that have shown the token: each has a number of its own, that tells nothing of the token.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::crypto::ring;

use crate::hex::hex;

/// Browsers at once; the oldest has to log in again.
const MOST: usize = 64;
/// How long one stays, whatever it does: a shift.
const STAY: Duration = Duration::from_secs(12 * 3600);

/// By the hash of each number, when it ends: whoever can read this memory can't come in with it.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<[u8; 32], Instant>);

impl Sessions {
    /// A new number, 32 random bytes in hex; `None` where the system has no random numbers.
    pub(super) fn begin(&mut self, now: Instant) -> Option<String> {
        let mut bytes = [0; 32];
        ring::default_provider().secure_random.fill(&mut bytes).ok()?;
        let number = hex(&bytes);
        self.0.retain(|_, end| *end > now);
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, end)| **end).map(|(hash, _)| *hash)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(hash(&number), now + STAY);
        Some(number)
    }

    /// Whether a number was given out, and has not ended.
    pub(super) fn know(&self, number: &str, now: Instant) -> bool {
        self.0.get(&hash(number)).is_some_and(|end| *end > now)
    }
}

fn hash(number: &str) -> [u8; 32] {
    Sha256::digest(number).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_session_ends_by_itself() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let number = sessions.begin(now).unwrap();
        assert_eq!(number.len(), 64);
        let just_before = now + STAY - Duration::from_secs(1);
        assert!(sessions.know(&number, now) && sessions.know(&number, just_before));
        assert!(!sessions.know(&number, now + STAY));
        for other in ["", "0", &number[1..], &number.to_uppercase()] {
            assert!(!sessions.know(other, now), "{other}");
        }
    }

    #[test]
    fn the_oldest_makes_room() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let numbers: Vec<_> =
            (0..100).map(|second| sessions.begin(now + Duration::from_secs(second)).unwrap()).collect();
        assert_eq!(sessions.0.len(), MOST);
        let known = numbers.iter().map(|number| sessions.know(number, now));
        assert!(known.enumerate().all(|(at, known)| known == (at >= 100 - MOST)));
    }
}
