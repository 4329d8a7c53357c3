//! Layouts that cross the border between kernel and user space. All integers are in host byte order.

mod counter;
mod event;
mod image;
mod learning;
mod ruling;
mod seen;
mod slots;
mod unprotected;

pub use counter::{COUNTER_PAGES, COUNTERS_PER_PAGE, CounterId, CounterPage};
pub use event::Event;
pub use image::{
    CELLS_PER_PAGE, Cell, FRONT_PAGES, HEADER, Header, Index, LANES_PER_CELL, Link, NODE_KEYS, Node, Page,
    SOURCES, TCP_PORTS,
};
pub use learning::{ASSOCIATIONS, AssociationKey};
pub use ruling::{MAX_TIMED, PackedRuling, Ruling, TimedRuling};
pub use seen::{SEEN_ENTRIES, SeenKey, SeenValue};
pub use slots::{Active, Slots, Term};
pub use unprotected::Unprotected;

/// Version of every layout in this module. Pins of another version are never adopted.
pub const ABI_VERSION: u32 = 3;

/// Generations that the kernel holds at once: next, active and previous.
///
/// With two, a program that has read the old number could still run when its slot is refilled.
pub const SLOTS: u32 = 3;

/// Map flags of a generation's first pages: `BPF_F_MMAPABLE`, which aligns them, so that a [`Cell`] is one cache line.
pub const FRONT_FLAGS: u32 = 0x400;

/// Map flags of its other pages: the same, and `BPF_F_INNER_MAP`, so that generations differ in size.
pub const BULK_FLAGS: u32 = 0x1000 | FRONT_FLAGS;

/// The budget of events of all sources together.
pub const ALL_EVENTS: u32 = 0;

/// The budget of resets.
pub const ALL_RESETS: u32 = 1;

/// The first budget of a source.
pub const FIRST_SOURCE: u32 = 2;

/// Budgets of sources, each for all the sources whose hash is the same.
pub const SOURCE_BUCKETS: u32 = 4096;

/// All budgets.
pub const BUDGET_BUCKETS: u32 = FIRST_SOURCE + SOURCE_BUCKETS;

/// TCP RST that may be sent in a second.
pub const RESETS_PER_SECOND: u64 = 1000;

/// Interfaces that the program may be on in one network namespace.
pub const MAX_INTERFACES: u32 = 64;

/// Events that one bucket of sources may send in a second; sources that share a bucket share it.
pub const EVENTS_PER_SOURCE: u64 = 4;

/// Events that all sources together may send in a second.
pub const EVENTS_PER_SECOND: u64 = 1024;

/// Bytes of the event ring: room for eight seconds of a full budget.
pub const EVENT_RING_BYTES: u32 = 1 << 20;
