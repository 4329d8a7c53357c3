//! Frames for tests: built by hand, so that every field can lie, and generated at random.
#![allow(dead_code, reason = "each test binary uses some of it")]

pub mod build;
pub mod generate;
pub mod random;
