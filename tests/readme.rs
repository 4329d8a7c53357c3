//! The README: its commands run, its policy is valid, its links lead somewhere. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

use std::fs;
use std::path::{Path, PathBuf};

use lab::{Daemon, Lab, PATIENCE};

const BINARY: &str = env!("CARGO_BIN_EXE_pacs-guard");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The fenced blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn one_policy() -> String {
    let policies = blocks("yaml");
    assert_eq!(policies.len(), 1, "the README shows one policy");
    policies.into_iter().next().unwrap()
}

#[test]
fn each_command_runs_in_the_order_shown() {
    let mut lab = Lab::new().unwrap();
    let host = lab.host("pacs").unwrap();
    // The lab's only card has another name than the reader's.
    fs::write(host.dir().join("policy.yaml"), one_policy().replace("ens18", "eth0")).unwrap();
    let mut daemon = None;
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            // `cargo xtask test` runs the demo, and is what runs this.
            ["cargo", "xtask", "demo" | "test"] => {}
            ["pacs-guard", "run", "--policy", policy] => {
                daemon = Some(Daemon::start(BINARY.as_ref(), &host, Path::new(policy), &[]).unwrap());
            }
            ["pacs-guard", arguments @ ..] => {
                let mut command = lab::cli(BINARY.as_ref(), &host);
                command.args(arguments);
                let done = lab::run(command, PATIENCE).unwrap();
                // The doctor may have something to say of this machine.
                let advice = arguments.first() == Some(&"doctor") && done.status.code() == Some(1);
                assert!(done.success() || advice, "`{line}` failed: {}", done.text());
            }
            _ => panic!("no test knows how to run `{line}`"),
        }
    }
    assert!(daemon.is_some(), "the README starts the daemon");
}

#[test]
fn the_policy_is_valid() {
    pacs_guard::policy::parse(Path::new("README.md"), one_policy()).unwrap();
}

#[test]
fn every_link_leads_somewhere() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(link.starts_with("https://") || root().join(link).exists(), "README.md links to {link}");
    }
}
