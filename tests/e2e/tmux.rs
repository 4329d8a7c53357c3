//! A real terminal of a size, in the archive's namespace: tmux, with a server of its own.

use std::path::PathBuf;

use crate::{
    lab::{self, Host, PATIENCE, wait_for},
    site::BINARY,
};

pub(crate) struct Tmux {
    host: Host,
    socket: PathBuf,
}

impl Tmux {
    /// Opens a terminal with a shell that has one prompt: `$ `.
    pub(crate) fn open(host: &Host, width: u16, height: u16) -> Self {
        let this = Self { host: host.clone(), socket: host.dir().join("tmux") };
        let (width, height) = (width.to_string(), height.to_string());
        this.tmux(&["new-session", "-d", "-x", &width, "-y", &height, "PS1='$ ' exec sh"]);
        this.sees("$");
        this
    }

    /// Runs a line of shell, in which `pacs-guard` is ours.
    pub(crate) fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", &line.replace("pacs-guard", BINARY)]);
        self.presses("Enter");
    }

    /// Presses keys by their names, one after the other.
    pub(crate) fn presses(&self, keys: &str) {
        keys.split(' ').for_each(|key| {
            self.tmux(&["send-keys", key]);
        });
    }

    /// What the terminal shows.
    pub(crate) fn shows(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What it shows, with the colours.
    pub(crate) fn shows_colours(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the terminal shows a text, and says what else it shows.
    pub(crate) fn sees(&self, text: &str) -> String {
        let mut shown = String::new();
        wait_for(&format!("{text:?} on the terminal"), PATIENCE, || {
            shown = self.shows();
            Ok(shown.contains(text))
        })
        .unwrap_or_else(|why| panic!("{why}; it shows:\n{shown}"));
        shown
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = lab::cli("tmux".as_ref(), &self.host);
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(args);
        let done = lab::run(command, PATIENCE).unwrap();
        assert!(done.success(), "tmux {args:?}: {}", done.text());
        done.stdout
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
