//! The commands on the pages of docs and in the README: each one in a block runs, in its order, on an archive of the
//! page's own, or says beside it why not. Those of the runbook run where they stand in a sentence. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use etherparse::PacketBuilder;
use lab::{Daemon, Finished, Host, Lab, PATIENCE};
use pcap_file::pcap::{PcapPacket, PcapWriter};
use regex_lite::Regex;

const BINARY: &str = env!("CARGO_BIN_EXE_pacs-guard");
const POLICY: &str = "/etc/pacs-guard/policy.yaml";
/// What a command ends with that is not run, and then why.
const MARK: &str = "# not run by the tests: ";
/// What of the shell a page may use besides, for it touches what it is told to and nothing else.
const HARMLESS: [&str; 7] = ["chmod", "cp", "iconv", "mkdir", "mv", "rm", "sed"];

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)).unwrap()
}

/// The blocks of a page, each with its language.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = read(page);
    let blocks = text.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap());
    blocks.map(|(language, lines)| (language.to_owned(), lines.to_owned())).collect()
}

/// What is between backquotes in a page's sentences.
fn in_sentences(page: &str) -> Vec<String> {
    let text = read(page);
    let sentences: Vec<&str> = text.split("```").step_by(2).collect();
    sentences.join("").split('`').skip(1).step_by(2).map(|piece| piece.replace('\n', " ")).collect()
}

/// The host that a page speaks of: it has the README's policy, and the files that the pages name.
struct Archive {
    daemon: Option<Daemon>,
    host: Host,
    _lab: Lab,
}

impl Archive {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let host = lab.host("archive").unwrap();
        host.sh(
            "ip address add 10.20.0.1/24 dev eth0; ip link set eth0 down; ip link set eth0 name ens18 up",
        )
        .unwrap();
        let policy = blocks("README.md").into_iter().find(|(language, _)| language == "yaml").unwrap().1;
        let write = |path: &str, text: &str| {
            let path = host.dir().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("policy.yaml", &policy);
        write("etc/pacs-guard/policy.yaml", &policy);
        write("dcmqrscp.cfg", "HostTable BEGIN\nct = (CT1, 10.20.0.11, 104)\nHostTable END\n");
        write("etc/orthanc/orthanc.json", r#"{ "DicomModalities": { "mr": ["MR1", "10.20.0.12", 104] } }"#);
        write("list.csv", "AE,Host,Port\nUS1,10.20.0.13,104\n");
        write("srv/shared/ct.yaml", "version: 1\nservices: { ct: { ports: [4242], mode: audit } }\n");
        write(
            "usr/share/doc/pacs-guard/examples/policies/audit-first.yaml",
            &read("policies/audit-first.yaml"),
        );
        std::os::unix::fs::symlink(BINARY, host.dir().join("pacs-guard")).unwrap();
        let mut frame = Vec::new();
        let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let packet = packet.ipv4([10, 20, 0, 11], [10, 20, 0, 1], 64).tcp(40_000, 104, 1, 1000).syn();
        packet.write(&mut frame, &[]).unwrap();
        let mut night = PcapWriter::new(File::create(host.dir().join("night.pcap")).unwrap()).unwrap();
        night.write_packet(&PcapPacket::new(Duration::ZERO, frame.len() as u32, &frame)).unwrap();
        Self { daemon: None, host, _lab: lab }
    }

    /// One that is guarded, and was by another policy before.
    fn guarded() -> Self {
        let mut archive = Self::new();
        archive.start("/usr/share/doc/pacs-guard/examples/policies/audit-first.yaml");
        archive.start(POLICY);
        archive
    }

    /// A path of the page, on this host.
    fn at(&self, path: &str) -> PathBuf {
        self.host.dir().join(path.trim_start_matches('/'))
    }

    /// A daemon takes over what another one, if any, has left.
    fn start(&mut self, policy: &str) {
        self.daemon = None;
        self.daemon = Some(
            Daemon::start(BINARY.as_ref(), &self.host, &self.at(policy), &["--metrics", "off"]).unwrap(),
        );
    }

    /// A line of shell, with each absolute path below this host's folder.
    fn shell(&self, line: &str) -> Finished {
        let line =
            Regex::new(r"(^|\s)/").unwrap().replace_all(line, format!("$1{}/", self.host.dir().display()));
        let mut command = lab::cli("sh".as_ref(), &self.host);
        let path = format!("{}:{}", self.host.dir().display(), std::env::var("PATH").unwrap());
        command.args(["-c", &line]).env("PATH", path).env("PACS_GUARD_POLICY", self.at(POLICY));
        lab::run(command, PATIENCE).unwrap()
    }

    /// Runs a command of a page, which ends as the page says: with 0, or with what it `exits with`.
    fn command(&mut self, page: &str, line: &str) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["pacs-guard", "run", "--policy", policy] => return self.start(policy),
            // It goes on until it is interrupted.
            ["pacs-guard", "events"] => {
                return assert_eq!(self.shell(&format!("timeout 1 {line}")).status.code(), Some(124));
            }
            // `cargo xtask test` runs the demo, and is what runs this.
            ["cargo", "xtask", "demo" | "test"] => return,
            ["pacs-guard", ..] => {}
            [program, ..] if HARMLESS.contains(program) => {}
            _ => panic!("{page}: no test knows how to run `{line}`: end it with `{MARK}` and why"),
        }
        let said = Regex::new(r"# .*exits with (\d+)").unwrap().captures(line);
        let said = said.map(|found| found.get(1).unwrap().as_str().parse::<i32>().unwrap());
        let done = self.shell(line);
        let code = done.status.code();
        // The doctor may have something to say of this machine.
        let advice = line.starts_with("pacs-guard doctor") && matches!(code, Some(1 | 4));
        assert!(code == Some(0) || code == said || advice, "{page}: `{line}`: {code:?}\n{}", done.text());
        if line.starts_with("pacs-guard detach") {
            self.start(POLICY);
        }
    }
}

