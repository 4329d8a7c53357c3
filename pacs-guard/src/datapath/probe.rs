//! What this kernel offers of what the program needs, found by asking it and not by its version.

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{is_map_supported, is_program_supported},
};

/// Something that the program needs of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// What it is.
    pub what: &'static str,
    /// The first version of Linux that has it.
    pub since: &'static str,
    /// Whether it is there; `None` where the kernel did not say.
    pub there: Option<bool>,
}

/// Asks the kernel for each thing alone; for the whole there is `Datapath::unpinned`. Needs CAP_BPF.
pub fn supports() -> Vec<Support> {
    let map = |what, since, kind| Support { what, since, there: is_map_supported(kind).ok() };
    vec![
        Support { what: "XDP programs", since: "4.8", there: is_program_supported(ProgramType::Xdp).ok() },
        map("arrays of maps", "4.12", MapType::ArrayOfMaps),
        map("ring buffers", "5.8", MapType::RingBuf),
    ]
}
