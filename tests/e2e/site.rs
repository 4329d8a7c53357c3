//! A small site: an archive under guard, a modality that its policy names, and a stranger.

use std::{
    fmt::Write,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use aya::programs::links::{FdLink, PinnedLink};
use serde_json::Value;

use crate::lab::{self, Daemon, Finished, Host, Lab, PATIENCE};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pacs-guard");

/// The port that the site's policies protect.
pub(crate) const DICOM: u16 = 11112;

pub(crate) struct Site {
    pub(crate) pacs: Host,
    pub(crate) modality: Host,
    pub(crate) stranger: Host,
    pub(crate) lab: Lab,
}

impl Site {
    pub(crate) fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let [pacs, modality, stranger] = ["pacs", "modality", "stranger"].map(|name| lab.host(name).unwrap());
        Self { pacs, modality, stranger, lab }
    }

    /// Where the archive's policy lies.
    pub(crate) fn policy(&self) -> PathBuf {
        self.pacs.dir().join("policy.yaml")
    }

    /// Puts a text in the policy's place as an editor does: nobody ever reads half of it.
    pub(crate) fn write(&self, text: &str) {
        write(&self.policy(), text);
    }

    /// Starts the archive's daemon with a policy that lets the modality in.
    pub(crate) fn guard(&self, args: &[&str]) -> Daemon {
        self.write(&policy("enforce", &[&self.modality]));
        self.start(args)
    }

    /// Starts the archive's daemon with the policy that is there.
    pub(crate) fn start(&self, args: &[&str]) -> Daemon {
        Daemon::start(BINARY.as_ref(), &self.pacs, &self.policy(), args).unwrap()
    }

    /// `pacs-guard ARGS…` on the archive, to its end, whether a daemon runs or not.
    pub(crate) fn ask(&self, args: &[&str]) -> Finished {
        ask(&self.pacs, args)
    }

    /// The JSON that a command prints.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let done = self.ask(args);
        serde_json::from_str(&done.stdout)
            .unwrap_or_else(|error| panic!("{args:?} printed no JSON ({error}): {}", done.text()))
    }

    pub(crate) fn status(&self) -> Value {
        self.json(&["status", "--json"])
    }

    /// Packets booked on a reason, under every verdict, segment and service.
    pub(crate) fn booked(&self, reason: &str) -> u64 {
        let counters = self.json(&["counters", "--json"]);
        let rows = counters["counters"].as_array().unwrap();
        rows.iter().filter(|row| row["reason"] == reason).map(|row| row["packets"].as_u64().unwrap()).sum()
    }

    /// The number of the link on the archive's interface: another one would mean that there was a gap.
    pub(crate) fn link_id(&self) -> u32 {
        let mut pins = fs::read_dir(self.pins()).unwrap().flatten();
        let link = pins.find(|pin| pin.file_name().to_string_lossy().starts_with("link-")).unwrap();
        let link: FdLink = PinnedLink::from_pin(link.path()).unwrap().into();
        link.info().unwrap().id()
    }

    /// The folder of the archive's namespace under its pin root.
    pub(crate) fn pins(&self) -> PathBuf {
        let folders: Vec<_> = fs::read_dir(self.pacs.pins()).unwrap().flatten().collect();
        assert_eq!(folders.len(), 1, "one namespace has pins");
        folders[0].path()
    }
}

/// `pacs-guard ARGS…` on a host, to its end.
pub(crate) fn ask(host: &Host, args: &[&str]) -> Finished {
    let mut command = lab::cli(BINARY.as_ref(), host);
    command.args(args);
    lab::run(command, PATIENCE).unwrap()
}

/// The same, with a text on its standard input.
pub(crate) fn ask_with_input(host: &Host, args: &[&str], input: &str) -> Finished {
    let mut command = lab::cli(BINARY.as_ref(), host);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Puts a text in a file's place in one step.
pub(crate) fn write(path: &Path, text: &str) {
    let draft = path.with_extension("new");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, path).unwrap();
}

/// A policy in one mode that lets some hosts use DICOM.
pub(crate) fn policy(mode: &str, hosts: &[&Host]) -> String {
    let mut text = format!(
        "version: 1\nname: site\ninterfaces: [eth0]\nmode: {mode}\n\
         services:\n  dicom: {{ ports: [{DICOM}] }}\nsegments:\n"
    );
    for host in hosts {
        let sources = format!("[{}, \"{}\"]", host.addr4(), host.addr6());
        writeln!(text, "  {}: {{ sources: {sources}, services: [dicom] }}", host.name()).unwrap();
    }
    text
}
