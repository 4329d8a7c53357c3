//! The maps, and the generation of the policy that is in force.

use core::arch::asm;

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, PerCpuArray, RingBuf},
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::btf_map,
};
use pacs_guard_common::{
    abi::{
        Active, BUDGET_BUCKETS, BULK_FLAGS, COUNTER_PAGES, CounterPage, EVENT_RING_BYTES, Event, FRONT_FLAGS,
        FRONT_PAGES, MAX_INTERFACES, Page, SLOTS, Slots,
    },
    verdict::PolicyView,
};

/// A generation's first pages. All generations have as many, so that the kernel compiles their look-ups into the
/// program.
type Front = Array<Page, { FRONT_PAGES as usize }, { FRONT_FLAGS as usize }>;

/// A generation's other pages. The size is a template's: each generation has its own.
type Bulk = Array<Page, 1, { BULK_FLAGS as usize }>;

/// The first pages of the generations, one a slot.
#[btf_map]
static POLICY: ArrayOfMaps<Front, { SLOTS as usize }> = ArrayOfMaps::new();

/// Their other pages, where they have any.
#[btf_map]
static BULK: ArrayOfMaps<Bulk, { SLOTS as usize }> = ArrayOfMaps::new();

/// The slot in force: see [`Slots`]. Storing it is the whole policy change.
#[btf_map]
static ACTIVE: Array<Active, 1> = Array::new();

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

/// The slot in force, read once per packet, so that a packet sees one whole policy.
pub struct InForce {
    lanes: &'static Active,
    slot: u32,
}

impl InForce {
    #[inline(always)]
    pub fn read() -> Self {
        let lanes = ACTIVE.get(0).unwrap_or(&const { [0; _] });
        // SAFETY: the helper has no arguments and no effect.
        let slot = Slots::in_force(lanes, || unsafe { bpf_ktime_get_boot_ns() });
        Self { lanes, slot }
    }

    /// A zero that the verifier can't know, for [`crate::frame::XdpFrame`].
    #[inline(always)]
    pub fn zero(&self) -> usize {
        let [active, ..] = *self.lanes;
        (active >> 32) as usize
    }

    /// Whether a TCP port is surely not protected.
    #[inline(always)]
    pub fn leaves_open(&self, port: u16) -> bool {
        Slots::leaves_open(self.lanes, self.slot, port)
    }

    #[inline(always)]
    pub fn generation(&self) -> Generation {
        Generation { slot: self.slot, front: POLICY.get(self.slot) }
    }
}

/// The generation in force.
pub struct Generation {
    slot: u32,
    front: Option<&'static Front>,
}

impl PolicyView for Generation {
    #[inline(always)]
    fn page(&self, index: u32) -> Option<&Page> {
        match index.checked_sub(FRONT_PAGES) {
            None => self.front?.get(index),
            Some(behind) => {
                let page = BULK.get(self.slot)?.get(behind);
                // SAFETY: nothing is in it. It keeps the compiler from making one call of this one and the one above:
                // a call with either map is one that the kernel can't compile into the program.
                unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
                page
            }
        }
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: the helper has no arguments and no effect.
        unsafe { bpf_ktime_get_boot_ns() }
    }
}
