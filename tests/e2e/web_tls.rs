//! The status page where other hosts reach it: TLS, the token, and what is refused; from another host, by curl, openssl
//! and a real browser.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, KeyPair, SanType};

use crate::{
    lab::{Daemon, Finished, Host, PATIENCE, run, wait_for},
    site::{DICOM, Site, policy},
    wire::{is_met_with_silence, on},
};

const PORT: u16 = 9105;
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// A site whose page has a certificate and a token.
struct Locked {
    site: Site,
}

impl Locked {
    fn new() -> Self {
        let this = Self { site: Site::new() };
        this.certify();
        this.secret("token", &format!("{TOKEN}\n"));
        this
    }

    fn file(&self, name: &str) -> PathBuf {
        self.site.pacs.dir().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
        self.mode(name, 0o640);
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Another certificate and key for the archive's address.
    fn certify(&self) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress(self.site.pacs.addr4().into())];
        fs::write(self.file("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        self.secret("key.pem", &key.serialize_pem());
    }

    /// The arguments of a page that other hosts reach.
    fn args(&self) -> Vec<String> {
        let mut args = vec!["--web".to_owned(), format!("{}:{PORT}", self.site.pacs.addr4())];
        for (option, name) in
            [("--web-cert", "cert.pem"), ("--web-key", "key.pem"), ("--web-token-file", "token")]
        {
            args.extend([option.to_owned(), self.file(name).display().to_string()]);
        }
        args
    }

    fn guard(&self) -> Daemon {
        let args = self.args();
        self.site.guard(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}:{PORT}{path}", self.site.pacs.addr4())
    }

    /// curl on another host, that trusts the page's certificate and no other; the status and all that came.
    fn curl(&self, from: &Host, path: &str, args: &[&str]) -> (String, String) {
        let mut command = from.command("curl");
        command.args(["-sS", "-i", "--max-time", "20", "-w", "\n%{http_code}", "--cacert"]);
        command.arg(self.file("cert.pem")).args(args).arg(self.url(path));
        let done = run(command, 2 * PATIENCE).unwrap();
        assert!(done.success(), "{}", done.text());
        let (text, status) = done.stdout.rsplit_once('\n').unwrap();
        (status.to_owned(), text.to_owned())
    }

    /// The status for a token.
    fn status_for(&self, from: &Host, token: &str) -> String {
        self.curl(from, "/state", &["-H", &format!("Authorization: Bearer {token}")]).0
    }

    fn openssl(&self, args: &[&str]) -> Finished {
        let mut command = self.site.modality.command("openssl");
        command.arg("s_client").args(args).arg("-connect").arg(format!("{}:{PORT}", self.site.pacs.addr4()));
        run(command, PATIENCE).unwrap()
    }
}

#[test]
fn nothing_without_the_token() {
    let locked = Locked::new();
    let _daemon = locked.guard();
    let from = &locked.site.modality;
    for path in ["/", "/state", "/stream", "/nothing", "/login/x", "//state", "/state?token=x"] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            let how = if method == "HEAD" { vec!["-I"] } else { vec!["-X", method] };
            let (status, text) = locked.curl(from, path, &how);
            assert_eq!(status, "401", "{method} {path}: {text}");
            let text = text.to_ascii_lowercase();
            assert!(text.contains("www-authenticate: bearer"), "{method} {path}: {text}");
            assert!(!text.contains("schema") && !text.contains("modality"), "{method} {path}: {text}");
        }
    }
    for header in [
        format!("Authorization: Basic {TOKEN}"),
        format!("Authorization: {TOKEN}"),
        format!("Cookie: __Host-pacs-guard={TOKEN}"),
        format!("Cookie: __Host-pacs-guard={OTHER}"),
        "Cookie: __Host-pacs-guard=".to_owned(),
        format!("X-Token: {TOKEN}"),
    ] {
        let (status, _) = locked.curl(from, "/state", &["-H", &header]);
        assert_eq!(status, "401", "{header}");
    }
    let (_, form) = locked.curl(from, "/", &[]);
    let form = form.to_ascii_lowercase();
    for part in [
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "form-action 'self'",
        "cache-control: no-store",
        "<form method=\"post\" action=\"/login\">",
    ] {
        assert!(form.contains(part), "{part}: {form}");
    }
    assert!(!form.contains("<script"), "{form}");
    // With it, everything.
    let shown = format!("Authorization: Bearer {TOKEN}");
    for (path, status) in [("/", "200"), ("/state", "200"), ("/nothing", "404")] {
        assert_eq!(locked.curl(from, path, &["-H", &shown]).0, status, "{path}");
    }
    let (status, stream) = locked.curl(from, "/stream", &["-H", &shown]);
    assert_eq!(status, "200");
    assert!(stream.matches("data: {\"schema\":\"pacs-guard/web/1\"").count() > 5, "{stream}");
}

