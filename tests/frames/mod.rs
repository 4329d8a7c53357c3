//! Frames for tests: built by hand, so that every field can lie, and generated at random.
#![allow(dead_code, reason = "each test binary uses some of it")]

pub(crate) mod build;
pub(crate) mod generate;
pub(crate) mod random;
