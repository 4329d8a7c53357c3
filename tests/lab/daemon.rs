//! A pacs-guard daemon on a host of the lab, with paths of its own, and the CLI that speaks to it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Finished, Host, PATIENCE, Process, run, wait_for};

/// A running `pacs-guard run`. Dropping it is `kill -9`: enforcement stays until the lab goes.
#[derive(Debug)]
pub struct Daemon {
    binary: PathBuf,
    host: Host,
    process: Process,
}

impl Daemon {
    /// Starts `pacs-guard run --policy POLICY ARGS…` on `host` and waits until it says that it is ready.
    ///
    /// An error if it ends first, with what it wrote.
    pub fn start(binary: &Path, host: &Host, policy: &Path, args: &[&str]) -> Result<Self> {
        // Its own notify socket, as systemd would give it (sd_notify(3)).
        let notify = host.dir().join("notify.sock");
        let _ = fs::remove_file(&notify);
        let socket =
            UnixDatagram::bind(&notify).with_context(|| format!("cannot bind {}", notify.display()))?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut command = cli(binary, host);
        command.env("NOTIFY_SOCKET", &notify).args(["run", "--policy"]).arg(policy).args(args);
        let mut process = host.spawn("pacs-guard", command)?;
        wait_for("pacs-guard to say READY=1", PATIENCE, || {
            if let Some(status) = process.ended()? {
                bail!("it ended with {status}");
            }
            heard(&socket, "READY=1")
        })
        .with_context(|| {
            format!("pacs-guard on {} did not start; it wrote:\n{}", host.name(), process.log().trim_end())
        })?;
        Ok(Self { binary: binary.to_owned(), host: host.clone(), process })
    }

    /// `pacs-guard ARGS…` on the daemon's host, with the daemon's paths.
    pub fn cli(&self, args: &[&str]) -> Command {
        let mut command = cli(&self.binary, &self.host);
        command.args(args);
        command
    }

    /// Runs [`Daemon::cli`] to its end.
    pub fn ask(&self, args: &[&str]) -> Result<Finished> {
        run(self.cli(args), PATIENCE)
    }

    /// The process, to send signals to or to wait for.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What the daemon has logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it to end (SIGTERM), and waits for that.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal("TERM")?;
        self.process.wait()
    }
}

/// The program on `host`, with every path that it uses inside the lab.
pub fn cli(binary: &Path, host: &Host) -> Command {
    let mut command = host.command(binary);
    command
        .env("PACS_GUARD_PIN_ROOT", host.pins())
        .env("PACS_GUARD_RUN_DIR", host.dir().join("run"))
        .env("PACS_GUARD_STATE_DIR", host.dir().join("state"));
    command
}

/// Reads one waiting datagram, if there is any, and says whether it holds `line`.
fn heard(socket: &UnixDatagram, line: &str) -> Result<bool> {
    let mut bytes = [0; 4096];
    match socket.recv(&mut bytes) {
        Ok(count) => {
            let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default());
            Ok(text.lines().any(|each| each == line))
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
        Err(error) => Err(error).context("cannot read the notify socket"),
    }
}
