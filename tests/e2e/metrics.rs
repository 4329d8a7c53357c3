//! Metrics: what is scraped is what the kernel counts; slow and many clients; and who may be told.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    lab::{Host, PATIENCE, wait_for},
    site::{DICOM, Site, policy},
    wire::{RawSocket, is_met_with_silence, on, syn},
};

pub(crate) const PORT: u16 = 9104;

fn connect(host: &Host) -> TcpStream {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let stream = on(host, || TcpStream::connect_timeout(&at, PATIENCE).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Head and body of an answer.
fn get(host: &Host, path: &str, accept: &str) -> (String, String) {
    let mut stream = connect(host);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: pacs\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The number of one series.
fn series(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

#[test]
fn they_are_what_the_kernel_counts() {
    let site = Site::new();
    let mut daemon = site.guard(&[]);
    let (pacs, stranger) = (RawSocket::open(&site.pacs), RawSocket::open(&site.stranger));
    let frame =
        syn(stranger.mac(), pacs.mac(), site.stranger.addr4().into(), site.pacs.addr4().into(), DICOM);
    (0..34).for_each(|_| stranger.send(&frame));
    wait_for("34 packets", PATIENCE, || Ok(site.booked("not-in-segment") == 34)).unwrap();

    let (head, page) = get(&site.pacs, "/metrics", "application/openmetrics-text");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("openmetrics-text"), "{head}");
    assert!(page.ends_with("# EOF\n"));
    let dropped = "pacs_guard_packets_total\
                   {verdict=\"drop\",reason=\"not-in-segment\",segment=\"\",service=\"dicom\"}";
    assert_eq!(series(&page, dropped), Some(34.0), "{page}");
    let expected = [
        ("pacs_guard_enforcing", 1.0),
        ("pacs_guard_state{state=\"enforcing\"}", 1.0),
        ("pacs_guard_state{state=\"audit\"}", 0.0),
        ("pacs_guard_policy_generation", 1.0),
        ("pacs_guard_policy_segments", 1.0),
        ("pacs_guard_interface_guarded{interface=\"eth0\"}", 1.0),
        ("pacs_guard_interface_xdp_mode{interface=\"eth0\",mode=\"native\"}", 1.0),
        ("pacs_guard_uncovered_interfaces", 0.0),
        ("pacs_guard_events_lost_total", 0.0),
        ("pacs_guard_map_capacity{map=\"ledger\"}", 32_704.0),
        ("pacs_guard_daemon_up", 1.0),
        ("pacs_guard_policy_file_differs", 0.0),
        ("pacs_guard_policy_last_change_success", 1.0),
    ];
    for (name, number) in expected {
        assert_eq!(series(&page, name), Some(number), "{name} in\n{page}");
    }
    let hash = site.status()["policy"]["sha256"].as_str().unwrap().to_owned();
    assert_eq!(
        series(&page, &format!("pacs_guard_policy_info{{policy=\"site\",sha256=\"{hash}\"}}")),
        Some(1.0)
    );
    for source in [site.stranger.addr4().to_string(), site.modality.addr4().to_string()] {
        assert!(!page.contains(&source), "a source is a label:\n{page}");
    }

    // A bad file: the old policy stays, and that is seen.
    site.write("version: 1\n");
    assert_eq!(site.ask(&["reload"]).status.code(), Some(3));
    let page = get(&site.pacs, "/metrics", "").1;
    assert_eq!(series(&page, "pacs_guard_policy_last_change_success"), Some(0.0));
    assert_eq!(
        series(&page, "pacs_guard_policy_changes_total{change=\"reload\",result=\"invalid\"}"),
        Some(1.0)
    );
    assert_eq!(series(&page, "pacs_guard_policy_file_differs"), Some(1.0));

    // The textfile form, with the daemon and without.
    let textfile = || site.ask(&["counters", "--prometheus"]).stdout;
    let text = textfile();
    assert!(text.contains("# TYPE pacs_guard_packets_total counter"), "{text}");
    assert_eq!(series(&text, dropped), Some(34.0));
    assert_eq!(series(&text, "pacs_guard_daemon_up"), Some(1.0));
    // Read by Prometheus' own parser, which node_exporter uses, and by its linter.
    std::fs::write(site.pacs.dir().join("pacs-guard.prom"), &text).unwrap();
    let lint = site.pacs.sh("promtool check metrics <pacs-guard.prom 2>&1").unwrap();
    assert_eq!(lint, "", "promtool finds fault");
    daemon.kill().unwrap();
    let text = textfile();
    assert_eq!(series(&text, "pacs_guard_daemon_up"), Some(0.0));
    assert_eq!(series(&text, "pacs_guard_enforcing"), Some(1.0));
    assert_eq!(series(&text, dropped), Some(34.0));
}

#[test]
fn a_daemon_that_hangs_is_seen() {
    let site = Site::new();
    let mut daemon = site.guard(&[]);
    daemon.process().signal("STOP").unwrap();
    let done = site.ask(&["check-nagios"]);
    daemon.process().signal("CONT").unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    assert!(
        done.stdout.starts_with("PACS-GUARD WARNING - ENFORCING, policy site; no daemon answers"),
        "{}",
        done.text()
    );
}

#[test]
fn slow_clients_cost_a_scrape_seconds_and_enforcement_nothing() {
    let site = Site::new();
    let daemon = site.guard(&[]);
    let silent: Vec<TcpStream> = (0..7).map(|_| connect(&site.pacs)).collect();
    // It trickles: each byte must not buy it time.
    let mut trickle = connect(&site.pacs);
    let trickling = std::thread::spawn(move || {
        let mut byte = [0; 1];
        trickle.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let gone = trickle.write_all(b"G").is_err() || matches!(trickle.read(&mut byte), Ok(0));
            if gone {
                return true;
            }
        }
        false
    });
    // Every place is taken, so this one waits, and is served.
    let start = Instant::now();
    let (head, _) = get(&site.pacs, "/metrics", "");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        start.elapsed() >= Duration::from_secs(3),
        "nothing bounds the connections: {:?}",
        start.elapsed()
    );
    assert!(trickling.join().unwrap(), "a client that trickles is never sent away");
    for mut client in silent {
        assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0, "a silent client is never sent away");
    }
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    assert!(site.ask(&["reload"]).success(), "{}", daemon.log());
}