#[test]
fn a_wrong_token_is_refused_slowed_counted_and_logged() {
    let locked = Locked::new();
    let daemon = locked.guard();
    let (guesser, admin) = (&locked.site.stranger, &locked.site.modality);
    assert_eq!(locked.status_for(guesser, &format!("{}1", &TOKEN[..63])), "401");
    // Four more are looked at, and then none.
    let (_, text) = locked.curl(guesser, "/state?[1-6]", &["-H", &format!("Authorization: Bearer {OTHER}")]);
    assert_eq!(
        (text.matches("HTTP/1.1 401").count(), text.matches("HTTP/1.1 429").count()),
        (4, 2),
        "{text}"
    );
    assert!(text.to_ascii_lowercase().contains("retry-after: "), "{text}");
    // Not even the right one; and others are.
    assert_eq!(locked.status_for(guesser, TOKEN), "429");
    let (status, _) = locked.curl(guesser, "/login", &["-d", &format!("token={TOKEN}")]);
    assert_eq!(status, "429");
    assert_eq!(locked.status_for(admin, TOKEN), "200");
    let log = daemon.log();
    let said = format!("a wrong token from {}", guesser.addr4());
    assert_eq!(log.matches(&said).count(), 5, "{log}");
    assert!(!log.contains(&TOKEN[..32]) && !log.contains(&OTHER[..32]), "{log}");
    // 5 wrong, and 4 that were not looked at.
    let status = locked.site.status();
    assert_eq!(status["daemon"]["web"]["refused_tokens"], 9, "{status}");
    let metrics = locked.site.pacs.sh("curl -s http://127.0.0.1:9104/metrics").unwrap();
    assert!(metrics.contains("\npacs_guard_web_tokens_refused_total 9\n"), "{metrics}");
    assert!(metrics.contains("\npacs_guard_web_certificate_expiry_timestamp_seconds "), "{metrics}");
    let text = locked.site.ask(&["status"]).stdout;
    assert!(text.contains(&locked.url("/")) && text.contains("tokens refused: 9"), "{text}");
}

