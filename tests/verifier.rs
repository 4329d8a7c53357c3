//! The verifier's budget: how far the kernel has to walk to prove the program safe. Needs root.
//!
//! One test and no other, for it has its process to itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pacs_guard::datapath::{Verified, verify};

/// WALKED on Linux 6.18, and a third more. The kernel itself stops at a million: a program that comes near it on this
/// kernel does not load on another.
const BUDGET: u32 = WALKED + WALKED / 3;
const WALKED: u32 = 168_837;

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
    // The functions call none of their own, so one of them at a time is on the program's stack.
    let depths: Vec<u32> = stack.split('+').map(|bytes| bytes.parse().unwrap()).collect();
    let deepest = depths[0] + depths[1..].iter().max().unwrap_or(&0);
    println!("at most {deepest} of {STACK} bytes of stack are in use at once");
    assert!(deepest <= STACK, "the stack is {deepest} bytes deep, and the kernel gives {STACK}");
}