/// Runs the blocks of a page that are for the shell, and says how many lines of them it ran.
fn run(page: &str) -> usize {
    let mut count = 0;
    let mut archive = None;
    for (language, block) in blocks(page) {
        match language.as_str() {
            "sh" => {}
            // With its output: tests/first_hour.rs runs them.
            "console" if page == "docs/first-hour.md" => continue,
            "text" | "yaml" if block.lines().all(|line| !line.starts_with("pacs-guard ")) => continue,
            _ => {
                panic!("{page}: no test runs what stands in a block of `{language}`: make it `sh`:\n{block}")
            }
        }
        for line in block.lines().filter(|line| !line.contains(MARK)) {
            archive.get_or_insert_with(Archive::guarded).command(page, line);
            count += 1;
        }
    }
    count
}

#[test]
fn each_command_in_a_block_runs_or_says_why_not() {
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    let pages = docs.filter(|page| page.ends_with(".md") && page != "docs/codes.md");
    let pages = pages.chain(["README.md".to_owned()]);
    let runs: Vec<_> = pages.map(|page| std::thread::spawn(move || run(&page))).collect();
    // A page that fails has said why.
    let count: usize = runs.into_iter().map(|run| run.join().unwrap()).sum();
    assert!(count > 25, "{count} commands");
}

#[test]
fn each_command_of_the_runbook_runs() {
    let mut archive = Archive::guarded();
    let stands_for_another =
        |line: &String| line.split(' ').any(|word| ["FILE", "NAME", "file"].contains(&word));
    let lines = in_sentences("docs/runbook.md").into_iter().filter(|line| line.starts_with("pacs-guard "));
    let lines: Vec<String> = lines.filter(|line| !stands_for_another(line)).collect();
    assert!(lines.len() > 20, "{lines:?}");
    for line in lines {
        if line == "pacs-guard bypass --end" {
            archive.command("the test", "pacs-guard bypass --for 15m --reason night");
        }
        archive.command("docs/runbook.md", &line);
    }
}

/// What brings about a fault that docs/codes.md has a command against, in the folder of the policy.
const FAULTS: [(&str, &str); 7] = [
    ("PG0002", "mkdir policies.d; mkfifo policies.d/10-ct.yaml"),
    ("PG0003", "chmod o+w policy.yaml"),
    ("PG0005", r"printf '# K\366ln\n' >>policy.yaml; cp policy.yaml old.yaml"),
    ("PG0007", "mkdir policies.d; ln -s /srv/shared/ct.yaml policies.d/10-ct.yaml"),
    ("PG0008", "rm policy.yaml"),
    ("PG0009", "touch policies.d"),
    ("PG0905", "mkdir policies.d; cp /srv/shared/ct.yaml policies.d/20-research.yml"),
];

#[test]
fn each_command_of_the_codes_mends_its_fault() {
    let archive = Archive::new();
    let page = read("docs/codes.md");
    let mut mended = Vec::new();
    for section in page.split("\n## ").filter(|section| section.contains("```sh\n")) {
        let code = &section[..6];
        let line = section.split_once("```sh\n").unwrap().1.split_once('\n').unwrap().0;
        let sh = |line: &str| archive.shell(&format!("cd /etc/pacs-guard && {line}"));
        let laid = sh("rm -r ./* && cp ../../policy.yaml policy.yaml");
        assert!(laid.success(), "{}", laid.text());
        if !line.starts_with("pacs-guard check") {
            let (_, fault) = FAULTS.iter().find(|(known, _)| *known == code).expect(code);
            assert!(sh(fault).success(), "{code}: `{fault}`: {}", sh(fault).text());
            // A folder is a policy too.
            let asked = if code == "PG0008" { "." } else { "policy.yaml" };
            let found = sh(&format!("pacs-guard check {asked}"));
            assert!(
                found.text().contains(code),
                "{code}: `{fault}` brings about no such fault: {}",
                found.text()
            );
            mended.push(code.to_owned());
        }
        let done = sh(line);
        assert!(done.success(), "{code}: `{line}`: {}", done.text());
        let found = sh("pacs-guard check policy.yaml");
        assert!(found.success() && !found.text().contains(code), "{code}: after `{line}`: {}", found.text());
    }
    assert_eq!(mended, FAULTS.map(|(code, _)| code));
}
