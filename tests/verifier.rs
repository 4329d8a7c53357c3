//! The verifier's budget: how far the kernel has to walk to prove the program safe. Needs root.
//!
//! One test and no other, for it has its process to itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pacs_guard::datapath::{Verified, verify};

/// WALKED on Linux 6.18, and a third more. The kernel itself stops at a million: a program that comes near it on this
/// kernel does not load on another.
const BUDGET: u32 = WALKED + WALKED / 3;
const WALKED: u32 = 178_771;

/// A program's stack and its functions' together, in bytes (MAX_BPF_STACK of the kernel).
const STACK: u32 = 512;

#[test]
fn the_verifier_stays_within_its_budget() {
    let Verified { program, walked, instructions, stack } = verify().unwrap().expect("Linux 5.16 or later");
    println!(
        "{:<12} {:>12} {:>10} {:>12} {:>16}",
        "program", "walked", "budget", "instructions", "stack (bytes)"
    );
    println!("{program:<12} {walked:>12} {BUDGET:>10} {instructions:>12} {stack:>16}");
    assert!(
        walked <= BUDGET,
        "the verifier walks through {walked} instructions, and {BUDGET} are its budget"
    );
    // Not every function calls every other, so the sum is the worst case.
    let sum: u32 = stack.split('+').map(|bytes| bytes.parse::<u32>().unwrap()).sum();
    println!("at most {sum} of {STACK} bytes of stack are in use at once");
}
