//! The status page: who may ask, what it says, how many at once; and in a real browser.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    lab::{PATIENCE, run, wait_for},
    site::{DICOM, Site, policy},
    wire::{RawSocket, is_met_with_silence, on, syn},
};

const PORT: u16 = 9105;
const ON: [&str; 2] = ["--web", "127.0.0.1:9105"];

fn connect(site: &Site) -> TcpStream {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let stream = on(&site.pacs, || TcpStream::connect_timeout(&at, PATIENCE).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Head and body of the answer to a request with these header lines.
fn ask(site: &Site, request: &str, headers: &str) -> (String, String) {
    let mut stream = connect(site);
    write!(stream, "{request} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

fn get(site: &Site, path: &str) -> (String, String) {
    ask(site, &format!("GET {path}"), "Host: 127.0.0.1:9105\r\n")
}

fn state(site: &Site) -> Value {
    let (head, body) = get(site, "/state");
    assert!(head.starts_with("http/1.1 200") && head.contains("application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

fn refuse(site: &Site, times: usize) {
    let (pacs, stranger) = (RawSocket::open(&site.pacs), RawSocket::open(&site.stranger));
    let (from, to) = (site.stranger.addr4().into(), site.pacs.addr4().into());
    let frame = syn(stranger.mac(), pacs.mac(), from, to, DICOM);
    (0..times).for_each(|_| stranger.send(&frame));
}

#[test]
fn every_answer_has_the_headers_and_nothing_is_written() {
    let site = Site::new();
    let _daemon = site.guard(&ON);
    for (request, status) in [
        ("GET /", "200"),
        ("HEAD /", "200"),
        ("GET /state", "200"),
        ("GET /nothing", "404"),
        ("GET /../etc/passwd", "404"),
        ("POST /", "405"),
        ("PUT /state", "405"),
        ("DELETE /stream", "405"),
        ("OPTIONS /state", "405"),
    ] {
        let (head, _) = ask(&site, request, "Host: localhost:9105\r\nOrigin: http://elsewhere.example\r\n");
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{request}: {head}");
        for line in [
            "content-security-policy: default-src 'none'; script-src 'sha256-",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(line), "{request} lacks {line}: {head}");
        }
        assert!(!head.contains("access-control-allow") && !head.contains("unsafe"), "{request}: {head}");
    }
}

#[test]
fn only_for_who_asks_for_a_loopback_name() {
    let site = Site::new();
    let _daemon = site.guard(&ON);
    for good in ["127.0.0.1:9105", "localhost", "LOCALHOST:1234", "[::1]:9105"] {
        let (head, _) = ask(&site, "GET /state", &format!("Host: {good}\r\n"));
        assert!(head.starts_with("http/1.1 200"), "{good}: {head}");
    }
    let bad = [
        "Host: rebound.example:9105\r\n",
        "Host: 127.0.0.1.rebound.example\r\n",
        "Host: localhost.rebound.example\r\n",
        "Host: localhost@rebound.example\r\n",
        "Host: 10.99.0.1:9105\r\n",
        "Host: \r\n",
        "Host: 127.0.0.1\r\nHost: rebound.example\r\n",
        "",
    ];
    for headers in bad {
        for path in ["/", "/state", "/stream"] {
            let (head, body) = ask(&site, &format!("GET {path}"), headers);
            assert!(head.starts_with("http/1.1 421") && body.contains("localhost"), "{headers}: {head}");
        }
    }
}

#[test]
fn it_says_what_the_kernel_holds() {
    let site = Site::new();
    let mut daemon = site.guard(&ON);
    // What came before the first sample is on no step.
    wait_for("a step of the plot", PATIENCE, || Ok(state(&site)["drops"]["dropped"][0] == 0)).unwrap();
    refuse(&site, 34);
    wait_for("34 packets", PATIENCE, || Ok(site.booked("not-in-segment") == 34)).unwrap();
    wait_for("34 on the page", PATIENCE, || Ok(state(&site)["packets"]["dropped"] == 34)).unwrap();
    let page = state(&site);
    assert_eq!((&page["schema"], &page["state"]), (&"pacs-guard/web/1".into(), &"enforcing".into()));
    assert_eq!(page["policy"]["sha256"], site.status()["policy"]["sha256"]);
    assert_eq!(page["refused"][0]["source"], site.stranger.addr4().to_string());
    assert_eq!(page["reach"]["segments"][0]["name"], "modality");
    assert_eq!(page["reach"]["services"][0]["ports"], "11112");
    assert_eq!(page["history"][0]["action"], "start");
    wait_for("34 on the plot", PATIENCE, || {
        let steps = state(&site)["drops"]["dropped"].as_array().unwrap().clone();
        Ok(steps.iter().filter_map(Value::as_u64).sum::<u64>() == 34)
    })
    .unwrap();
    // With the link gone, what was in force is not shown as if it still were.
    site.pacs.sh("ip link set eth0 down; ip link delete eth0").unwrap();
    wait_for("the state", PATIENCE, || Ok(state(&site)["state"] == "not-enforcing")).unwrap();
    daemon.stop().unwrap();
}

#[test]
fn a_stream_goes_on_and_ends_in_order() {
    let site = Site::new();
    let _daemon = site.guard(&ON);
    let mut stream = connect(&site);
    write!(stream, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    refuse(&site, 3);
    let start = Instant::now();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.matches("data: {\"schema\":\"pacs-guard/web/1\"").count() > 5, "{text}");
    assert!(text.contains("\"dropped\":3"), "the refusal is not in the stream");
    // The last chunk of HTTP/1.1: it was not cut.
    assert!(text.ends_with("0\r\n\r\n"), "{text}");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn many_and_silent_clients_take_places_and_nothing_else() {
    let site = Site::new();
    let daemon = site.guard(&ON);
    let mut held: Vec<TcpStream> = (0..16).map(|_| connect(&site)).collect();
    // It has what it asks for once a place is free, and not before.
    let mut waiting = connect(&site);
    write!(waiting, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    assert!(waiting.read(&mut [0; 1]).is_err(), "nothing bounds the connections");
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    assert!(site.ask(&["reload"]).success(), "{}", daemon.log());
    held.pop();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    waiting.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("</html>"), "{text}");
    for mut client in held {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "a silent client is never sent away");
    }
}

#[test]
fn off_unless_asked_for_and_never_beyond_loopback() {
    let site = Site::new();
    let listens = || site.pacs.sh("ss -Hltn 'sport = :9105'").unwrap();
    let mut daemon = site.guard(&[]);
    assert_eq!(listens(), "");
    daemon.stop().unwrap();
    site.write(&policy("enforce", &[&site.modality]));
    for beyond in ["0.0.0.0:9105", "[::]:9105", "10.99.0.1:9105"] {
        let done = site.ask(&["run", "--policy", "policy.yaml", "--web", beyond]);
        assert_eq!(done.status.code(), Some(2), "{beyond}: {}", done.text());
        assert!(done.stderr.contains("proxy that speaks TLS"), "{}", done.stderr);
    }
    let mut daemon = site.start(&ON);
    assert!(listens().contains("127.0.0.1:9105"), "{}", listens());
    daemon.stop().unwrap();
    // Somebody else has the port: enforcement does not depend on it.
    let _other = crate::wire::Listener::open(&site.pacs, PORT);
    let daemon = site.start(&ON);
    assert!(daemon.log().contains("the status page is not served: 127.0.0.1:9105"), "{}", daemon.log());
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
}

/// What Chromium shows; the steps are in `tests/web/browser.py`. Its pictures lie in `target/screenshots`.
#[test]
fn in_a_real_browser() {
    let site = Site::new();
    let text = format!(
        "version: 1\nname: st-elsewhere-pacs\ninterfaces: [eth0]\nmode: enforce\n\
         services:\n  dicom: {{ ports: [104, {DICOM}] }}\n  dicom-tls: {{ ports: [2762] }}\n  \
         dicomweb: {{ ports: [8042], mode: audit }}\n\
         segments:\n  \
         modalities: {{ description: \"CT, MR and X-ray, building A\", sources: [{}], services: [dicom] }}\n  \
         viewers: {{ sources: [10.30.0.0/23, \"2001:db8:30::/64\"], services: [dicom-tls, dicomweb] }}\n  \
         research: {{ description: \"<script>alert(1)</script>\", sources: [10.40.0.0/24], services: [dicomweb], \
         until: 2099-03-01T00:00:00Z }}\n\
         peers:\n  - {{ name: CT1, address: {}, port: 104, ae_title: \"<script>alert(1)\", every: 5m }}\n  \
         - {{ name: MR2, address: {}, port: 104, ae_title: MR2, do_not_probe: true }}\n",
        site.modality.addr4(),
        site.modality.addr4(),
        site.modality.addr4(),
    );
    site.write(&text);
    let mut daemon = site.start(&ON);
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let (python, shots) = (target_dir.join("playwright/bin/python"), target_dir.join("screenshots"));
    assert!(python.exists(), "{} is missing: run `cargo xtask setup`", python.display());
    std::fs::create_dir_all(&shots).unwrap();
    let steps = site.pacs.dir().join("steps");
    std::fs::create_dir_all(&steps).unwrap();
    let mut command = site.pacs.command(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/web/browser.py"))
        .arg("http://127.0.0.1:9105/")
        .arg(&shots)
        .arg(site.stranger.addr4().to_string())
        .arg(&steps)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let browser = std::thread::spawn(move || run(command, 3 * PATIENCE));
    let reached = |step: &str| {
        wait_for(&format!("the browser: {step}"), 3 * PATIENCE, || {
            Ok(steps.join(step).exists() || browser.is_finished())
        })
        .unwrap();
    };
    reached("loaded");
    let address6 = site.stranger.addr6();
    on(&site.stranger, || {
        // Another source, so that there are two.
        let other = SocketAddr::from((site.pacs.addr6(), DICOM));
        assert!(TcpStream::connect_timeout(&other, Duration::from_millis(100)).is_err(), "{address6}");
    });
    refuse(&site, 33);
    reached("seen");
    let reason = "<script>alert(1)</script>";
    assert!(browser.is_finished() || site.ask(&["bypass", "--for", "1m", "--reason", reason]).success());
    reached("bypassed");
    daemon.stop().unwrap();
    let done = browser.join().unwrap().unwrap();
    assert!(done.success(), "{}", done.text());
}
