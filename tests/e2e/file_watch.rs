//! `run --watch`: a changed file comes into force by itself, a bad one changes nothing and is told.

use std::{fs, io::Write};

use crate::{
    lab::{Daemon, PATIENCE, wait_for},
    site::{DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence},
};

fn watched() -> (Site, Daemon, Listener) {
    let site = Site::new();
    let dicom = Listener::open(&site.pacs, DICOM);
    let daemon = site.guard(&["--watch"]);
    (site, daemon, dicom)
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
    let (site, daemon, _dicom) = watched();
    site.write(&policy("enforce", &[&site.stranger]));
    wait_until_in_force(&site, 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.modality, site.pacs.addr4(), DICOM), "the modality got in");

    site.write("version: 1\n");
    wait_until_refused(&daemon, 1);
    assert_eq!(site.status()["generation"], 2);
    assert_eq!(site.status()["daemon"]["last_change"]["result"], "invalid");
    fs::remove_file(site.policy()).unwrap();
    wait_until_refused(&daemon, 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);

    site.write(&policy("enforce", &[&site.modality]));
    wait_until_in_force(&site, 3);
    connects(&site.modality, site.pacs.addr4(), DICOM);
}

#[test]
fn parts_count_from_the_first_one_on() {
    let (site, _daemon, _dicom) = watched();
    let parts = site.pacs.dir().join("policies.d");
    fs::create_dir(&parts).unwrap();
    let part = format!(
        "version: 1\nsegments:\n  visitor: {{ sources: [{}], services: [dicom] }}\n",
        site.stranger.addr4()
    );
    fs::write(parts.join("10.yaml"), part).unwrap();
    wait_until_in_force(&site, 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    fs::remove_file(parts.join("10.yaml")).unwrap();
    wait_until_in_force(&site, 3);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "the stranger got in");
}

#[test]
fn half_a_file_is_refused_and_the_whole_one_taken_once_its_writer_is_done() {
    let (site, daemon, _dicom) = watched();
    let next = policy("enforce", &[&site.stranger]);
    let (first, second) = next.split_at(next.find("segments").unwrap());
    let mut file = fs::File::create(site.policy()).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    // Whatever else happens in the folder has the files looked at: half of one is refused, loudly.
    fs::write(site.pacs.dir().join("note"), "").unwrap();
    wait_until_refused(&daemon, 1);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    file.write_all(second.as_bytes()).unwrap();
    drop(file);
    wait_until_in_force(&site, 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}

#[test]
fn what_is_no_change_is_no_reload() {
    let (site, daemon, _dicom) = watched();
    let parts = site.pacs.dir().join("policies.d");
    fs::create_dir(&parts).unwrap();
    for other in [".policy.yaml.swp", "policy.yaml~", "4913", "policies.d/.10.yaml.swp"] {
        fs::write(site.pacs.dir().join(other), "version: [").unwrap();
    }
    // The same text once more, and a change to be waited for.
    site.write(&policy("enforce", &[&site.modality]));
    site.write(&(policy("enforce", &[&site.modality]) + "# edited\n"));
    wait_until_in_force(&site, 2);
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[test]
fn a_folder_that_goes_is_told_and_watched_again_when_it_is_back() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let etc = site.pacs.dir().join("etc");
    let elsewhere = site.pacs.dir().join("elsewhere");
    fs::create_dir(&etc).unwrap();
    let file = etc.join("policy.yaml");
    fs::write(&file, policy("enforce", &[&site.modality])).unwrap();
    let daemon = Daemon::start(crate::site::BINARY.as_ref(), &site.pacs, &file, &["--watch"]).unwrap();
    fs::rename(&etc, &elsewhere).unwrap();
    wait_for("the daemon to miss it", PATIENCE, || Ok(daemon.log().contains("not watched until"))).unwrap();
    fs::write(elsewhere.join("policy.yaml"), policy("enforce", &[&site.stranger])).unwrap();
    fs::rename(&elsewhere, &etc).unwrap();
    wait_until_in_force(&site, 2);
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
