//! A mount namespace of a test: folders of this machine that are the test's own, for programs that know no others.

use std::process::Command;

use crate::lab::{self, Finished, Host, PATIENCE, Process, wait_for};

/// Lives as long as the process that holds it.
pub(crate) struct Mounts {
    host: Host,
    holder: Process,
}

impl Mounts {
    /// Runs some lines of shell in a new mount namespace on a host, and keeps what they mount.
    pub(crate) fn new(host: &Host, setup: &str) -> Self {
        let mut unshare = host.command("unshare");
        let line = format!("set -e\n{setup}\necho mounted\nexec sleep infinity");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c", &line]);
        let mut holder = host.spawn("mounts", unshare).unwrap();
        wait_for("the mounts", PATIENCE, || {
            assert!(holder.ended().unwrap().is_none(), "{}", holder.log());
            Ok(holder.log().contains("mounted"))
        })
        .unwrap();
        Self { host: host.clone(), holder }
    }

    /// The words before a command that have it run in here.
    pub(crate) fn enter(&self) -> String {
        format!("nsenter --mount --target {}", self.holder.id())
    }

    /// A command that will run in here. Its folder is the root's.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.host.command("nsenter");
        command.args(["--mount", "--target", &self.holder.id().to_string(), program]);
        command
    }

    /// Starts a process in here, as [`Host::spawn`] does.
    pub(crate) fn spawn(&self, label: &str, command: Command) -> Process {
        self.host.spawn(label, command).unwrap()
    }

    /// Runs a command in here to its end.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Finished {
        let mut command = self.command(program);
        command.args(args);
        lab::run(command, PATIENCE).unwrap()
    }
}
