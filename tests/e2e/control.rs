//! The control socket: who may do what, and what callers that mean no good can cost.

use std::{
    fs,
    io::{Read, Write, pipe},
    os::unix::{fs::PermissionsExt, net::UnixListener, net::UnixStream},
    process::Stdio,
};

use crate::{
    lab::{self, Finished, PATIENCE, Process, wait_for},
    site::{BINARY, Site},
};

const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

fn connect(site: &Site) -> UnixStream {
    let stream = UnixStream::connect(site.pacs.dir().join("run/control.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that the daemon answers until it closes the connection.
fn answer(mut stream: UnixStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => {}
        // What the daemon did not read any more.
        Err(why) => assert_eq!(why.kind(), std::io::ErrorKind::ConnectionReset, "{why}"),
    }
    String::from_utf8(text).unwrap()
}

fn say(site: &Site, text: &str) -> String {
    let mut stream = connect(site);
    // The daemon may close before it has heard all.
    stream.write_all(text.as_bytes()).ok();
    answer(stream)
}

fn post(length: usize) -> String {
    format!(
        "POST /v1/change HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// The program as somebody who may look, and no more: the group's rights are given to all for the test.
fn as_nobody(site: &Site, args: &[&str]) -> std::process::Command {
    let copy = site.pacs.dir().join("pacs-guard");
    if !copy.exists() {
        fs::copy(BINARY, &copy).unwrap();
        let socket = site.pacs.dir().join("run/control.sock");
        fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
    }
    let mut command = lab::cli("setpriv".as_ref(), &site.pacs);
    command.args(NOBODY).arg(copy).args(args);
    command
}

fn finished(command: std::process::Command) -> Finished {
    lab::run(command, PATIENCE).unwrap()
}

fn assert_well(site: &Site) {
    let done = site.ask(&["reload"]);
    assert!(done.success(), "{}", done.text());
    assert!(site.status()["daemon"]["pid"].is_u64());
}

#[test]
fn an_oversized_request_is_refused() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    let body = format!("{}{}", post(9000), " ".repeat(9000));
    assert!(say(&site, &body).starts_with("HTTP/1.1 413 "));
    let head = format!("GET /v1/status HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(32 << 10));
    assert!(say(&site, &head).starts_with("HTTP/1.1 431 "));
    let many: String = (0..40).map(|n| format!("h{n}: x\r\n")).collect();
    assert!(say(&site, &format!("GET /v1/status HTTP/1.1\r\n{many}\r\n")).starts_with("HTTP/1.1 431 "));
    for garbage in ["\0\0\0\0\r\n\r\n", "GET / HTTP/9\r\n\r\n", "\r\n\r\nx"] {
        let answer = say(&site, garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{garbage:?}: {answer}");
    }
    assert!(say(&site, &format!("{}{}", post(9), "{\"a\": 1}\n")).starts_with("HTTP/1.1 422 "));
    assert_eq!(site.status()["generation"], 1);
    assert_well(&site);
}

#[test]
fn an_unauthorised_request_is_refused_before_it_is_read() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    for verb in [
        &["reload"][..],
        &["rollback"],
        &["confirm"],
        &["apply", "--cut", "policy.yaml"],
        &["bypass", "--end"],
        &["bypass", "--for", "1m", "--reason", "x"],
    ] {
        let done = finished(as_nobody(&site, verb));
        assert_eq!(done.status.code(), Some(1), "{verb:?}: {}", done.text());
        assert!(done.stderr.contains("403 only root may change"), "{verb:?}: {}", done.text());
    }
    assert!(finished(as_nobody(&site, &["events", "--recent"])).success());
    assert_eq!(site.status()["generation"], 1);
    // Without the group, nobody even connects.
    let socket = site.pacs.dir().join("run/control.sock");
    fs::set_permissions(socket, fs::Permissions::from_mode(0o660)).unwrap();
    let done = finished(as_nobody(&site, &["reload"]));
    assert!(done.stderr.contains("Permission denied"), "{}", done.text());
}

#[test]
fn a_slow_caller_is_hung_up_on() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    let mut callers = Vec::new();
    for text in ["", "GET /v1/sta", "GET /v1/status HTTP/1.1\r\nhost: x\r\n", &(post(100) + "{\"ch")] {
        let mut stream = connect(&site);
        stream.write_all(text.as_bytes()).unwrap();
        callers.push(stream);
    }
    assert_well(&site);
    for caller in callers {
        let answer = answer(caller);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[test]
fn who_may_only_look_does_not_keep_out_who_may_change() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    let start = |n: usize| site.pacs.spawn(&format!("events-{n}"), as_nobody(&site, &["events"])).unwrap();
    let mut lookers: Vec<Process> = (0..129).map(start).collect();
    wait_for("one too many to be sent away", PATIENCE, || {
        Ok(lookers.iter_mut().any(|looker| {
            looker.ended().is_ok_and(|ended| ended.is_some())
                && looker.log().contains("503 too many connections")
        }))
    })
    .unwrap();
    assert_well(&site);
    // Root's own seats are counted too.
    let mut callers: Vec<UnixStream> = (0..129).map(|_| connect(&site)).collect();
    let mut last = callers.pop().unwrap();
    last.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(answer(last).starts_with("HTTP/1.1 503 "));
    drop(callers);
    wait_for("seats to come free", PATIENCE, || Ok(site.ask(&["reload"]).success())).unwrap();
}

#[test]
fn a_daemon_that_says_nothing_is_not_waited_for() {
    let site = Site::new();
    let run = site.pacs.dir().join("silent");
    fs::create_dir(&run).unwrap();
    let _silent = UnixListener::bind(run.join("control.sock")).unwrap();
    for verb in [&["events"][..], &["events", "--recent"]] {
        let done = site.ask(&[verb, &["--run-dir", "silent"]].concat());
        assert_eq!(done.status.code(), Some(1), "{}", done.text());
        assert!(done.stderr.contains("nothing came for 5 s"), "{}", done.text());
    }
}

#[test]
fn no_descriptor_left_stops_nothing_for_ever() {
    let site = Site::new();
    let mut daemon = site.guard(&[]);
    let pid = daemon.process().id();
    let limit = |count: usize| {
        let mut prlimit = std::process::Command::new("prlimit");
        prlimit.args(["--pid", &pid.to_string(), &format!("--nofile={count}:")]);
        assert!(finished(prlimit).success());
    };
    let soft = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let soft = soft.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft: usize = soft.split_whitespace().next().unwrap().parse().unwrap();
    let before = site.status();
    limit(3);
    daemon.process().signal("HUP").unwrap();
    wait_for("the reload to fail", PATIENCE, || Ok(daemon.log().contains("ERROR"))).unwrap();
    let waiting = connect(&site);
    wait_for("the socket to take nobody", PATIENCE, || Ok(daemon.log().contains("can't take a connection")))
        .unwrap();
    limit(soft);
    drop(waiting);
    assert_well(&site);
    let after = site.status();
    assert_eq!(after["policy"]["sha256"], before["policy"]["sha256"]);
    assert_eq!(after["state"], "enforcing");
}

/// Runs a command whose standard output nobody reads.
fn unread(site: &Site, args: &[&str]) -> (Option<i32>, String) {
    let mut command = lab::cli(BINARY.as_ref(), &site.pacs);
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    command.args(args).stdout(writer).stderr(Stdio::piped());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    site.pacs.sh("cp policy.yaml other.yaml; sed -i s/enforce/audit/ other.yaml").unwrap();
    let cases: [(&[&str], i32); 10] = [
        (&["help"], 0),
        (&["help", "codes"], 0),
        (&["help", "run"], 0),
        (&["run", "--help"], 0),
        (&["schema"], 0),
        (&["check", "--json", "policy.yaml"], 0),
        (&["explain", "--policy", "policy.yaml", "10.0.0.1", "104"], 0),
        (&["counters", "--all"], 0),
        (&["status"], 0),
        // And what a command has to say by its exit code it still says.
        (&["plan", "other.yaml"], 10),
    ];
    for (args, code) in cases {
        assert_eq!(unread(&site, args), (Some(code), String::new()), "{args:?}");
    }
    let (code, words) = unread(&site, &["check", "missing.yaml"]);
    assert_eq!(code, Some(3), "{words}");
}
