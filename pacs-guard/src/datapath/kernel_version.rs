//! The oldest kernel: which feature needs which version. See docs/kernel.md.

use aya::util::KernelVersion;

use super::DatapathError;

/// Features that the program and its loader use, newest first, with the version of Linux that brought each.
const FEATURES: [(KernelVersion, &str); 5] = [
    (
        KernelVersion::new(5, 18, 0),
        "XDP on frames in several buffers (`xdp.frags`, bpf_xdp_load_bytes, bpf_xdp_get_buff_len)",
    ),
    (KernelVersion::new(5, 11, 0), "the coarse clock (bpf_ktime_get_coarse_ns)"),
    (KernelVersion::new(5, 10, 0), "inner maps that differ in size (BPF_F_INNER_MAP)"),
    (KernelVersion::new(5, 9, 0), "links for XDP, which can be pinned"),
    (KernelVersion::new(5, 8, 0), "the ring buffer, bpf_ktime_get_boot_ns, CAP_BPF"),
];

/// Says of a refusal what an old kernel lacks.
///
/// Only of a refusal: distributions carry features back to older kernels (RHEL 9 calls its own 5.14), so the
/// number alone is no reason to end.
pub(super) fn refused(why: impl Into<DatapathError>) -> DatapathError {
    let why = why.into();
    let Ok(running) = KernelVersion::current() else { return why };
    match lacking(running) {
        Some((needed, feature)) => DatapathError::OldKernel {
            running: running.to_string(),
            needed: needed.to_string(),
            feature,
            why: Box::new(why),
        },
        None => why,
    }
}

/// What a kernel of this version lacks, the newest first; `None` where it is new enough.
fn lacking(running: KernelVersion) -> Option<(KernelVersion, &'static str)> {
    FEATURES.into_iter().find(|(needed, _)| running < *needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_that_sets_the_version_is_named() {
        let oldest = KernelVersion::new(5, 18, 0);
        for (running, lacks) in [
            (KernelVersion::new(4, 19, 0), true),
            (KernelVersion::new(5, 17, 99), true),
            (oldest, false),
            (KernelVersion::new(6, 1, 0), false),
        ] {
            let found = lacking(running);
            assert_eq!(found.is_some(), lacks, "{running}");
            if let Some((needed, feature)) = found {
                assert_eq!(needed, oldest);
                assert!(feature.contains("xdp.frags"));
            }
        }
    }

    #[test]
    fn the_newest_comes_first() {
        assert!(FEATURES.is_sorted_by(|(one, _), (other, _)| one > other));
    }

    #[test]
    fn the_table_for_people_says_the_same() {
        let table = include_str!("../../../docs/kernel.md");
        for (version, feature) in FEATURES {
            let version = version.to_string();
            let version = version.strip_suffix(".0").unwrap_or(&version);
            assert!(table.contains(&format!("| {version} | {feature} |")), "{version}: {feature}");
        }
    }
}
