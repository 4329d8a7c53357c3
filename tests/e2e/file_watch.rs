//! `run --watch`: a changed file comes into force by itself, a bad one changes nothing and is told.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::{
    lab::{Daemon, PATIENCE, wait_for},
    site::{self, BINARY, DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence},
};

/// A site whose policy has a folder of its own: nothing happens there but what a test does.
struct Watched {
    site: Site,
    daemon: Daemon,
    etc: PathBuf,
    _dicom: Listener,
}

impl Watched {
    fn new() -> Self {
        let site = Site::new();
        let etc = site.pacs.dir().join("etc");
        fs::create_dir(&etc).unwrap();
        let file = etc.join("policy.yaml");
        fs::write(&file, policy("enforce", &[&site.modality])).unwrap();
        let daemon = Daemon::start(BINARY.as_ref(), &site.pacs, &file, &["--watch"]).unwrap();
        Self { _dicom: Listener::open(&site.pacs, DICOM), site, daemon, etc }
    }

    fn file(&self) -> PathBuf {
        self.etc.join("policy.yaml")
    }
}

/// Tells when somebody has read a file.
struct Reads(Inotify);

impl Reads {
    fn of(file: &Path) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        inotify.add_watch(file, AddWatchFlags::IN_CLOSE_NOWRITE).unwrap();
        Self(inotify)
    }

    fn wait(&self) {
        wait_for("the daemon to look at the file", PATIENCE, || Ok(self.0.read_events().is_ok())).unwrap();
    }
}

fn wait_until_in_force(site: &Site, generation: u64) {
    wait_for("the next generation", PATIENCE, || Ok(site.status()["generation"] == generation)).unwrap();
}

fn wait_until_refused(daemon: &Daemon, times: usize) {
    let refused = || daemon.log().matches("the old one stays in force").count();
    wait_for("the daemon to refuse the file", PATIENCE, || Ok(refused() >= times)).unwrap();
    assert_eq!(refused(), times, "{}", daemon.log());
}

#[test]
fn a_renamed_file_comes_into_force_and_a_bad_one_does_not() {
    let watched = Watched::new();
    let (site, daemon) = (&watched.site, &watched.daemon);
    // From elsewhere, so that the rename is all that happens in the folder.
    let draft = site.pacs.dir().join("draft");
    fs::write(&draft, policy("enforce", &[&site.stranger])).unwrap();
    fs::rename(draft, watched.file()).unwrap();
    wait_until_in_force(site, 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.modality, site.pacs.addr4(), DICOM), "the modality got in");

    site::write(&watched.file(), "version: 1\n");
    wait_until_refused(daemon, 1);
    assert_eq!(site.status()["generation"], 2);
    assert_eq!(site.status()["daemon"]["last_change"]["result"], "invalid");
    fs::remove_file(watched.file()).unwrap();
    wait_until_refused(daemon, 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);

    site::write(&watched.file(), &policy("enforce", &[&site.modality]));
    wait_until_in_force(site, 3);
    connects(&site.modality, site.pacs.addr4(), DICOM);
}

#[test]
fn parts_count_from_the_first_one_on() {
    let watched = Watched::new();
    let site = &watched.site;
    let parts = watched.etc.join("policies.d");
    fs::create_dir(&parts).unwrap();
    let part = format!(
        "version: 1\nsegments:\n  visitor: {{ sources: [{}], services: [dicom] }}\n",
        site.stranger.addr4()
    );
    fs::write(parts.join("10.yaml"), part).unwrap();
    wait_until_in_force(site, 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    fs::remove_file(parts.join("10.yaml")).unwrap();
    wait_until_in_force(site, 3);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "the stranger got in");
}

#[test]
fn half_a_file_is_refused_and_the_whole_one_taken_once_its_writer_is_done() {
    let watched = Watched::new();
    let (site, daemon) = (&watched.site, &watched.daemon);
    let next = policy("enforce", &[&site.stranger]);
    let (first, second) = next.split_at(next.find("segments").unwrap());
    let mut file = fs::File::create(watched.file()).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    // Whatever else happens in the folder has the files looked at: half of one is refused, loudly.
    fs::write(watched.etc.join("note"), "").unwrap();
    wait_until_refused(daemon, 1);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    file.write_all(second.as_bytes()).unwrap();
    drop(file);
    wait_until_in_force(site, 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}

#[test]
fn what_is_no_change_is_no_reload() {
    let watched = Watched::new();
    let (site, daemon) = (&watched.site, &watched.daemon);
    let reads = Reads::of(&watched.file());
    fs::create_dir(watched.etc.join("policies.d")).unwrap();
    for other in [".policy.yaml.swp", "policy.yaml~", "4913", "policies.d/.10.yaml.swp"] {
        fs::write(watched.etc.join(other), "version: [").unwrap();
    }
    reads.wait();
    // The same text once more, and a change to be waited for.
    let reads = Reads::of(&watched.file());
    fs::write(watched.file(), policy("enforce", &[&site.modality])).unwrap();
    reads.wait();
    site::write(&watched.file(), &(policy("enforce", &[&site.modality]) + "# edited\n"));
    wait_until_in_force(site, 2);
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    assert_eq!(daemon.log().matches("has changed").count(), 1, "{}", daemon.log());
}

#[test]
fn a_folder_that_goes_is_told_and_watched_again_when_it_is_back() {
    let watched = Watched::new();
    let (site, daemon, etc) = (&watched.site, &watched.daemon, &watched.etc);
    // Another one of its name comes back: that one is nobody's yet.
    fs::rename(etc, site.pacs.dir().join("elsewhere")).unwrap();
    wait_for("the daemon to miss it", PATIENCE, || Ok(daemon.log().contains("not watched until"))).unwrap();
    fs::create_dir(etc).unwrap();
    fs::write(watched.file(), policy("enforce", &[&site.stranger])).unwrap();
    wait_until_in_force(site, 2);
    // And it is watched, not just looked at.
    site::write(&watched.file(), &policy("enforce", &[&site.stranger, &site.modality]));
    wait_until_in_force(site, 3);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}

#[test]
fn without_being_asked_it_watches_nothing() {
    let site = Site::new();
    let mut daemon = site.guard(&[]);
    let folder = format!("/proc/{}/fd", daemon.process().id());
    let links = fs::read_dir(folder).unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    assert_eq!(links.filter(|link| link.to_string_lossy().contains("inotify")).count(), 0);
}
