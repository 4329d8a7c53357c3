//! The two clocks: people name times on the one, and the program in the kernel reads the other.

use std::time::Duration;

use jiff::Timestamp;

use crate::boot_time::BootTime;

/// One moment on both clocks. Setting the wall clock moves it against the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The moment on the wall clock.
    pub wall: Timestamp,
    /// The same moment since boot.
    pub boot: BootTime,
}

impl Clock {
    /// Now.
    pub fn now() -> Self {
        Self { wall: Timestamp::now(), boot: BootTime::now() }
    }

    /// When a time of the wall clock comes, if nobody sets it.
    pub fn boot_time(&self, at: Timestamp) -> BootTime {
        let away = at.duration_since(self.wall);
        match Duration::try_from(away) {
            Ok(ahead) => self.boot.after(ahead),
            Err(_) => self.boot.before(away.unsigned_abs()),
        }
    }

    /// Whether the wall clock was set between an earlier moment and this one, by more than it may drift meanwhile.
    pub fn was_set_since(&self, earlier: &Self) -> bool {
        const MOST: Duration = Duration::from_millis(500);
        let expected = earlier.boot_time(self.wall).nanoseconds();
        Duration::from_nanos(expected.abs_diff(self.boot.nanoseconds())) > MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(seconds: u64) -> BootTime {
        BootTime::from_nanoseconds(seconds * 1_000_000_000).unwrap()
    }

    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_time_of_the_wall_clock_is_found_since_boot() {
        let clock = Clock { wall: wall(1_000_000), boot: boot(100) };
        assert_eq!(clock.boot_time(wall(1_000_000)), boot(100));
        assert_eq!(clock.boot_time(wall(1_000_060)), boot(160));
        assert_eq!(clock.boot_time(wall(999_960)), boot(60));
        assert_eq!(clock.boot_time(wall(0)).nanoseconds(), 1, "before boot, and not never");
        assert!(clock.boot_time(Timestamp::MAX) > boot(1 << 32));
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_either_way() {
        let before = Clock { wall: wall(1_000_000), boot: boot(100) };
        let later = |seconds: i64| Clock { wall: wall(1_000_060 + seconds), boot: boot(160) };
        assert!(!later(0).was_set_since(&before));
        for step in [1, -1, 365 * 86_400, -9 * 86_400] {
            assert!(later(step).was_set_since(&before), "{step} s");
        }
    }
}