#[test]
fn a_browser_gets_a_session_that_is_not_the_token() {
    let locked = Locked::new();
    let _daemon = locked.guard();
    let from = &locked.site.modality;
    let body = format!("token={TOKEN}");
    let (status, text) = locked.curl(from, "/login", &["-d", &body]);
    assert!(status == "303" && text.contains("location: /\r\n"), "{text}");
    let cookie = text.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let (session, attributes) = cookie.trim().split_once(';').unwrap();
    assert_eq!(attributes, " Path=/; Secure; HttpOnly; SameSite=Strict");
    assert!(session.starts_with("__Host-pacs-guard=") && !session.contains(TOKEN), "{session}");
    for path in ["/", "/state"] {
        let (status, _) = locked.curl(from, path, &["-H", &format!("Cookie: other=1; {session}")]);
        assert_eq!(status, "200", "{path}");
    }
    // Each log-in has a number of its own; what is no form, too long, or another site's gives none.
    let (_, again) = locked.curl(from, "/login", &["-d", &body]);
    assert!(!again.contains(session), "{again}");
    let long = format!("token={TOKEN}&more={}", "x".repeat(2000));
    for (args, expected) in [
        (vec!["-d", &long], "413"),
        (vec!["-d", "other=1"], "422"),
        (vec!["-H", "Content-Type: text/plain", "-d", &body], "415"),
        (vec!["-H", "Sec-Fetch-Site: cross-site", "-d", &body], "403"),
        (vec!["-d", "token=wrong"], "401"),
    ] {
        let (status, text) = locked.curl(from, "/login", &args);
        assert!(status == expected && !text.contains("set-cookie"), "{args:?}: {text}");
    }
    assert_eq!(locked.curl(from, "/login", &[]).0, "303");
    // Another token, and every session ends; what can't be used changes nothing.
    locked.secret("token", "short");
    let done = locked.site.ask(&["reload"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    assert!(done.stderr.contains("/token: the token has 5 characters"), "{}", done.stderr);
    assert_eq!(locked.curl(from, "/state", &["-H", &format!("Cookie: {session}")]).0, "200");
    locked.secret("token", OTHER);
    assert!(locked.site.ask(&["reload"]).success());
    assert_eq!(locked.curl(from, "/state", &["-H", &format!("Cookie: {session}")]).0, "401");
    assert_eq!(locked.status_for(from, TOKEN), "401");
    assert_eq!(locked.status_for(from, OTHER), "200");
}

#[test]
fn tls_and_nothing_else_and_a_new_certificate_at_reload() {
    let locked = Locked::new();
    let _daemon = locked.guard();
    let at = SocketAddr::from((locked.site.pacs.addr4(), PORT));
    let plain = on(&locked.site.modality, || {
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: pacs\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        // It may be cut while we read.
        stream.read_to_end(&mut bytes).ok();
        bytes
    });
    assert!(!plain.windows(4).any(|bytes| bytes == b"HTTP"), "{}", String::from_utf8_lossy(&plain));
    for (version, taken) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
        let done = locked.openssl(&[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        assert_eq!(done.success(), taken, "{version}: {}", done.text());
    }
    // One who never greets is sent away; a head that is too long has no answer from the page.
    let silent = on(&locked.site.modality, || {
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read(&mut [0; 1])
    });
    assert_eq!(silent.unwrap(), 0, "a silent client is never sent away");
    let long = format!("X-Long: {}", "x".repeat(20_000));
    let shown = format!("Authorization: Bearer {TOKEN}");
    let mut command = locked.site.modality.command("curl");
    command.args(["-sSk", "-i", "-H", &long, "-H", &shown, &locked.url("/state")]);
    // It may be cut while it still speaks.
    let done = run(command, PATIENCE).unwrap();
    assert!(!done.stdout.contains("HTTP/1.1 200"), "{}", done.text());
    // The daemon shows a renewed certificate from the reload on, and not before.
    let old = locked.openssl(&["-showcerts"]).stdout;
    locked.certify();
    let new = fs::read_to_string(locked.file("cert.pem")).unwrap();
    let line = new.lines().rev().nth(1).unwrap();
    assert!(old.contains("BEGIN CERTIFICATE") && !old.contains(line));
    assert!(locked.site.ask(&["reload"]).success());
    assert!(locked.openssl(&["-showcerts"]).stdout.contains(line));
    assert_eq!(locked.status_for(&locked.site.modality, TOKEN), "200");
}

#[test]
fn what_is_missing_ends_it_and_what_is_bad_is_not_served() {
    let locked = Locked::new();
    let site = &locked.site;
    site.write(&policy("enforce", &[&site.modality]));
    let all = locked.args();
    for left_out in [2, 4, 6] {
        let mut args = vec!["run", "--policy", "policy.yaml"];
        args.extend(all.iter().map(String::as_str));
        let option = args.drain(3 + left_out..5 + left_out).next().unwrap();
        let done = site.ask(&args);
        assert_eq!(done.status.code(), Some(2), "{}", done.text());
        assert!(done.stderr.contains(&format!("Missing: {option} FILE.")), "{}", done.stderr);
    }
    let done = site.ask(&["run", "--policy", "policy.yaml", "--web-key", "key.pem"]);
    assert_eq!(done.status.code(), Some(2), "{}", done.text());
    // A file goes bad by itself, say when a certificate is renewed: enforcement does not depend on it.
    let key = fs::read_to_string(locked.file("key.pem")).unwrap();
    let cases: [(&str, &dyn Fn(), &str); 6] = [
        (
            "token",
            &|| locked.mode("token", 0o644),
            "token: mode 0644 lets others read or change it: `chmod 640 /",
        ),
        (
            "token",
            &|| locked.secret("token", "0123456789"),
            "token: the token has 10 characters, and needs 32 to 256: `openssl rand -hex 32 > /",
        ),
        ("token", &|| fs::remove_file(locked.file("token")).unwrap(), "token: No such file"),
        ("key", &|| locked.mode("key.pem", 0o604), "key.pem: mode 0604 lets others read or change it"),
        (
            "key",
            &|| locked.secret("key.pem", &KeyPair::generate().unwrap().serialize_pem()),
            "key.pem: with /",
        ),
        (
            "certificate",
            &|| fs::write(locked.file("cert.pem"), &key).unwrap(),
            "cert.pem: it holds no certificate",
        ),
    ];
    for (what, spoil, said) in cases {
        locked.certify();
        locked.secret("token", TOKEN);
        spoil();
        let mut daemon = locked.guard();
        let log = daemon.log();
        assert!(log.contains("the status page is not served: ") && log.contains(said), "{what}: {log}");
        assert_eq!(site.pacs.sh(&format!("ss -Hltn 'sport = :{PORT}'")).unwrap(), "", "{what}");
        assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
        daemon.stop().unwrap();
    }
}

/// What Chromium shows; the steps are in `tests/web/login.py`.
#[test]
fn chromium_logs_in() {
    let locked = Locked::new();
    let _daemon = locked.guard();
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target_dir.join("playwright/bin/python");
    assert!(python.exists(), "{} is missing: run `cargo xtask setup`", python.display());
    let mut command = locked.site.modality.command(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/web/login.py"))
        .args([locked.url("/").as_str(), TOKEN])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let done = run(command, 6 * PATIENCE).unwrap();
    assert!(done.success(), "{}", done.text());
    wait_for("the wrong token to be counted", PATIENCE, || {
        Ok(locked.site.status()["daemon"]["web"]["refused_tokens"] == 1)
    })
    .unwrap();
}
