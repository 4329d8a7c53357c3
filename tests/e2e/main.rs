//! End to end: the real daemon and the real command line, real packets between network namespaces. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../lab/mod.rs"]
mod lab;

mod mounts;
mod site;
mod status;
mod tmux;
mod wire;

mod attach;
mod bad_input;
mod capabilities;
mod control;
mod counters;
mod crash;
mod doctor;
mod echo;
mod ending;
mod events;
mod explain;
mod faults;
mod file_watch;
mod fit;
mod frames;
mod journal;
mod layers;
mod learn;
mod life;
mod metrics;
mod orthanc;
mod package;
mod plan;
mod prometheus;
mod provisional;
mod ready;
mod reload;
mod resets;
mod restore;
mod seen;
mod syslog;
mod top;
mod traffic;
mod unit;
mod web;
mod web_tls;
mod xdp_mode;
