//! Frames through the loaded program by BPF_PROG_TEST_RUN, and through the same code in user space. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod buffers;
mod cases;
#[path = "../frames/mod.rs"]
mod frames;
mod pace;
mod scale;
mod swap;
mod timed;
mod trie;
