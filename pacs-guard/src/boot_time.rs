//! Times on the clock that the program in the kernel reads.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A time in nanoseconds since boot, suspension included (`CLOCK_BOOTTIME`). No change of the wall clock moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(u64);

impl BootTime {
    /// Now.
    pub fn now() -> Self {
        // The clock can't fail: it is there since Linux 2.6.39.
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
        Self(now.as_nanos().try_into().unwrap_or(u64::MAX))
    }

    /// The time so long after this one.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos().try_into().unwrap_or(u64::MAX)))
    }

    /// The time so long before this one, and not before the first nanosecond: 0 stands for never.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_nanos().try_into().unwrap_or(u64::MAX)).max(1))
    }

    /// How long it is from now to this time; zero where it has passed.
    pub fn remaining(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(Self::now().0))
    }

    /// How long ago it was; zero where it is still to come.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(Self::now().0.saturating_sub(self.0))
    }

    /// This time on the wall clock, as that stands now.
    pub fn to_timestamp(self) -> Timestamp {
        let (at, now) = (i128::from(self.0), i128::from(Self::now().0));
        let away = i64::try_from(at - now).map_or(SignedDuration::MAX, SignedDuration::from_nanos);
        Timestamp::now().saturating_add(away).unwrap_or(Timestamp::MAX)
    }

    /// The nanoseconds.
    pub const fn nanoseconds(self) -> u64 {
        self.0
    }

    /// The time of so many nanoseconds; `None` for 0, which stands for never.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Option<Self> {
        if nanoseconds == 0 { None } else { Some(Self(nanoseconds)) }
    }
}
