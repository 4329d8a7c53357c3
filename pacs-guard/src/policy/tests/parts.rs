//! A policy of several files: what adds up, what is in conflict, and what is not read at all.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::BASE;
use crate::policy::{Rejected, hash, hash_text, read};

const PART: &str = r"version: 1
segments:
  research:
    sources: [10.40.0.0/28]
    services: [web]
";

/// A folder with `policy.yaml` and the parts named here in `policies.d`.
struct Site(TempDir);

impl Site {
    fn new(parts: &[(&str, &str)]) -> Self {
        let site = Self(TempDir::new().unwrap());
        fs::create_dir(site.path("policies.d")).unwrap();
        site.write("policy.yaml", BASE);
        for (name, text) in parts {
            site.write(&format!("policies.d/{name}"), text);
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn main(&self) -> PathBuf {
        self.path("policy.yaml")
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
        self.mode(name, 0o644);
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn rejected(&self) -> Rejected {
        read(&self.main()).unwrap_err()
    }

    /// Code, file relative to the site, line and column of everything found.
    fn found(&self) -> Vec<(&'static str, String, u32, u32)> {
        let diagnostics = match read(&self.main()) {
            Ok(checked) => checked.warnings,
            Err(rejected) => rejected.diagnostics,
        };
        let file = |path: &Path| path.strip_prefix(self.0.path()).unwrap().display().to_string();
        diagnostics
            .iter()
            .map(|found| (found.code(), file(&found.place.file), found.place.line, found.place.column))
            .collect()
    }

    /// What people are shown, without the folder that differs from run to run.
    fn shown(&self) -> String {
        self.rejected().render(false).replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn row(code: &'static str, file: &str, line: u32, column: u32) -> (&'static str, String, u32, u32) {
    (code, file.to_owned(), line, column)
}

#[test]
fn parts_add_up_in_the_order_of_their_names() {
    let peer = "version: 1\ninterfaces: [eth0, eth1]\nservices: { q: { ports: [4242], mode: audit } }\n\
                segments: { q: { sources: [10.50.0.0/24], services: [q] } }\n\
                peers:\n  - { name: Q, address: 10.50.0.1, port: 104, ae_title: Q }\n";
    let site = Site::new(&[("20-research.yaml", PART), ("10-q.yaml", peer)]);
    let checked = read(&site.main()).unwrap();
    assert_eq!(checked.warnings, []);
    let policy = &checked.policy;
    let names: Vec<_> = policy.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["modalities", "viewers", "q", "research"]);
    assert_eq!(policy.interfaces, ["eth0", "eth1"]);
    assert_eq!(policy.services[2].name, "q");
    assert_eq!(policy.peers[1].name, "Q");
    // The order of the services is that of the files, so a grant in a later file counts over all of them.
    assert_eq!(policy.segments[3].services, [1]);
    let place = &policy.segments[3].sources[0].place;
    assert_eq!((&*place.file, place.line), (&site.path("policies.d/20-research.yaml"), 4));
}

#[test]
fn a_folder_is_a_policy_too() {
    let site = Site::new(&[("20-research.yaml", PART)]);
    let by_file = read(&site.main()).unwrap();
    let by_folder = read(site.0.path()).unwrap();
    assert_eq!(by_folder.policy.segments, by_file.policy.segments);
    // Parts alone lack what the main file states.
    let codes: Vec<_> = read(&site.path("policies.d"))
        .unwrap_err()
        .diagnostics
        .iter()
        .map(|d| (d.code(), d.message()))
        .collect();
    assert!(codes.contains(&("PG0110", "this policy has no `mode`".to_owned())), "{codes:?}");
    site.write("policies.d/10-main.yaml", BASE);
    assert_eq!(read(&site.path("policies.d")).unwrap().policy.segments.len(), 3);
}

#[test]
fn an_empty_folder_is_no_policy() {
    let dir = TempDir::new().unwrap();
    let rejected = read(dir.path()).unwrap_err();
    let expected = "there is no policy in this folder: no file in it has a name that ends in `.yaml`";
    assert_eq!(
        (rejected.diagnostics[0].code(), rejected.diagnostics[0].message().as_str()),
        ("PG0008", expected)
    );
    assert!(rejected.diagnostics[0].fault.hint().is_some());
    // An empty folder of parts beside a policy is fine.
    let site = Site::new(&[]);
    assert!(read(&site.main()).is_ok());
}

#[test]
fn a_conflict_names_both_places() {
    let text = PART.replace("research", "viewers").replace("version: 1\n", "version: 1\nmode: audit\n");
    let site = Site::new(&[("10-more.yaml", &text)]);
    let expected = "error[PG0314]: `mode` is `audit` here, and `enforce` in another file
 --> policies.d/10-more.yaml:2:7
  |
2 | mode: audit
  |       ^^^^^
  |
 ::: policy.yaml:4:7
  |
4 | mode: enforce
  |       ------- first stated here
  |
  = help: state it in one file, or alike in both

error[PG0313]: segment `viewers` is declared in another file too
  --> policies.d/10-more.yaml:4:3
   |
 4 |   viewers:
   |   ^^^^^^^
   |
  ::: policy.yaml:13:3
   |
13 |   viewers:
   |   ------- first declared here
   |
   = help: names count over all files: keep one, or rename one

";
    assert_eq!(site.shown(), expected);
}

#[test]
fn every_kind_of_conflict_is_found() {
    let part = "policies.d/a.yaml";
    let rows = [
        ("name: other", "PG0314", 2, 7),
        ("allow_management_port: true", "", 0, 0),
        ("unparsed: { fragment: pass }", "PG0314", 2, 23),
        ("services: { dicom: { ports: [99] } }", "PG0313", 2, 13),
        ("services: { more: { ports: [104] } }", "PG0303", 2, 29),
        ("peers: [{ name: CT1, address: 10.20.0.12, port: 104, ae_title: X }]", "PG0301", 2, 17),
        ("name: base", "", 0, 0),
        ("unparsed: { fragment: drop, length: pass }", "", 0, 0),
        ("interfaces: [eth0]", "", 0, 0),
        ("interfaces: [eth1, eth1]", "PG0301", 2, 20),
    ];
    for (text, code, line, column) in rows {
        let site = Site::new(&[("a.yaml", &format!("version: 1\n{text}\n"))]);
        let found = site.found();
        match code {
            "" => assert_eq!(found, [], "{text}"),
            code => assert!(found.contains(&row(code, part, line, column)), "{text}: {found:?}"),
        }
    }
}

#[test]
fn every_file_states_its_version() {
    let site = Site::new(&[("a.yaml", "segments: {}\n"), ("b.yaml", "version: 2\n"), ("c.yaml", "")]);
    let expected = [
        row("PG0110", "policies.d/a.yaml", 1, 1),
        row("PG0201", "policies.d/b.yaml", 1, 10),
        row("PG0110", "policies.d/c.yaml", 1, 1),
    ];
    assert_eq!(site.found(), expected);
}

#[test]
fn what_editors_leave_behind_is_not_read() {
    let site = Site::new(&[
        ("10-a.yaml~", "{"),
        (".10-a.yaml.swp", "{"),
        (".10-b.yaml", "{"),
        ("#10-a.yaml#", "{"),
        ("4913", "{"),
        ("README", "{"),
    ]);
    // Emacs locks a file by a symlink to nowhere.
    symlink("somebody@host.1234", site.path("policies.d/.#10-a.yaml")).unwrap();
    assert_eq!(site.found(), []);
}

#[test]
fn a_part_with_another_ending_is_warned_of() {
    let site = Site::new(&[("a.yml", "{"), ("b.YAML", "{")]);
    let expected = [row("PG0905", "policies.d/a.yml", 1, 1), row("PG0905", "policies.d/b.YAML", 1, 1)];
    assert_eq!(site.found(), expected);
}

#[test]
fn a_half_written_part_refuses_the_whole() {
    let half = PART.split_once("40.0").unwrap().0;
    let site = Site::new(&[("10-half.yaml", half), ("20-bad.yaml", "version: 1\nname: \"b\n")]);
    // Each file's own trouble is shown; what the others lack because of it is not.
    let files: Vec<_> = site.found().into_iter().map(|found| (found.0, found.1)).collect();
    let named = |name: &str| ("PG0101", format!("policies.d/{name}"));
    assert_eq!(files, [named("10-half.yaml"), named("20-bad.yaml")]);
}

#[test]
fn only_trustworthy_entries_are_read() {
    let site = Site::new(&[]);
    let outside = site.path("outside.yaml");
    site.write("outside.yaml", PART);
    let mut expected = vec![];
    symlink(&outside, site.path("policies.d/a-absolute.yaml")).unwrap();
    symlink("../outside.yaml", site.path("policies.d/b-relative.yaml")).unwrap();
    symlink("/dev/zero", site.path("policies.d/c-device.yaml")).unwrap();
    symlink("nowhere", site.path("policies.d/d-dangling.yaml")).unwrap();
    assert!(Command::new("mkfifo").arg(site.path("policies.d/e-fifo.yaml")).status().unwrap().success());
    fs::create_dir(site.path("policies.d/f-folder.yaml")).unwrap();
    site.write("policies.d/g-writable.yaml", PART);
    site.mode("policies.d/g-writable.yaml", 0o666);
    let _listener = UnixListener::bind(site.path("policies.d/h-socket.yaml")).unwrap();
    for (code, name) in [
        ("PG0007", "a-absolute"),
        ("PG0007", "b-relative"),
        ("PG0007", "c-device"),
        ("PG0001", "d-dangling"),
        ("PG0002", "e-fifo"),
        ("PG0002", "f-folder"),
        ("PG0003", "g-writable"),
        ("PG0002", "h-socket"),
    ] {
        expected.push(row(code, &format!("policies.d/{name}.yaml"), 1, 1));
    }
    assert_eq!(site.found(), expected);
}

#[test]
fn a_link_within_the_folder_is_followed() {
    // As a mounted configuration of a container has it.
    let site = Site::new(&[]);
    fs::create_dir(site.path("policies.d/..2026")).unwrap();
    site.write("policies.d/..2026/a.yaml", PART);
    symlink("..2026", site.path("policies.d/..data")).unwrap();
    symlink("..data/a.yaml", site.path("policies.d/a.yaml")).unwrap();
    assert_eq!(read(&site.main()).unwrap().policy.segments.len(), 3);
}

#[test]
fn the_folder_itself_is_judged() {
    let site = Site::new(&[("a.yaml", PART)]);
    site.mode("policies.d", 0o1777);
    let rejected = site.rejected();
    assert_eq!(site.found(), [row("PG0003", "policies.d", 1, 1)]);
    let message = "every user of this host can write to this folder (its mode is 1777)";
    assert_eq!(rejected.diagnostics[0].message(), message);

    fs::remove_dir_all(site.path("policies.d")).unwrap();
    assert_eq!(site.found(), []);
    site.write("policies.d", "");
    assert_eq!(site.found(), [row("PG0009", "policies.d", 1, 1)]);
    fs::remove_file(site.path("policies.d")).unwrap();
    symlink("nowhere", site.path("policies.d")).unwrap();
    assert_eq!(site.found(), [row("PG0001", "policies.d", 1, 1)]);
}

#[test]
fn nobody_puts_parts_beside_a_policy_in_a_folder_for_all() {
    let dir = TempDir::new().unwrap();
    let everyone = dir.path().join("tmp");
    fs::create_dir_all(everyone.join("policies.d")).unwrap();
    fs::write(everyone.join("policy.yaml"), BASE).unwrap();
    for path in [&everyone.join("policies.d"), &everyone.join("policy.yaml"), &everyone] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    assert!(read(&everyone.join("policy.yaml")).is_ok());
    fs::set_permissions(&everyone, Permissions::from_mode(0o1777)).unwrap();
    let rejected = read(&everyone.join("policy.yaml")).unwrap_err();
    assert_eq!((rejected.diagnostics[0].code(), &*rejected.diagnostics[0].place.file), ("PG0003", &everyone));
    // Without parts there is nothing that others could have put there.
    fs::remove_dir(everyone.join("policies.d")).unwrap();
    assert!(read(&everyone.join("policy.yaml")).is_ok());
}

#[test]
fn the_hash_is_that_of_every_file() {
    let site = Site::new(&[("a.yaml", PART)]);
    let whole = read(&site.main()).unwrap().hash();
    assert_eq!(hash(&site.main()).unwrap(), whole);
    assert_eq!(whole, hash_text(&format!("{}\n{}\n", hash_text(BASE), hash_text(PART))));
    site.write("policies.d/a.yaml", format!("{PART}#\n"));
    assert_ne!(hash(&site.main()).unwrap(), whole);
    fs::remove_file(site.path("policies.d/a.yaml")).unwrap();
    assert_eq!(hash(&site.main()).unwrap(), hash_text(BASE));
    site.mode("policy.yaml", 0o666);
    assert_eq!(hash(&site.main()).unwrap_err().diagnostics[0].code(), "PG0003");
}
