//! `status` with everything that it can show, on a terminal of 80 columns and in a pipe.

use jiff::{SignedDuration, Timestamp};

use crate::{
    lab::{Host, PATIENCE, wait_for},
    site::{DICOM, Site, policy, write},
    tmux::Tmux,
    wire::Listener,
};

/// A policy that has everything, for some hosts.
fn everything(site: &Site, hosts: &[&Host]) -> String {
    let until = Timestamp::now() + SignedDuration::from_hours(40);
    let segment = format!(
        "  contractors-of-the-old-viewer: {{ sources: [10.77.0.0/16], services: [dicom], until: {until:.0} }}\n"
    );
    let peers = format!(
        "peers:\n  - {{ name: CT1, address: {}, port: 9, ae_title: CT1, every: 10s }}\n",
        site.stranger.addr4()
    );
    let text =
        policy("enforce", hosts).replace("  dicom: {", "  web: { ports: [8042], mode: audit }\n  dicom: {");
    text + &segment + &peers
}

#[test]
fn everything_is_aligned_at_eighty_columns_and_whole_in_a_pipe() {
    let site = Site::new();
    site.pacs
        .sh(
            "ip link add eth1 type veth peer name eth2; ip address add 10.98.0.1/24 dev eth1; ip link set eth1 up; \
             ip link set eth2 up",
        )
        .unwrap();
    let _archive = Listener::open(&site.pacs, DICOM);
    site.write(&everything(&site, &[&site.modality, &site.stranger]));
    let _daemon = site.start(&[]);
    write(&site.pacs.dir().join("narrow.yaml"), &everything(&site, &[&site.stranger]));
    let narrow = site.pacs.dir().join("narrow.yaml");
    let done = site.ask(&["apply", narrow.to_str().unwrap(), "--drain", "10m"]);
    assert!(done.success(), "{}", done.text());
    assert!(site.ask(&["learn", "--for", "1h"]).success());
    wait_for(
        "the peer to be asked",
        PATIENCE,
        || Ok(site.status()["daemon"]["peers"][0]["answers"] == false),
    )
    .unwrap();

    let terminal = Tmux::open(&site.pacs, 80, 60);
    terminal.types("clear; pacs-guard status");
    let shown = terminal.sees("AE titles are noted");
    println!("{shown}");
    let lines: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("ENFORCING")).collect();
    assert_eq!(lines[0], "ENFORCING, some of it in AUDIT");
    for line in lines[1..].iter().take_while(|line| !line.starts_with('$')).filter(|line| !line.is_empty()) {
        let (margin, text) = line.split_at(13);
        assert!(
            margin.starts_with("  ") && margin.ends_with(' ') && !text.starts_with(' '),
            "{line:?} is not aligned"
        );
    }
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let piped = site.ask(&["status"]).stdout;
    assert!(!piped.contains('\u{1b}'), "a pipe takes no colours: {piped}");
    for expected in [
        "site (",
        "2 services, 2 segments, 3 sources",
        "segment contractors-of-the-old-viewer ends in",
        "draining: connections of modality to dicom (11112) go on for",
        "eth0 native mode",
        "eth1",
        "differs from what is in force",
        "CT1 fails",
    ] {
        assert!(words.contains(expected), "{expected:?} is not shown:\n{shown}");
        let line = piped
            .lines()
            .any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").contains(expected));
        assert!(line, "{expected:?} is not in one line:\n{piped}");
    }
    assert_eq!(piped.lines().next(), Some("ENFORCING, some of it in AUDIT"));
}

#[test]
fn the_first_line_says_the_state_and_only_a_terminal_gets_colours() {
    let site = Site::new();
    let first = || site.ask(&["status"]).stdout.lines().next().unwrap_or_default().to_owned();
    assert_eq!(first(), "NOT ENFORCING");
    let _daemon = site.guard(&[]);
    assert_eq!(first(), "ENFORCING");
    let terminal = Tmux::open(&site.pacs, 80, 24);
    for (line, coloured) in [("pacs-guard status", true), ("NO_COLOR=1 pacs-guard status", false)] {
        terminal.types(&format!("clear; {line}; echo over"));
        wait_for("the end", PATIENCE, || Ok(terminal.shows().lines().any(|line| line == "over"))).unwrap();
        let text = terminal.shows_colours();
        assert_eq!(text.contains("\u{1b}[32m") || text.contains("[1m\u{1b}[32m"), coloured, "{text:?}");
        terminal.types("clear");
        wait_for("an empty terminal", PATIENCE, || Ok(!terminal.shows().contains("over"))).unwrap();
    }
    assert!(site.ask(&["bypass", "--for", "1m", "--reason", "a test"]).success());
    assert_eq!(first(), "BYPASS: nothing is refused");
    assert!(site.ask(&["bypass", "--end"]).success());
    site.write(&policy("audit", &[&site.modality]));
    assert!(site.ask(&["reload"]).success());
    assert_eq!(first(), "AUDIT: refusals are reported, and pass");
}
