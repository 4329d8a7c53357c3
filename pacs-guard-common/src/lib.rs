//! What the XDP program and user space share: packet parsing, the verdict and the layout of the maps.
//!
//! A packet's way: [`packet::parse`] reads a [`packet::Frame`], [`verdict::judge`] looks the result up in
//! a [`verdict::PolicyView`], and [`abi`] says where the answer is counted and how it is reported. The same
//! code runs inside the kernel, under `pacs-guard explain`, in the tests and under the fuzzer.
#![no_std]

pub mod abi;
pub mod packet;
pub mod verdict;
