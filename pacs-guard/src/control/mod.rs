//! The control socket: HTTP over a Unix socket, JSON, for the command line.

mod api;
mod client;
mod server;

pub use api::{
    AcceptPeer, Change, ChangeReport, ChangeResult, DaemonStatus, EventRecord, LearnOrder, Learning,
    Readiness, ReadyRow,
};
pub use client::{Client, ClientError, Events, Streamed};
pub use server::{Control, EventFeed, Request, bind, serve};
