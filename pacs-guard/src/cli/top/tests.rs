//! The screen as it is drawn on a terminal of a size, without one.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};

use super::{
    draw::draw,
    keys::Wish,
    sample::{Refusal, Sample, Source},
    screen::{Screen, Sheet},
};
use crate::{
    datapath::XdpMode,
    image::{Card, Enforces},
    learn::Association,
    observe::{Guarded, Reading, State, Totals},
    seen::SeenRecord,
};

fn card() -> Card {
    Card {
        policy: "st-elsewhere".into(),
        file: "policy.yaml".into(),
        sha256: "0".repeat(64),
        loaded: Timestamp::now(),
        enforces: Enforces::Everything,
        bypass: None,
        enforced: false,
        segments: 1,
        services: 1,
        sources: 1,
        ends: vec![],
        draining: vec![],
    }
}

fn source(address: &str, connections: u64, calling: Option<&str>) -> Source {
    let now = Timestamp::now();
    Source {
        seen: SeenRecord {
            source: address.parse().unwrap(),
            port: 104,
            protocol: 6,
            service: Some("dicom".into()),
            segment: None,
            first: now,
            last: now,
            connections,
            outcome: "drop".into(),
            reason: "not-in-segment".into(),
        },
        titles: calling.map(|calling| Association { calling: calling.into(), called: "PACS".into() }),
    }
}

/// A site where so many packets were dropped, so many seconds from the start.
fn sample(start: Instant, second: u64, dropped: u64) -> Sample {
    let interface = Guarded { name: "ens18".into(), index: 2, mode: Some(XdpMode::Native), attached: true };
    let refusal = Refusal { segment: None, reason: "not-in-segment", dropped: true };
    let audited = Refusal { segment: Some("viewers".into()), reason: "service-not-allowed", dropped: false };
    Sample {
        at: start + Duration::from_secs(second),
        reading: Reading {
            state: State::Enforcing,
            outline: None,
            card: Some(card()),
            interfaces: vec![interface],
            uncovered: vec![],
            counters: None,
        },
        generation: Some(7),
        totals: Totals { allowed: 1_234_567, dropped, ..Totals::default() },
        refusals: [(refusal, dropped), (audited, 5000)].into(),
        sources: vec![source("10.0.0.9", 1, None), source("10.0.0.8", 12, Some("CT\u{1b}[31m1"))],
        peers: None,
    }
}

fn screen() -> Screen {
    let start = Instant::now();
    let mut screen = Screen::new(sample(start, 0, 100), true);
    for (second, dropped) in [(1, 100), (2, 101), (3, 109)] {
        screen.take(Ok(sample(start, second, dropped)));
    }
    screen
}

fn terminal(screen: &Screen, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, screen)).unwrap();
    terminal
}

fn drawn(screen: &Screen, width: u16, height: u16) -> String {
    terminal(screen, width, height).backend().to_string()
}

/// The same, with one space between two words.
fn words(screen: &Screen) -> String {
    drawn(screen, 80, 24).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn press(screen: &mut Screen, keys: &str) {
    for key in keys.chars() {
        screen.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE));
    }
}

#[test]
fn everything_is_there_at_both_sizes() {
    let screen = screen();
    for (width, height) in [(80, 24), (200, 50)] {
        let text = drawn(&screen, width, height);
        println!("{text}");
        for words in [
            "ENFORCING  st-elsewhere  generation 7  ens18 native",
            "1,234,567 allowed, 109 dropped",
            "no daemon answers: this is read from the pinned maps",
            "not-in-segment",
            "10.0.0.9",
            "CT\\u{1b}[31",
            "only a daemon asks them",
            "q end",
        ] {
            assert!(text.contains(words), "{words:?} is not on the screen of {width}x{height}:\n{text}");
        }
        // The last seconds: none, one, and eight, the highest.
        assert!(!text.contains('\u{1b}'), "a control character is drawn");
    }
    assert!(words(&screen).contains("8 109 ▁█"), "{}", words(&screen));
    assert!(drawn(&screen, 200, 50).contains("CT\\u{1b}[31m1 to PACS"));
}

#[test]
fn no_size_is_too_small() {
    let mut screen = screen();
    for sheet in [None, Some(Sheet::Help), Some(Sheet::Explained("word ".repeat(999)))] {
        screen.sheet = sheet;
        for (width, height) in [(1, 1), (3, 2), (20, 5), (79, 9), (500, 3)] {
            drawn(&screen, width, height);
        }
    }
}

