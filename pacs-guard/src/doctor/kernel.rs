//! Whether this kernel takes the program, for this caller, and keeps it.

use super::{
    Facts,
    finding::{Finding, Group},
};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = features(facts);
    findings.push(capabilities(&facts.missing_capabilities));
    findings.push(bpffs(facts));
    findings
}

fn features(facts: &Facts) -> Vec<Finding> {
    let kernel = &facts.kernel;
    let lacking = facts.supports.iter().filter(|support| support.there == Some(false));
    let mut findings: Vec<Finding> = lacking
        .map(|support| {
            Finding::stop(
                Group::Kernel,
                "kernel-feature-missing",
                format!("Linux {kernel} has no {}", support.what),
                format!("pacs-guard needs them; Linux has them since {}", support.since),
            )
        })
        .collect();
    findings.push(match &facts.load {
        Some(Ok(instructions)) => {
            let walked =
                instructions.map_or_else(String::new, |count| format!(", {count} instructions verified"));
            Finding::ok(
                Group::Kernel,
                "program-loads",
                format!("Linux {kernel} takes the XDP program{walked}"),
            )
        }
        Some(Err(why)) => Finding::stop(
            Group::Kernel,
            "program-refused",
            format!("Linux {kernel} refuses the XDP program: {why}"),
            "needed are XDP links (5.9), maps of maps with arrays of unlike size (5.10), ring buffers (5.8) \
             and XDP frames in several buffers (5.18)",
        ),
        None => Finding::note(
            Group::Kernel,
            "program-not-tried",
            format!("Linux {kernel}; whether it takes the XDP program was not tried"),
            "that needs the capabilities below",
        )
        .fix("sudo pacs-guard doctor"),
    });
    findings
}

fn capabilities(missing: &[String]) -> Finding {
    if missing.is_empty() {
        return Finding::ok(
            Group::Capabilities,
            "capabilities",
            "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are there",
        );
    }
    Finding::stop(
        Group::Capabilities,
        "capabilities-missing",
        format!("missing: {}", missing.join(", ")),
        "the program can't be loaded or attached without",
    )
    .fix("sudo pacs-guard doctor")
}

fn bpffs(facts: &Facts) -> Finding {
    const MOUNT: &str = "mount -t bpf bpf /sys/fs/bpf";
    if facts.on_bpffs {
        return Finding::ok(Group::Bpffs, "bpffs", format!("{} is on a BPF file system", facts.pins));
    }
    let what = format!("{} is on no BPF file system", facts.pins);
    if facts.bpffs_mountable {
        let why = "`run` mounts one, for which it needs CAP_SYS_ADMIN once";
        return Finding::note(Group::Bpffs, "bpffs-not-mounted", what, why).fix(MOUNT);
    }
    Finding::stop(Group::Bpffs, "bpffs-elsewhere", what, "pins would not outlive the daemon there").fix(MOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{datapath::Support, doctor::sample};

    fn ids(facts: &Facts) -> Vec<&'static str> {
        check(facts)
            .iter()
            .filter(|found| found.severity > crate::doctor::Severity::Ok)
            .map(|found| found.id)
            .collect()
    }

    #[test]
    fn a_fit_kernel_is_fine() {
        assert_eq!(ids(&sample::facts()), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut facts = sample::facts();
        facts.supports.push(Support { what: "ring buffers", since: "5.8", there: Some(false) });
        facts.load = Some(Err("no".into()));
        facts.missing_capabilities = vec!["CAP_BPF".into()];
        facts.on_bpffs = false;
        let expected =
            ["kernel-feature-missing", "program-refused", "capabilities-missing", "bpffs-elsewhere"];
        assert_eq!(ids(&facts), expected);
        assert!(check(&facts).iter().all(|found| found.stops_enforcement));
        facts.bpffs_mountable = true;
        facts.load = None;
        assert_eq!(ids(&facts), [expected[0], "program-not-tried", expected[2], "bpffs-not-mounted"]);
    }
}