#[test]
fn a_client_that_never_reads_is_sent_away() {
    let site = Site::new();
    // A page of more than sockets hold.
    site.pacs.sh("for end in r w; do echo 4096 8192 65536 >/proc/sys/net/ipv4/tcp_${end}mem; done").unwrap();
    let mut text = policy("enforce", &[]);
    for n in 0..4000 {
        text += &format!(
            "  segment-with-a-long-name-{n}: {{ sources: [198.18.{}.{}/32], services: [dicom] }}\n",
            n / 250,
            n % 250
        );
    }
    site.write(&text);
    let _daemon = site.start(&[]);
    let page = get(&site.pacs, "/metrics", "").1;
    assert!(page.len() > 300_000, "{} bytes", page.len());
    let mut greedy: Vec<TcpStream> = (0..8).map(|_| connect(&site.pacs)).collect();
    for client in &mut greedy {
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: pacs\r\n\r\n").unwrap();
    }
    let start = Instant::now();
    assert!(get(&site.pacs, "/metrics", "").0.starts_with("HTTP/1.1 200"));
    assert!(start.elapsed() >= Duration::from_secs(3), "they took no place: {:?}", start.elapsed());
}

#[test]
fn only_loopback_unless_it_is_said() {
    let site = Site::new();
    site.write(&policy("enforce", &[&site.modality]));
    let done = site.ask(&["run", "--policy", "policy.yaml", "--metrics", "0.0.0.0:9104"]);
    assert_eq!(done.status.code(), Some(2), "{}", done.text());
    assert!(done.stderr.contains("--metrics-beyond-loopback"), "{}", done.stderr);
    for bad in ["9104", "localhost:9104", "on"] {
        let done = site.ask(&["run", "--policy", "policy.yaml", "--metrics", bad]);
        assert_eq!(done.status.code(), Some(2), "{bad}");
        assert!(done.stderr.contains("127.0.0.1:9104"), "{}", done.stderr);
    }
    let listens = || site.pacs.sh("ss -Hltn 'sport = :9104'").unwrap();
    let mut daemon = site.start(&["--metrics", "0.0.0.0:9104", "--metrics-beyond-loopback"]);
    assert!(listens().contains("0.0.0.0:9104"), "{}", listens());
    daemon.stop().unwrap();
    let mut daemon = site.start(&["--metrics", "off"]);
    assert_eq!(listens(), "");
    daemon.stop().unwrap();
    let mut daemon = site.start(&[]);
    assert!(listens().contains("127.0.0.1:9104"), "{}", listens());
    daemon.stop().unwrap();
    // Somebody else has the port: enforcement does not depend on it.
    let _other = crate::wire::Listener::open(&site.pacs, PORT);
    let daemon = site.start(&[]);
    assert!(daemon.log().contains("metrics are not served: 127.0.0.1:9104"), "{}", daemon.log());
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
}