#[test]
fn colour_is_left_out_where_it_is_not_wanted() {
    let colours = |screen: &Screen| {
        let terminal = terminal(screen, 80, 24);
        terminal.backend().buffer().content().iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    let mut screen = screen();
    assert!(colours(&screen) > 0);
    screen.colour = false;
    assert_eq!(colours(&screen), 0);
}

#[test]
fn each_state_has_its_word() {
    let words = [
        (State::Enforcing, "ENFORCING"),
        (State::PartlyAudit, "ENFORCING, some of it in AUDIT"),
        (State::Audit, "AUDIT"),
        (State::Bypass, "BYPASS"),
        (State::NotEnforcing, "NOT ENFORCING"),
    ];
    for (state, word) in words {
        let mut sample = sample(Instant::now(), 0, 0);
        sample.reading.state = state;
        let text = drawn(&Screen::new(sample, true), 80, 24);
        assert!(text.starts_with(&format!("\"{word}  st-elsewhere")), "{text}");
    }
}

#[test]
fn a_filter_shows_what_contains_it_and_ends() {
    let mut screen = screen();
    press(&mut screen, "/0.0.8");
    assert!(drawn(&screen, 80, 24).contains("filter: 0.0.8_"));
    assert_eq!((screen.sources().len(), screen.refusals().len()), (1, 0));
    // A letter that is a key elsewhere is a letter here.
    press(&mut screen, "q");
    assert_eq!(screen.sources().len(), 0);
    screen.press(KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE));
    screen.press(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    assert_eq!((screen.sources().len(), screen.typing), (1, false));
    screen.press(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
    assert_eq!(screen.sources().len(), 2);
    // Titles are looked at as well, in any case.
    press(&mut screen, "/pAcS");
    assert_eq!(screen.sources().len(), 1);
}

#[test]
fn a_pause_holds_still_and_loses_nothing() {
    let mut screen = screen();
    press(&mut screen, "p");
    let before = drawn(&screen, 80, 24);
    assert!(before.contains("PAUSED"));
    let at = screen.view().sample.at;
    screen.take(Ok(sample(at, 1, 309)));
    assert!(drawn(&screen, 80, 24).contains("109 dropped"));
    press(&mut screen, "p");
    let after = words(&screen);
    assert!(after.contains("309 dropped") && after.contains("200 309 ▁▁█"), "{after}");
}

#[test]
fn the_selected_source_stays_selected_wherever_it_moves() {
    let mut screen = screen();
    press(&mut screen, "j");
    assert_eq!(screen.source().unwrap().source.to_string(), "10.0.0.8");
    press(&mut screen, "s");
    assert_eq!(screen.sources()[0].seen.connections, 12, "the most comes first");
    assert_eq!(screen.source().unwrap().source.to_string(), "10.0.0.8");
    press(&mut screen, "jjjj");
    assert_eq!(screen.source().unwrap().source.to_string(), "10.0.0.9");
}

#[test]
fn a_source_is_explained_and_any_key_goes_back() {
    let mut screen = screen();
    let wish = screen.press(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    let Wish::Explain(source) = wish else { panic!("{wish:?}") };
    screen.explained(&source, Err(anyhow::anyhow!("nothing is in force here")));
    let text = drawn(&screen, 80, 24);
    assert!(
        text.contains("nothing is in force here") && text.contains("explain 10.0.0.9 104 --live"),
        "{text}"
    );
    press(&mut screen, "q");
    assert_eq!(screen.sheet, None);
    let end = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(matches!(screen.press(end), Wish::End));
    assert!(matches!(screen.press(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)), Wish::End));
}

#[test]
fn counters_that_begin_anew_count_from_zero_and_trouble_is_said() {
    let mut screen = screen();
    let at = screen.view().sample.at;
    screen.take(Ok(sample(at, 1, 3)));
    assert!(words(&screen).contains("drop 3 3"), "{}", words(&screen));
    screen.take(Err(anyhow::anyhow!("the map is gone")));
    let text = drawn(&screen, 80, 24);
    assert!(text.contains("not read: the map is gone") && text.contains("3 dropped"), "{text}");
}
