//! The C-ECHO engine against peers of every kind, on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod archive;
mod concurrency;
mod hostile;
mod real;
mod scp;
mod tls;