#[test]
fn the_monitoring_plug_in_says_what_is_wrong() {
    let site = Site::new();
    let check = |args: &[&str]| {
        let done = site.ask(&[&["check-nagios"], args].concat());
        assert_eq!(done.stdout.lines().count(), 1, "{}", done.text());
        (done.status.code().unwrap(), done.stdout)
    };
    let (code, line) = check(&[]);
    assert_eq!(code, 2);
    assert!(line.starts_with("PACS-GUARD CRITICAL - NOT ENFORCING"), "{line}");

    let mut daemon = site.guard(&[]);
    let (code, line) = check(&[]);
    assert_eq!(code, 0, "{line}");
    assert!(line.starts_with("PACS-GUARD OK - ENFORCING, policy site | allowed="), "{line}");
    let page = site.json(&["check-nagios", "--json"]);
    assert_eq!((&page["level"], &page["state"]), (&"ok".into(), &"enforcing".into()), "{page}");
    let (code, line) = check(&["--checkmk"]);
    assert_eq!(code, 0);
    assert!(line.starts_with("0 \"pacs-guard\" allowed="), "{line}");
    // Status, name, performance data, text: what Checkmk splits at blanks.
    let data = line.split_whitespace().nth(2).unwrap();
    assert_eq!(data.split('|').filter(|one| one.split_once('=').is_some()).count(), 6, "{line}");

    let bypassed = site.ask(&["bypass", "--for", "1m", "--reason", "a | b"]);
    assert!(bypassed.success(), "{}", bypassed.text());
    let (code, line) = check(&[]);
    assert_eq!(code, 1);
    assert!(line.contains("a bypass is on") && line.matches('|').count() == 1, "{line}");
    assert!(site.ask(&["bypass", "--end"]).success());

    // Taken away by hand, as another tool might.
    site.pacs.sh("ip link set eth0 down; ip link delete eth0").unwrap();
    let (code, line) = check(&[]);
    assert_eq!(code, 2, "{line}");
    assert!(line.contains("is not guarded any more"), "{line}");
    daemon.stop().unwrap();

    let mut command = crate::lab::cli(std::path::Path::new("setpriv"), &site.pacs);
    command.args(["--reuid=65534", "--clear-groups", crate::site::BINARY, "check-nagios"]);
    let done = crate::lab::run(command, PATIENCE).unwrap();
    assert_eq!(done.status.code(), Some(3), "{}", done.text());
    assert!(
        done.stdout.starts_with("PACS-GUARD UNKNOWN - ") && !done.stdout.contains('|'),
        "{}",
        done.text()
    );
}

#[test]
fn the_watchdog_hears_of_the_loop() {
    let site = Site::new();
    site.write(&policy("enforce", &[&site.modality]));
    let path = site.pacs.dir().join("watch.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = crate::lab::cli(crate::site::BINARY.as_ref(), &site.pacs);
    command
        .args(["run", "--policy", "policy.yaml"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000");
    let mut daemon = site.pacs.spawn("pacs-guard", command).unwrap();
    let heard = |word: &str| {
        let mut bytes = [0; 256];
        loop {
            let Ok(count) = socket.recv(&mut bytes) else { return false };
            if String::from_utf8_lossy(&bytes[..count]).contains(word) {
                return true;
            }
        }
    };
    assert!(heard("READY=1"), "{}", daemon.log());
    assert!(heard("WATCHDOG=1") && heard("WATCHDOG=1"), "{}", daemon.log());
    daemon.signal("TERM").unwrap();
    assert!(heard("STOPPING=1"));
    assert!(daemon.wait().unwrap().success());
}
