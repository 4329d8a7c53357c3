//! Files that are no policy, refused before a byte of them is parsed; and the example policies.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::BASE;
use crate::policy::{MAX_BYTES, read};

/// The code of the first fault of `path`.
fn code(path: &Path) -> &'static str {
    read(path).unwrap_err().diagnostics[0].code()
}

fn write(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    path
}

#[test]
fn only_regular_files_are_read() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let link = dir.path().join("link");
    symlink(&fifo, &link).unwrap();
    let rows = [
        (fifo.as_path(), "a FIFO"),
        (&link, "a FIFO"),
        (&socket, "a socket"),
        (Path::new("/dev/zero"), "a character device"),
    ];
    for (path, kind) in rows {
        let (send, receive) = mpsc::channel();
        let own = path.to_owned();
        thread::spawn(move || send.send(read(&own)).ok());
        let rejected = receive.recv_timeout(Duration::from_secs(10)).expect("opening waits").unwrap_err();
        let message = rejected.diagnostics[0].message();
        assert_eq!(message, format!("a policy is a regular file, and this is {kind}"));
        assert!(rejected.render(false).starts_with("error[PG0002]"));
    }
}

#[test]
fn a_link_to_a_good_file_is_followed() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("link");
    symlink(write(&dir, "good", BASE), &link).unwrap();
    assert_eq!(*read(&link).unwrap().path, link);
}

#[test]
fn a_world_writable_file_is_refused_until_it_is_repaired() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "p.yaml", BASE);
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let rejected = read(&path).unwrap_err();
    let fault = &rejected.diagnostics[0].fault;
    assert_eq!((fault.code(), fault.hint()), ("PG0003", Some(format!("chmod o-w {}", path.display()))));
    fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
    assert!(read(&path).is_ok());
}

#[test]
fn bytes_that_are_no_text_are_refused_at_their_place() {
    let dir = TempDir::new().unwrap();
    let rows: [(&str, &[u8], &str, u32, u32); 2] = [
        ("latin1", b"version: 1\nname: M\xfcnchen", "PG0005", 2, 8),
        ("nul", b"version: 1\n\0", "PG0006", 2, 1),
    ];
    for (name, bytes, code, line, column) in rows {
        let rejected = read(&write(&dir, name, bytes)).unwrap_err();
        let first = &rejected.diagnostics[0];
        assert_eq!((first.code(), first.place.line, first.place.column), (code, line, column));
    }
}

#[test]
fn a_file_over_the_limit_is_refused_by_its_size() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "huge", b"\xff");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(MAX_BYTES + 1).unwrap();
    assert_eq!(code(&path), "PG0004");
    // One that fits is refused for what it holds.
    file.set_len(MAX_BYTES).unwrap();
    assert_eq!(code(&path), "PG0005");
}

#[test]
fn what_was_checked_is_what_is_loaded() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "p.yaml", BASE);
    let checked = read(&path).unwrap();
    // Whatever takes the file's place now: text, policy and hash are those of the one read.
    fs::remove_file(&path).unwrap();
    write(&dir, "p.yaml", BASE.replace("10.30.0.0/23", "0.0.0.0/0"));
    assert_eq!(&*checked.texts[0].text, BASE);
    assert_eq!(checked.hash(), crate::policy::hash_text(BASE));
    assert_eq!(checked.policy.segments[1].sources[0].prefix.to_string(), "10.30.0.0/23");
    assert_ne!(crate::policy::hash(&path).unwrap(), checked.hash());
}

#[test]
fn a_missing_file_and_an_empty_one_differ() {
    let dir = TempDir::new().unwrap();
    assert_eq!(code(&dir.path().join("none")), "PG0001");
    assert_eq!(code(&write(&dir, "empty", "")), "PG0110");
}

#[test]
fn a_bom_is_no_part_of_the_text() {
    let dir = TempDir::new().unwrap();
    let checked = read(&write(&dir, "bom", format!("\u{feff}{BASE}"))).unwrap();
    assert_eq!(&*checked.texts[0].text, BASE);
}

#[test]
fn the_example_policies_have_no_mistake_and_no_warning() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let checked =
            read(&entry.unwrap().path()).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
        assert!(checked.warnings.is_empty(), "{}", checked.render(false));
        count += 1;
    }
    assert!(count >= 5);
}
