//! `plan` says what would change and whom it would cut, and `apply` cuts nobody unasked.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::{
    lab::{PATIENCE, wait_for},
    site::{DICOM, Site, policy, write},
    wire::{connects, on},
};

fn planned(site: &Site) -> Option<i32> {
    site.ask(&["plan", "other.yaml"]).status.code()
}

#[test]
fn the_exit_code_says_what_kind_of_change_it_is() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    let other = site.pacs.dir().join("other.yaml");
    let same = policy("enforce", &[&site.modality]);
    write(&other, &same);
    assert_eq!(planned(&site), Some(0));
    write(&other, &policy("enforce", &[&site.modality, &site.stranger]));
    assert_eq!(planned(&site), Some(10), "it only widens");
    write(&other, &policy("enforce", &[&site.stranger]));
    assert_eq!(planned(&site), Some(11), "it narrows, and nobody is connected");
    write(&other, &same.replace("version: 1", "version: 2"));
    assert_eq!(planned(&site), Some(3));
}

#[test]
fn a_live_connection_is_named_and_not_cut_unasked() {
    let site = Site::new();
    // It never accepts, and so never ends a connection either.
    let _dicom = on(&site.pacs, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, DICOM)).unwrap());
    let _daemon = site.guard(&[]);
    write(&site.pacs.dir().join("other.yaml"), &policy("enforce", &[&site.stranger]));
    let connection = on(&site.modality, || TcpStream::connect((site.pacs.addr4(), DICOM)).unwrap());
    // The archive's end is there a moment later than the modality's.
    wait_for("the connection to be seen", PATIENCE, || Ok(planned(&site) == Some(12))).unwrap();
    let modality = connection.local_addr().unwrap().to_string();
    let plan = site.json(&["plan", "other.yaml", "--json"]);
    assert_eq!(plan["cuts"][0]["peer"], modality.as_str());
    assert_eq!(plan["cuts"][0]["because"]["reason"], "not-in-segment");

    let refused = site.ask(&["apply", "other.yaml"]);
    assert_eq!(refused.status.code(), Some(12));
    assert!(refused.stdout.contains(&modality), "{}", refused.text());
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(site.ask(&["apply", "other.yaml", "--cut"]).success());
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}
