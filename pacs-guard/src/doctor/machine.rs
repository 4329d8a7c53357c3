//! Clock and service manager.

use jiff::Timestamp;

use super::{
    Clock, Facts,
    finding::{Finding, Group},
};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![clock(&facts.clock), systemd(facts.systemd)]
}

fn clock(clock: &Clock) -> Finding {
    const ID: &str = "clock-wrong";
    const FIX: &str = "timedatectl set-ntp true";
    const WHY: &str = "events and history would carry wrong times";
    /// 2026-01-01: no host that runs this program is older.
    const OLDEST: i64 = 1_767_225_600;
    let now = clock.now.strftime("%F %TZ");
    if clock.now < Timestamp::from_second(OLDEST).unwrap_or(Timestamp::UNIX_EPOCH) {
        return Finding::warn(Group::Machine, ID, format!("the clock says {now}, which is past"), WHY)
            .fix(FIX);
    }
    match clock.policy_written {
        Some(written) if written > clock.now => Finding::warn(
            Group::Machine,
            ID,
            format!(
                "the clock says {now}, and the policy file was written later, {}",
                written.strftime("%F %TZ")
            ),
            WHY,
        )
        .fix(FIX),
        _ => Finding::ok(Group::Machine, "clock", format!("the clock says {now}")),
    }
}

fn systemd(present: bool) -> Finding {
    if present {
        return Finding::ok(Group::Machine, "systemd", "systemd runs this host");
    }
    Finding::note(
        Group::Machine,
        "no-systemd",
        "systemd does not run this host",
        "what is in force stays so, but nothing starts pacs-guard after a boot unless you see to it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Severity, sample};

    #[test]
    fn a_clock_that_stands_in_the_past_is_wrong() {
        let mut facts = sample::facts();
        assert_eq!(clock(&facts.clock).severity, Severity::Ok);
        facts.clock.policy_written = facts.clock.now.checked_add(jiff::SignedDuration::from_hours(1)).ok();
        assert_eq!(clock(&facts.clock).id, "clock-wrong");
        facts.clock = Clock { now: Timestamp::UNIX_EPOCH, policy_written: None };
        assert_eq!(clock(&facts.clock).id, "clock-wrong");
    }

    #[test]
    fn no_systemd_is_worth_a_note() {
        assert_eq!((systemd(true).severity, systemd(false).severity), (Severity::Ok, Severity::Note));
    }
}
