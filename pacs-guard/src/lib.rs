//! The daemon and command line of pacs-guard.
//!
//! A policy's way: [`policy`] reads and validates a file, [`image`] compiles it to the exact contents of the
//! kernel's maps, [`datapath`] puts them in force. [`daemon`] keeps it so, [`cli`] asks about it, and
//! [`observe`] words it for monitoring, [`web`] for a browser.
//! [`doctor`] judges the [`host`] that all of it runs on.

pub mod archive;
pub mod boot_time;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod control;
pub mod credential;
pub mod daemon;
pub mod datapath;
pub mod doctor;
pub mod echo;
pub mod explain;
pub mod first_packet;
mod hex;
pub mod host;
pub mod image;
pub mod interface;
pub mod inventory;
pub mod learn;
pub mod observe;
pub mod plan;
pub mod policy;
pub mod seen;
pub mod span;
pub mod state;
pub mod web;
