//! The maps, and the generation of the policy that is in force.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, PerCpuArray, RingBuf},
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::btf_map,
};
use pacs_guard_common::{
    abi::{
        BUDGET_BUCKETS, COUNTER_PAGES, CounterPage, EVENT_RING_BYTES, Event, MAX_INTERFACES, PAGE_FLAGS,
        Page, SLOTS,
    },
    verdict::PolicyView,
};

/// A generation's pages. The size is a template's: each generation has its own.
type Pages = Array<Page, 17, { PAGE_FLAGS as usize }>;

/// The generations, one a slot.
#[btf_map]
static POLICY: ArrayOfMaps<Pages, { SLOTS as usize }> = ArrayOfMaps::new();

/// The slot in force, in the lower half; the upper half is 0. Storing it is the whole policy change.
#[btf_map]
static ACTIVE: Array<u64, 1> = Array::new();

/// For each slot: when it ends by itself, in nanoseconds since boot (`CLOCK_BOOTTIME`, 0 for never), and the slot
/// that is in force from then on. Only the terms of idle slots are ever written.
#[btf_map]
static TERMS: Array<[u64; 2], { SLOTS as usize }> = Array::new();

/// Read by no one: setting its only slot makes user space wait until every program that runs now has ended.
#[btf_map]
static GRACE: ArrayOfMaps<Array<u32, 1>, 1> = ArrayOfMaps::new();

/// Packets per counter.
#[btf_map]
pub static COUNTERS: PerCpuArray<CounterPage, { COUNTER_PAGES as usize }> = PerCpuArray::new();

/// What each bucket of sources has left of its second's events.
#[btf_map]
pub static BUDGETS: Array<u64, { BUDGET_BUCKETS as usize }> = Array::new();

/// Refused packets, for the daemon.
#[btf_map]
pub static EVENTS: RingBuf<[u64; Event::LANES], { EVENT_RING_BYTES as usize }> = RingBuf::new();

/// The MAC address of each interface that may send resets, by its index: the six bytes in the order of the
/// frame, and two zeros.
#[btf_map]
pub static ANSWERING: HashMap<u32, [u8; 8], { MAX_INTERFACES as usize }> = HashMap::new();

/// The generation in force, read once per packet, so that a packet sees one whole policy.
pub struct Generation {
    pages: Option<&'static Pages>,
    /// The active cell's upper half, for [`crate::frame::XdpFrame`].
    pub zero: usize,
}

impl Generation {
    #[inline(always)]
    pub fn active() -> Self {
        let active = ACTIVE.get(0).copied().unwrap_or(0);
        let slot = match TERMS.get(active as u32) {
            // SAFETY: the helper has no arguments and no effect.
            Some([end, fallback]) if *end != 0 && *end <= unsafe { bpf_ktime_get_boot_ns() } => *fallback,
            _ => active,
        };
        Self { pages: POLICY.get(slot as u32), zero: (active >> 32) as usize }
    }
}

impl PolicyView for Generation {
    #[inline(always)]
    fn page(&self, index: u32) -> Option<&Page> {
        self.pages?.get(index)
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: the helper has no arguments and no effect.
        unsafe { bpf_ktime_get_boot_ns() }
    }
}
