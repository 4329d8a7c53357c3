//! Processes of a lab: commands with a deadline, and background ones that end with their guard.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a condition is looked at again.
const TICK: Duration = Duration::from_millis(10);

/// Looks at `condition` until it holds: an error after `deadline`, or at once when the look itself fails.
pub fn wait_for(what: &str, deadline: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > deadline {
            bail!("waited {} s in vain for {what}", deadline.as_secs());
        }
        thread::sleep(TICK);
    }
    Ok(())
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote, as text.
    pub stdout: String,
    /// What it complained of, as text.
    pub stderr: String,
}

impl Finished {
    /// Did it exit with 0?
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Everything that it wrote.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a command to its end, and kills it when that does not come before the deadline.
pub fn run(mut command: Command, deadline: Duration) -> Result<Finished> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", line_of(&command)))?;
    // Both pipes are drained while it runs: a full one would stop it for ever.
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let ended = wait_for(&line_of(&command), deadline, || Ok(child.try_wait()?.is_some()));
    if ended.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    ended?;
    Ok(Finished { status, stdout: collect(stdout)?, stderr: collect(stderr)? })
}

type Drain = thread::JoinHandle<std::io::Result<Vec<u8>>>;

fn drain(mut pipe: impl Read + Send + 'static) -> Drain {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    })
}

fn collect(drain: Option<Drain>) -> Result<String> {
    let Some(drain) = drain else {
        return Ok(String::new());
    };
    let Ok(bytes) = drain.join() else { bail!("the reader of a pipe failed") };
    Ok(String::from_utf8_lossy(&bytes?).into_owned())
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A background process, killed when dropped.
#[derive(Debug)]
pub struct Process {
    label: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with both outputs in the file `log`: a pipe that nobody reads would stop it one day.
    pub fn spawn(label: &str, mut command: Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("cannot start {}", line_of(&command)))?;
        Ok(Self { label: label.to_owned(), child, log: log.to_owned() })
    }

    /// What it was called when it was started.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal by its name, such as `HUP` or `STOP`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let mut command = Command::new("kill");
        command.arg(format!("-{name}")).arg(self.id().to_string());
        let done = run(command, super::PATIENCE)?;
        if !done.success() {
            bail!("cannot send {name} to {}: {}", self.label, done.text().trim());
        }
        Ok(())
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        wait_for(&format!("{} to end", self.label), super::PATIENCE, || {
            Ok(self.child.try_wait()?.is_some())
        })?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell in a drop.
        let _ = self.kill();
    }
}
