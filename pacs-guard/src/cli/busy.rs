//! What is said while a command takes long: a line with the seconds on a terminal, one line in a log.

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Work that is quicker than this says nothing.
const QUIET: Duration = Duration::from_secs(1);

/// Says on standard error that something goes on, until it is dropped.
pub(super) struct Busy {
    done: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

impl Busy {
    /// Begins to tell of a work, such as `compiling policy.yaml`.
    pub(super) fn with(what: String) -> Self {
        let (done, wait) = channel::<()>();
        let tell = move || {
            let stderr = io::stderr();
            // Nobody need read it.
            tell(&wait, &what, stderr.is_terminal(), QUIET, stderr).ok();
        };
        // Where there is no thread, nothing is said.
        let teller = thread::Builder::new().name("busy".into()).spawn(tell).ok();
        Self { done: Some(done), teller }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.done.take();
        if let Some(teller) = self.teller.take() {
            teller.join().ok();
        }
    }
}

fn tell(
    done: &Receiver<()>,
    what: &str,
    redraws: bool,
    quiet: Duration,
    mut out: impl Write,
) -> io::Result<()> {
    let start = Instant::now();
    let mut said = false;
    while done.recv_timeout(quiet) == Err(RecvTimeoutError::Timeout) {
        if redraws {
            write!(out, "\r{what}: {} s ", start.elapsed().as_secs())?;
            out.flush()?;
        } else if !said {
            writeln!(out, "{what}: this takes a while")?;
        }
        said = true;
    }
    if redraws && said {
        // The line is erased (ECMA-48, EL).
        write!(out, "\r\u{1b}[K")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The work is done once something is said.
    struct Reader {
        done: Option<Sender<()>>,
        heard: Vec<u8>,
    }

    impl Write for &mut Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.extend(bytes);
            Ok(bytes.len())
        }

        fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
            self.done = None;
            self.write_all(text.to_string().as_bytes())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(redraws: bool, quick: bool) -> String {
        let (send, wait) = channel();
        let mut reader = Reader { done: (!quick).then_some(send), heard: Vec::new() };
        tell(&wait, "work", redraws, Duration::from_millis(1), &mut reader).unwrap();
        String::from_utf8(reader.heard).unwrap()
    }

    #[test]
    fn a_terminal_gets_a_line_that_goes_and_a_log_one_that_stays() {
        assert_eq!(told(true, false), "\rwork: 0 s \r\u{1b}[K");
        assert_eq!(told(false, false), "work: this takes a while\n");
        assert_eq!((told(true, true), told(false, true)), (String::new(), String::new()));
    }
}
