//! Wrong tokens, by source: how many are looked at in which time.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Wrong tokens of a source that are looked at, one after the other.
const AT_ONCE: u32 = 5;
/// After so long another one is.
const EACH: Duration = Duration::from_secs(10);
/// Sources that are told apart; what comes from more is one source together.
const SOURCES: usize = 1024;

/// The generic cell rate algorithm (ITU-T I.371): of each source, when its wrong tokens are forgotten.
#[derive(Debug, Default)]
pub(super) struct Tries(HashMap<IpAddr, Instant>);

impl Tries {
    /// How long a source must wait before a token of it is looked at.
    pub(super) fn wait(&self, source: IpAddr, now: Instant) -> Duration {
        let forgotten = self.0.get(&self.booked_on(source)).copied().unwrap_or(now);
        forgotten.saturating_duration_since(now).saturating_sub(EACH * (AT_ONCE - 1))
    }

    /// Notes a wrong token.
    pub(super) fn wrong(&mut self, source: IpAddr, now: Instant) {
        self.0.retain(|_, forgotten| *forgotten > now);
        let forgotten = self.0.entry(self.booked_on(source)).or_insert(now);
        *forgotten += EACH;
    }

    fn booked_on(&self, source: IpAddr) -> IpAddr {
        let source = alike(source);
        // One more than that is there: the rest.
        if self.0.contains_key(&source) || self.0.len() < SOURCES {
            source
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        }
    }
}

/// One address for all that one host may give itself: an IPv6 network of 64 bits is its own.
fn alike(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn five_at_once_and_then_one_in_ten_seconds() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        let [guesser, other] = ["10.0.0.9", "10.0.0.10"].map(|text| text.parse().unwrap());
        for _ in 0..AT_ONCE {
            assert_eq!(tries.wait(guesser, now), Duration::ZERO);
            tries.wrong(guesser, now);
        }
        assert_eq!(tries.wait(guesser, now), EACH);
        assert_eq!(tries.wait(other, now), Duration::ZERO);
        let later = now + EACH;
        assert_eq!(tries.wait(guesser, later), Duration::ZERO);
        tries.wrong(guesser, later);
        assert_eq!(tries.wait(guesser, later), EACH);
        tries.wrong(other, now + EACH * 60);
        assert_eq!(tries.0.len(), 1, "what is long ago is forgotten");
    }

    #[test]
    fn a_host_with_many_addresses_is_one_and_so_is_a_crowd() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        for host in 0..u128::from(AT_ONCE) {
            tries.wrong(Ipv6Addr::from_bits((0x2001_0db8 << 96) + host).into(), now);
        }
        assert_eq!(tries.wait("2001:db8::ffff".parse().unwrap(), now), EACH);
        assert_eq!(tries.wait("2001:db8:0:1::1".parse().unwrap(), now), Duration::ZERO);
        tries.wrong("10.0.0.9".parse().unwrap(), now);
        tries.wrong("::ffff:10.0.0.9".parse().unwrap(), now);
        assert_eq!(tries.0.len(), 2);
        for host in 0..5000_u32 {
            tries.wrong(IpAddr::V4((0x0a01_0000 + host).into()), now);
        }
        assert_eq!(tries.0.len(), SOURCES + 1);
        assert!(tries.wait("10.9.9.9".parse().unwrap(), now) > EACH * 100);
    }
}
