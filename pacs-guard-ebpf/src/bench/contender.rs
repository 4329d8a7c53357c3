//! Other look-ups behind the same parser. They do less than the guard: one port, no destinations, no modes, no events.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{HashMap, LpmTrie, PerCpuArray, lpm_trie::Key},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use pacs_guard_common::packet::{Address, Content, Family, Parsed, Transport, parse};

use crate::{
    frame::LinearPart,
    keys::{LENGTHS4, LENGTHS6},
};

/// The most that a policy of the bench has.
const MOST: usize = 1 << 20;

#[btf_map]
static LPM4: LpmTrie<[u8; 4], u32, MOST> = LpmTrie::new();
#[btf_map]
static LPM6: LpmTrie<[u8; 16], u32, MOST> = LpmTrie::new();
/// The length of the prefix, and its bits.
#[btf_map]
static HASH4: HashMap<[u32; 2], u32, MOST> = HashMap::new();
#[btf_map]
static HASH6: HashMap<[u64; 3], u32, MOST> = HashMap::new();

/// Packets that were let pass unjudged, allowed and dropped.
#[btf_map]
static OUTCOMES: PerCpuArray<[u64; 4], 1> = PerCpuArray::new();

/// The longest prefix by the kernel's trie.
#[xdp(frags)]
pub fn lpm(ctx: XdpContext) -> u32 {
    judge(&ctx, |source| match source.family {
        Family::V4 => LPM4.get(&Key::new(32, (source.high as u32).to_be_bytes())).is_some(),
        _ => {
            let mut bytes = [0; 16];
            let halves = [source.high.to_be_bytes(), source.low.to_be_bytes()];
            bytes.iter_mut().zip(halves.as_flattened()).for_each(|(byte, half)| *byte = *half);
            LPM6.get(&Key::new(128, bytes)).is_some()
        }
    })
}

/// A look-up in a hash for each length, the longest first.
#[xdp(frags)]
pub fn hash(ctx: XdpContext) -> u32 {
    judge(&ctx, |source| match source.family {
        Family::V4 => LENGTHS4
            .iter()
            .rev()
            .any(|&length| contains(&HASH4, [length, source.high as u32 & (u32::MAX << (32 - length))])),
        _ => LENGTHS6.iter().rev().any(|&length| {
            let mask = u128::MAX << (128 - length);
            let key = [length as u64, source.high & (mask >> 64) as u64, source.low & mask as u64];
            contains(&HASH6, key)
        }),
    })
}

#[inline(always)]
fn contains<K>(map: &HashMap<K, u32, MOST>, key: K) -> bool {
    // SAFETY: the value is not read.
    unsafe { map.get(key) }.is_some()
}

#[inline(always)]
fn judge(ctx: &XdpContext, knows: impl FnOnce(Address) -> bool) -> u32 {
    let Parsed { packet, content } = parse(&LinearPart::new(ctx, 0));
    let (outcome, action) = match content {
        Content::Ports(Transport::Tcp) if packet.destination_port == 104 => {
            if knows(packet.source) {
                (1, xdp_action::XDP_PASS)
            } else {
                (2, xdp_action::XDP_DROP)
            }
        }
        _ => (0, xdp_action::XDP_PASS),
    };
    count(outcome);
    action
}

#[inline(always)]
pub(crate) fn count(outcome: usize) {
    if let Some(outcomes) = OUTCOMES.get_ptr_mut(0) {
        // SAFETY: the pointer is to this CPU's own value.
        if let Some(packets) = unsafe { (*outcomes).get_mut(outcome) } {
            *packets += 1;
        }
    }
}
