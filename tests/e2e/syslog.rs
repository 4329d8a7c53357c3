//! To a SIEM, by two real rsyslogds: the one that the page sets up, and one that stands for the SIEM.

use std::{collections::BTreeSet, fs, net::Ipv4Addr, path::Path, process::Command};

use crate::{
    lab::{Daemon, PATIENCE, Process, wait_for},
    mounts::Mounts,
    site::{BINARY, DICOM, Site, policy},
    wire::{RawSocket, syn},
};

/// Writes down what comes by TCP, just as it came.
const SIEM: &str = r#"
module(load="imtcp")
input(type="imtcp" port="514" address="127.0.0.1")
template(name="raw" type="string" string="%rawmsg%\n")
action(type="omfile" file="/var/log/siem" template="raw")
"#;

/// The block of the page that follows some words.
fn block(words: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(words).unwrap();
    rest.split("```text\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

struct Feed {
    site: Site,
    _daemon: Daemon,
    mounts: Mounts,
    relay: Process,
    _siem: Process,
    /// What the unit starts.
    line: String,
    raw: RawSocket,
    pacs: [u8; 6],
}

impl Feed {
    /// Names as long as they may be: a line has to stay shorter than what `logger` takes.
    fn new() -> Self {
        let site = Site::new();
        let long = |name: &str| name.to_owned() + &"-".repeat(63 - name.len());
        let (segment, service) = (long("modality"), long("dicom"));
        let text = policy("enforce", &[&site.modality])
            .replace("dicom: {", &format!("{service}: {{"))
            .replace("services: [dicom]", "services: [web]")
            .replace("services:\n", "services:\n  web: { ports: [8042] }\n")
            .replace("modality:", &format!("{segment}:"))
            + &format!("  other: {{ sources: [192.0.2.1], services: [{service}] }}\n");
        site.write(&text);
        let daemon = site.start(&[]);
        let (dir, snippet) = (site.pacs.dir(), block("`/etc/rsyslog.d/30-pacs-guard.conf`"));
        fs::write(dir.join("siem.conf"), SIEM).unwrap();
        let head =
            "module(load=\"imuxsock\" SysSock.Use=\"off\")\nglobal(workDirectory=\"/var/spool/rsyslog\")\n";
        fs::write(dir.join("relay.conf"), head.to_owned() + &snippet).unwrap();
        fs::write(dir.join("hosts"), "127.0.0.1 localhost siem.example\n").unwrap();
        let mounts = Mounts::new(
            &site.pacs,
            &format!(
                "for folder in /run /var/log /var/spool; do mount -t tmpfs none $folder; done\n\
                 mkdir /var/spool/rsyslog\nmount --bind {}/hosts /etc/hosts",
                dir.display()
            ),
        );
        let start = |name: &str| {
            let mut rsyslogd = mounts.command("rsyslogd");
            let conf = dir.join(name).with_extension("conf");
            rsyslogd.args(["-n", "-i", "NONE", "-f"]).arg(conf);
            mounts.spawn(name, rsyslogd)
        };
        let mut siem = start("siem");
        site.pacs.wait_listening(514, &mut siem).unwrap();
        let relay = start("relay");
        wait_for("rsyslog's socket", PATIENCE, || {
            Ok(mounts.run("test", &["-S", "/run/pacs-guard-siem.sock"]).success())
        })
        .unwrap();
        assert_eq!(relay.log() + &siem.log(), "");
        let unit = block("`/etc/systemd/system/pacs-guard-siem.service`");
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/bin/sh -c '")).unwrap();
        let line = line.trim_end_matches('\'').to_owned();
        let (raw, pacs) = (RawSocket::open(&site.modality), RawSocket::open(&site.pacs).mac());
        Self { site, _daemon: daemon, mounts, relay, _siem: siem, line, raw, pacs }
    }

    /// Runs a line of shell as the unit does.
    fn shell(&self, line: &str) -> Command {
        let mut command = self.mounts.command("sh");
        let bin = Path::new(BINARY).parent().unwrap();
        command
            .args(["-c", line])
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .env("PACS_GUARD_PIN_ROOT", self.site.pacs.pins())
            .env("PACS_GUARD_RUN_DIR", self.site.pacs.dir().join("run"));
        command
    }

    /// Starts the unit's line, with more heartbeats than the page has.
    fn start(&self) -> Process {
        let line = self.line.replace("--format cef", "--format cef --heartbeat 1s");
        assert_ne!(line, self.line);
        let feed = self.mounts.spawn("feed", self.shell(&line));
        wait_for("a heartbeat", PATIENCE, || Ok(!self.siem().is_empty())).unwrap();
        feed
    }

    fn send(&self, source: Ipv4Addr) {
        self.raw.send(&syn(self.raw.mac(), self.pacs, source.into(), self.site.pacs.addr4().into(), DICOM));
    }

    /// What the SIEM has, without the head of each line.
    fn siem(&self) -> Vec<String> {
        let done = self.mounts.run("cat", &["/var/log/siem"]);
        let whole = done.stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| self.cef(line)).collect()
    }

    /// Takes off `<13>Nov 30 00:00:00 host `.
    fn cef(&self, line: &str) -> String {
        let head = regex_lite::Regex::new(r"^<13>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [^ ]+ CEF:0\|").unwrap();
        assert!(head.is_match(line), "{line}");
        line[line.find("CEF:").unwrap()..].to_owned()
    }
}

/// The sum of a field over some lines.
fn sum(lines: &[String], key: &str) -> u64 {
    let field = |line: &String| {
        let (_, rest) = line.split_once(&format!("{key}=")).unwrap();
        rest.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    lines.iter().map(field).sum()
}

fn apart(lines: Vec<String>) -> (Vec<String>, Vec<String>) {
    lines.into_iter().partition(|line| line.contains("|heartbeat|"))
}

#[test]
fn each_event_reaches_the_siem_as_one_line_and_unharmed() {
    let feed = Feed::new();
    let mut process = feed.start();
    (0..40).for_each(|host| feed.send(Ipv4Addr::new(203, 0, 113, host)));
    (0..20).for_each(|_| feed.send(feed.site.modality.addr4()));
    let (from, to) = (feed.site.modality.addr6(), feed.site.pacs.addr6());
    feed.raw.send(&syn(feed.raw.mac(), feed.pacs, from.into(), to.into(), DICOM));
    wait_for("each packet as an event or counted", PATIENCE, || {
        let (beats, events) = apart(feed.siem());
        assert!(beats.iter().all(|beat| beat.contains("cfp1Label=events per second")), "{beats:?}");
        let shown = events.len() as u64;
        Ok(shown + sum(&beats, "cn2") == 61 && sum(&beats, "cnt") == shown)
    })
    .unwrap();
    let (_, events) = apart(feed.siem());
    let sent = feed.site.ask(&["events", "--recent", "--format", "cef"]).stdout;
    let set = |lines: &mut dyn Iterator<Item = String>| lines.collect::<BTreeSet<_>>();
    assert_eq!(set(&mut events.iter().cloned()), set(&mut sent.lines().map(str::to_owned)));
    assert_eq!(events.len(), sent.lines().count(), "a line came twice");
    assert!(
        events.iter().any(|event| event.contains("c6a2=fd00:99::2 ") && event.contains("cs1=modality---"))
    );

    // No name of a policy may hold them, but what a line may hold must come through.
    let line = "CEF:0|a\\|b\\\\|c=d|ü|e|f|5|cs2=a\\=b|c\\\\d\\ne \\r %s %n ${x} #012 \"'`  cs2Label=x";
    fs::write(feed.site.pacs.dir().join("line"), line.to_owned() + "\n").unwrap();
    let (_, logger) = feed.line.split_once(" | ").unwrap();
    let file = feed.site.pacs.dir().join("line");
    let done = crate::lab::run(feed.shell(&format!("cat {} | {logger}", file.display())), PATIENCE).unwrap();
    assert!(done.success(), "{}", done.text());
    wait_for("the line", PATIENCE, || Ok(feed.siem().iter().any(|got| got == line))).unwrap();
    assert!(process.ended().unwrap().is_none(), "{}", process.log());
}

#[test]
fn a_relay_that_hangs_holds_nobody_up_and_what_it_missed_is_told() {
    let feed = Feed::new();
    let _process = feed.start();
    let site = &feed.site;
    feed.relay.signal("STOP").unwrap();
    let mut sent = 0_u32;
    // More than every buffer on the way: the kernel sends 1,024 events a second.
    wait_for("events that nobody takes", PATIENCE * 2, || {
        for _ in 0..250 {
            feed.send(Ipv4Addr::from_bits(0xc633_0000 + sent));
            sent += 1;
        }
        Ok(u64::from(sent) - site.status()["packets"]["events_suppressed"].as_u64().unwrap() > 6000)
    })
    .unwrap();
    assert!(site.ask(&["reload"]).success());
    assert_eq!(site.booked("not-in-segment"), u64::from(sent));

    feed.relay.signal("CONT").unwrap();
    wait_for("each packet as a line or counted", PATIENCE * 2, || {
        let (beats, events) = apart(feed.siem());
        let [shown, missed, suppressed, lost] = ["cnt", "cn1", "cn2", "cn3"].map(|key| sum(&beats, key));
        assert!(events.len() as u64 + missed + suppressed + lost <= u64::from(sent), "more than were sent");
        Ok(missed > 0
            && shown == events.len() as u64
            && shown + missed + suppressed + lost == u64::from(sent))
    })
    .unwrap();
}
