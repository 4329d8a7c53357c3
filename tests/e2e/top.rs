//! `top` on real terminals: what it shows, what its keys do, and how it leaves the terminal.

use crate::{
    lab::{self, PATIENCE, wait_for},
    site::{DICOM, Site},
    tmux::Tmux,
    wire::is_met_with_silence,
};

/// A guarded archive that has refused a stranger.
fn refused() -> (Site, lab::Daemon) {
    let site = Site::new();
    let daemon = site.guard(&[]);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    (site, daemon)
}

#[test]
fn who_is_refused_is_seen_explained_and_filtered() {
    let (site, mut daemon) = refused();
    let stranger = site.stranger.addr4().to_string();
    for (width, height) in [(80, 24), (200, 50)] {
        let terminal = Tmux::open(&site.pacs, width, height);
        terminal.types("pacs-guard top");
        let text = terminal.sees("q end");
        println!("{text}");
        assert_eq!(text.lines().count(), usize::from(height));
        for words in
            ["ENFORCING  site  generation 1  eth0 native", "not-in-segment", &stranger, "the daemon answers"]
        {
            assert!(text.contains(words), "{words:?} is not seen:\n{text}");
        }
        terminal.presses("Enter");
        let text = terminal.sees("any key goes back");
        assert!(
            text.contains("EXPLAIN") && text.contains("drop") && text.contains("in no segment"),
            "{text}"
        );
        terminal.presses("x / n o b o d y Enter");
        terminal.sees("nobody that the filter shows");
        terminal.presses("Escape ?");
        terminal.sees("Up Down, k j");
        terminal.presses("x q");
        let text = terminal.sees("$ ");
        assert!(!text.contains("ENFORCING"), "the screen is not taken away:\n{text}");
    }
    // With nobody to ask, the maps are still there.
    daemon.kill().unwrap();
    let terminal = Tmux::open(&site.pacs, 80, 24);
    terminal.types("pacs-guard top");
    let text = terminal.sees("no daemon answers: this is read from the pinned maps");
    assert!(text.contains("ENFORCING  site") && text.contains(&stranger), "{text}");
    // What comes now is seen to come.
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    terminal.sees("█");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let (site, _daemon) = refused();
    let terminal = Tmux::open(&site.pacs, 80, 24);
    for signal in ["TERM", "INT", "HUP"] {
        // The shell says its own process, which the screen takes over.
        terminal.types("sh -c 'echo $$ > pid; exec pacs-guard top'; stty -a | grep -o ' -*echo '; echo over");
        terminal.sees("q end");
        site.pacs.sh(&format!("kill -{signal} $(cat pid)")).unwrap();
        let text = terminal.sees("over");
        assert!(text.contains(" echo ") && !text.contains("ENFORCING"), "{text}");
        terminal.types("clear");
        wait_for("an empty terminal", PATIENCE, || Ok(!terminal.shows().contains("over"))).unwrap();
    }
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let (site, _daemon) = refused();
    let terminal = Tmux::open(&site.pacs, 80, 24);
    terminal.types("pacs-guard top");
    terminal.sees("q end");
    let text = terminal.shows_colours();
    assert!(text.contains("38;5;2m"), "nothing is green: {text:?}");
    terminal.presses("q");
    wait_for("the prompt", PATIENCE, || Ok(!terminal.shows().contains("ENFORCING"))).unwrap();
    terminal.types("NO_COLOR=1 pacs-guard top");
    terminal.sees("q end");
    let text = terminal.shows_colours();
    assert!(!text.contains("38;5;"), "{text:?}");
}

#[test]
fn without_a_terminal_or_with_json_it_says_what_to_use() {
    let site = Site::new();
    let done = site.ask(&["top"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stderr.contains("`top` needs a terminal"), "{}", done.stderr);
    let done = site.ask(&["top", "--json"]);
    assert!(done.stderr.contains("are for machines"), "{}", done.stderr);
}
