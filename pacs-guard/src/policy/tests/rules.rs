//! Every rule red once, as the base with one slip, and green once.

use std::time::Duration;

use ipnet::IpNet;
use pacs_guard_common::packet::Cause;

use super::{BASE, changed, found, judge};
use crate::policy::model::{Mode, Transport, UnparsedAction};

/// What it is, what of the base is replaced, by what, and what is found where.
type Row = (&'static str, &'static str, &'static str, &'static [(&'static str, u32, u32)]);

#[rustfmt::skip]
const RED: &[Row] = &[
    ("syntax", "name: base", "name: a: b", &[("PG0101", 2, 8)]),
    ("tab", "  web:", "\tweb:", &[("PG0102", 7, 1)]),
    ("two documents", "mode: enforce\n", "mode: enforce\n---\nname: b\n", &[("PG0103", 6, 1)]),
    ("duplicate key", "mode: enforce", "name: again", &[("PG0105", 4, 1)]),
    ("duplicate service", "  web:", "  dicom:", &[("PG0105", 7, 3), ("PG0305", 15, 16)]),
    ("duplicate segment", "  viewers:", "  modalities:", &[("PG0105", 13, 3)]),
    ("unknown key", "interfaces:", "interface:", &[("PG0106", 3, 1)]),
    ("unknown service key", "{ ports: [104,", "{ port: [104,", &[("PG0106", 6, 12)]),
    ("until without a time", "    services: [web]", "    services: [web]\n    until: 2100-01-01", &[("PG0218", 16, 12)]),
    ("until without an offset", "    services: [web]", "    services: [web]\n    until: 2100-01-01T00:00:00", &[("PG0218", 16, 12)]),
    ("until that is no time", "    services: [web]", "    services: [web]\n    until: tomorrow", &[("PG0217", 16, 12)]),
    ("until of a 13th month", "    services: [web]", "    services: [web]\n    until: 2100-13-01T00:00:00Z", &[("PG0217", 16, 12)]),
    ("until without a value", "    services: [web]", "    services: [web]\n    until:", &[("PG0108", 16, 10)]),
    ("until has passed", "    services: [web]", "    services: [web]\n    until: 2020-01-01T00:00:00Z", &[("PG0906", 16, 12)]),
    ("reset to nobody", "mode: audit }", "on_refuse: reset }", &[("PG0310", 7, 36)]),
    ("reset_to without reset", "mode: audit }", "reset_to: [10.0.0.0/8] }", &[("PG0311", 7, 36)]),
    ("reset by UDP", "mode: audit }", "transport: udp, on_refuse: reset, reset_to: [10.0.0.0/8] }", &[("PG0312", 7, 52)]),
    ("on_refuse: reject", "mode: audit }", "on_refuse: reject }", &[("PG0203", 7, 36)]),
    ("no list", "[eth0]", "eth0", &[("PG0107", 3, 13)]),
    ("no value", "mode: enforce", "mode:", &[("PG0108", 4, 5)]),
    ("merge key", "    except: [10.20.0.66]", "    <<: {}", &[("PG0109", 11, 5)]),
    ("version missing", "version: 1\n", "", &[("PG0110", 1, 1)]),
    ("peer without port", "    port: 104\n", "", &[("PG0110", 17, 11)]),
    ("version 2", "version: 1", "version: 2", &[("PG0201", 1, 10)]),
    ("upper case in a name", "  modalities:", "  Modalities:", &[("PG0202", 9, 3)]),
    ("space in a peer's name", "name: CT1", "name: CT 1", &[("PG0202", 17, 11)]),
    ("mode", "enforce", "enforced", &[("PG0203", 4, 7)]),
    ("transport", "mode: audit }", "transport: sctp, mode: audit }", &[("PG0203", 7, 36)]),
    ("unknown cause", "fragment: drop", "fragments: drop", &[("PG0203", 22, 13)]),
    ("unknown action", "fragment: drop", "fragment: allow", &[("PG0203", 22, 23)]),
    ("yes is no flag", "every: 5m", "do_not_probe: yes", &[("PG0203", 21, 19)]),
    ("tls is a mapping", "every: 5m", "tls: yes", &[("PG0107", 21, 10)]),
    ("tls without ca", "every: 5m", "tls: { min_version: 1.3 }", &[("PG0110", 21, 10)]),
    ("unknown tls key", "every: 5m", "tls: { cert: /a }", &[("PG0106", 21, 12)]),
    ("tls version", "every: 5m", "tls: { ca: /a, min_version: 1.1 }", &[("PG0203", 21, 33)]),
    ("certificate without key", "every: 5m", "tls: { ca: /a, certificate: /b }", &[("PG0316", 21, 33)]),
    ("path from nowhere", "every: 5m", "tls: { ca: a.pem }", &[("PG0219", 21, 16)]),
    ("name with a space", "every: 5m", "tls: { ca: /a, server_name: a b }", &[("PG0220", 21, 33)]),
    ("interface over 15 bytes", "eth0", "abcdefghijklmnop", &[("PG0204", 3, 14)]),
    ("interface with a slash", "eth0", "eth/0", &[("PG0204", 3, 14)]),
    ("interface with a space", "eth0", "eth 0", &[("PG0204", 3, 14)]),
    ("no address", "10.30.0.0/23", "10.300.0.0/23", &[("PG0205", 14, 15)]),
    ("mask", "10.30.0.0/23", "10.30.0.0/255.255.254.0", &[("PG0205", 14, 15)]),
    ("leading zero", "10.30.0.0/23", "10.30.0.0/023", &[("PG0205", 14, 15)]),
    ("no more is told of what was not understood", "10.20.0.0/24", "ct.example.org", &[("PG0208", 10, 15)]),
    ("/33", "10.30.0.0/23", "10.30.0.0/33", &[("PG0206", 14, 15)]),
    ("/129", "2001:db8:20::/64", "2001:db8:20::/129", &[("PG0206", 10, 29)]),
    ("/999999", "10.30.0.0/23", "10.30.0.0/99999999999", &[("PG0206", 14, 15)]),
    ("host bits", "10.30.0.0/23", "10.30.0.1/23", &[("PG0207", 14, 15)]),
    ("host bits in addresses", "mode: audit", "addresses: [10.0.0.1/8]", &[("PG0207", 7, 37)]),
    ("DNS name as source", "10.30.0.0/23", "viewer.example.org", &[("PG0208", 14, 15)]),
    ("DNS name as peer", "10.20.0.11", "ct1", &[("PG0208", 18, 14)]),
    ("IPv4-mapped prefix", "2001:db8:20::/64", "::ffff:0:0/96", &[("PG0209", 10, 29)]),
    ("IPv4-mapped address", "2001:db8:20::/64", "::ffff:10.0.0.1", &[("PG0209", 10, 29)]),
    ("IPv4-mapped peer", "10.20.0.11", "::ffff:10.20.0.11", &[("PG0209", 18, 14)]),
    ("peer's address", "10.20.0.11", "10.20.0", &[("PG0210", 18, 14)]),
    ("port 0", "8042", "0", &[("PG0211", 7, 18)]),
    ("port 65536", "8042", "65536", &[("PG0211", 7, 18)]),
    ("port by name", "8042", "dicom", &[("PG0211", 7, 18)]),
    ("octal port", "8042", "0104", &[("PG0211", 7, 18)]),
    ("peer's port", "port: 104", "port: 104-105", &[("PG0211", 19, 11)]),
    ("reversed range", "8042", "4010-4000", &[("PG0212", 7, 18)]),
    ("AE title of 17", "ae_title: CT1", "ae_title: ABCDEFGHIJKLMNOPQ", &[("PG0213", 20, 15)]),
    ("empty AE title", "ae_title: CT1", "ae_title: '  '", &[("PG0213", 20, 15)]),
    ("AE title with a backslash", "ae_title: CT1", r"ae_title: A\B", &[("PG0213", 20, 15)]),
    ("AE title with a control", "ae_title: CT1", r#"ae_title: "A\x1b""#, &[("PG0213", 20, 15)]),
    ("interval", "every: 5m", "every: 5 minutes", &[("PG0214", 21, 12)]),
    ("interval under 10 s", "every: 5m", "every: 9s", &[("PG0215", 21, 12)]),
    ("ESC", "    services: [web]", "    services: [web]\n    description: \"\\e[2J\"", &[("PG0216", 16, 18)]),
    ("interface twice", "[eth0]", "[eth0, eth0]", &[("PG0301", 3, 20)]),
    ("service twice in a segment", "[web]", "[web, web]", &[("PG0301", 15, 21)]),
    ("port in two services", "8042", "11112", &[("PG0303", 7, 18)]),
    ("range over a port", "8042", "11000-12000", &[("PG0303", 7, 18)]),
    ("port twice in one service", "8042", "8042, 8042", &[("PG0303", 7, 24)]),
    ("SSH", "8042", "22", &[("PG0304", 7, 18)]),
    ("SSH in a range", "8042", "1-80", &[("PG0304", 7, 18)]),
    ("unknown service", "services: [web]", "services: [wbe]", &[("PG0305", 15, 16)]),
    ("enforced and granted to nobody", "services: [dicom]", "services: [web]", &[("PG0306", 6, 3)]),
    ("no ports", "ports: [8042]", "ports: []", &[("PG0307", 7, 3)]),
    ("no sources", "    sources: [10.30.0.0/23]\n", "", &[("PG0307", 13, 3)]),
    ("no services", "    services: [web]\n", "", &[("PG0307", 13, 3), ("PG0904", 7, 3)]),
    ("except outside", "10.20.0.66", "10.21.0.66", &[("PG0308", 11, 14)]),
    ("except partly outside", "10.20.0.66", "10.20.0.0/23", &[("PG0308", 11, 14), ("PG0309", 18, 14)]),
    ("peer outside", "10.20.0.11", "10.99.0.11", &[("PG0309", 18, 14)]),
    ("peer in an except", "10.20.0.11", "10.20.0.66", &[("PG0309", 18, 14)]),
    ("prefix twice in a segment", "[10.30.0.0/23]", "[10.30.0.0/23, 10.30.0.0/23]", &[("PG0901", 14, 29)]),
    ("prefix in two segments", "10.30.0.0/23", "10.20.0.0/24", &[("PG0901", 14, 15)]),
    ("everyone, enforced", "\"2001:db8:20::/64\"", "0.0.0.0/0", &[("PG0902", 10, 29)]),
    ("everyone by IPv6", "2001:db8:20::/64", "::/0", &[("PG0902", 10, 29)]),
    ("hidden", "[10.30.0.0/23]", "[10.30.0.0/23]\n    except: [10.30.0.0/23]", &[("PG0903", 13, 3)]),
    ("audited and granted to nobody", "services: [web]", "services: [dicom]", &[("PG0904", 7, 3)]),
];

#[test]
fn every_rule_is_found_where_it_is_broken() {
    let mut wrong = vec![];
    for (case, from, to, expected) in RED {
        let found = found(changed(from, to));
        if found != *expected {
            wrong.push(format!("{case}: {found:?} and not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_right_is_found_fine() {
    let rows = [
        ("BOM", "version: 1", "\u{feff}version: 1"),
        ("document start", "version: 1", "---\nversion: 1"),
        ("CRLF", "mode: enforce\n", "mode: enforce\r\n"),
        ("tab after the indentation", "port: 104\n", "port: 104\t# why\n"),
        ("no interfaces", "interfaces: [eth0]\n", ""),
        ("no peers", "    every: 5m\n", ""),
        ("15 bytes of interface", "eth0", "abcdefghijklmno"),
        ("bare IPv6 address", "2001:db8:20::/64", "2001:db8:20::1"),
        ("all of IPv4, audited", "10.30.0.0/23", "0.0.0.0/0"),
        ("range", "8042", "4000-4010"),
        ("quoted range", "8042", "\"4000-4010\""),
        ("same port of UDP", "8042]", "11112], transport: udp"),
        ("UDP 22", "8042]", "22], transport: udp"),
        ("SSH on purpose", "[8042], mode: audit }", "[22], mode: audit }\nallow_management_port: true"),
        ("AE title of 16", "ae_title: CT1", "ae_title: ABCDEFGHIJKLMNOP"),
        ("10 s", "every: 5m", "every: 10s"),
        ("alias", "    services: [web]", "    services: [web]\n    mode: &m audit\n    description: *m"),
        ("do not probe", "every: 5m", "do_not_probe: true"),
        (
            "except over two sources",
            "[10.30.0.0/23]",
            "[10.30.0.0/24, 10.30.1.0/24, 10.30.9.9]\n    except: [10.30.0.0/23]",
        ),
        (
            "except in the wider of two sources",
            "[10.30.0.0/23]",
            "[10.30.0.0/23, 10.30.0.128/25]\n    except: [10.30.1.7]",
        ),
        (
            "description",
            "    services: [web]",
            "    services: [web]\n    description: |\n      Two\n      lines, ü",
        ),
    ];
    for (case, from, to) in rows {
        assert_eq!(found(changed(from, to)), [], "{case}");
    }
}

#[test]
fn all_mistakes_are_found_at_once_in_the_order_of_the_file() {
    let text = BASE
        .replace("version: 1", "version: 3")
        .replace("eth0", "e/0")
        .replace("mode: enforce", "mode: off")
        .replace("8042", "99999")
        .replace("10.30.0.0/23", "10.30.0.9/23")
        .replace("fragment: drop", "fragment: dorp");
    let expected = [
        ("PG0201", 1, 10),
        ("PG0204", 3, 14),
        ("PG0203", 4, 7),
        ("PG0211", 7, 18),
        ("PG0207", 14, 15),
        ("PG0203", 22, 23),
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn mistakes_of_shape_are_found_at_once_and_with_the_others() {
    let text = BASE
        .replace("interfaces: [eth0]", "interface: [eth0]\ninterfaces: eth0\nname: again")
        .replace("mode: enforce", "mode:")
        .replace("{ ports: [8042], mode: audit }", "{ ports: 8042, modes: audit, mode: off }")
        .replace("sources: [10.30.0.0/23]", "source: [10.30.0.0/23]\n    source: {}\n    except: { a: b }")
        .replace("services: [web]", "services:")
        .replace("every: 5m", "port: 104")
        .replace("unparsed: { fragment: drop }", "unparsed: [fragment]");
    let expected = [
        ("PG0106", 3, 1),
        ("PG0107", 4, 13),
        ("PG0105", 5, 1),
        ("PG0108", 6, 5),
        ("PG0107", 9, 17),
        ("PG0106", 9, 23),
        ("PG0203", 9, 43),
        ("PG0106", 16, 5),
        ("PG0106", 17, 5),
        ("PG0107", 18, 13),
        ("PG0108", 19, 13),
        ("PG0105", 25, 5),
        ("PG0107", 26, 11),
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn what_may_be_misspelt_is_not_missed_as_well() {
    let rows = [
        ("services:\n  dicom", "service:\n  dicom", ("PG0106", 5, 1)),
        ("segments:", "segment:", ("PG0106", 8, 1)),
        ("    sources: [10.20", "    source: [10.20", ("PG0106", 10, 5)),
        ("    services: [dicom]", "    service: [dicom]", ("PG0106", 12, 5)),
        ("    address:", "    adress:", ("PG0106", 18, 5)),
        ("  web: { ports: [8042], mode: audit }", "  web: [8042]", ("PG0107", 7, 8)),
    ];
    for (from, to, only) in rows {
        assert_eq!(found(changed(from, to)), [only], "{to}");
    }
}

#[test]
fn hints_name_what_was_likely_meant() {
    let rows = [
        ("interfaces:", "interface:", "did you mean `interfaces`?"),
        ("10.20.0.0/24", "10.20.0.5/24", "did you mean 10.20.0.0/24, or 10.20.0.5/32?"),
        ("10.30.0.0/23", "10.30.0.0/255.255.254.0", "a prefix takes a length and no mask: 10.30.0.0/23"),
        ("10.30.0.0/23", "010.030.0.0", "without leading zeros: 10.30.0.0"),
        ("2001:db8:20::/64", "::ffff:10.1.0.0/112", "did you mean 10.1.0.0/16?"),
        ("8042", "4010-4000", "did you mean 4000-4010?"),
        ("services: [web]", "services: [wbe]", "did you mean `web`?"),
        ("services: [web]", "services: [archive]", "known here: dicom, web"),
        ("fragment: drop", "fragment: dorp", "did you mean `drop`?"),
    ];
    for (from, to, hint) in rows {
        let rejected = judge(changed(from, to)).unwrap_err();
        assert_eq!(rejected.diagnostics[0].fault.hint().as_deref(), Some(hint), "{to}");
    }
}

/// Segments with these sources, each of which ends at a day of January.
fn ending(segments: impl Iterator<Item = (String, u32)>) -> String {
    let mut text = BASE.split_once("  modalities:").unwrap().0.to_owned();
    for (number, (source, day)) in segments.enumerate() {
        let until = format!("2100-01-{day:02}T00:00:00+01:00");
        text += &format!("  s{number}: {{ sources: [{source}], services: [dicom, web], until: {until} }}\n");
    }
    text
}

#[test]
fn seven_ends_over_one_source_are_the_most() {
    let nested = |number: u32| format!("10.0.0.0/{}", 9 + number);
    assert_eq!(found(ending((0..7).map(|number| (nested(number), 1 + number)))), []);
    assert_eq!(found(ending((0..8).map(|number| (nested(number), 1 + number)))), [("PG0315", 16, 19)]);
    // Segments that end together are one end, and those side by side are no concern of one source.
    assert_eq!(found(ending((0..14).map(|number| (nested(number), 1 + number % 7)))), []);
    assert_eq!(found(ending((0..20).map(|number| (format!("10.{number}.0.0/16"), 1 + number)))), []);
}

#[test]
fn an_end_is_one_moment_whatever_the_offset() {
    let until = |text: &str| {
        let policy =
            judge(changed("    services: [web]", &format!("    services: [web]\n    until: {text}")))
                .unwrap();
        policy.policy.segments[1].until.unwrap()
    };
    assert_eq!(until("2100-03-01T01:00:00+01:00"), until("2100-03-01T00:00:00Z"));
    assert_eq!(until("2100-03-01T00:00:00Z").as_second(), 4_107_542_400);
}

#[test]
fn no_segments_at_all_is_an_empty_allowlist() {
    let head = BASE.split_once("segments:").unwrap().0;
    assert_eq!(found(head), [("PG0306", 6, 3), ("PG0904", 7, 3)]);
}

#[test]
fn the_model_says_what_the_file_says() {
    let policy = judge(BASE).unwrap().policy;
    assert_eq!((policy.name.as_str(), policy.mode), ("base", Mode::Enforce));
    assert_eq!(policy.services[0].ports, [104..=104, 11112..=11112]);
    assert_eq!((policy.services[1].mode, policy.services[1].transport), (Some(Mode::Audit), Transport::Tcp));
    let segment = &policy.segments[0];
    assert_eq!((segment.name.as_str(), segment.services.as_slice()), ("modalities", [0].as_slice()));
    assert_eq!(segment.sources[0].prefix, "10.20.0.0/24".parse::<IpNet>().unwrap());
    assert_eq!(segment.sources[0].place.to_string(), "p.yaml:10:15");
    assert_eq!(segment.except[0].prefix, "10.20.0.66/32".parse::<IpNet>().unwrap());
    let peer = &policy.peers[0];
    assert_eq!((peer.ae_title.as_str(), peer.calling_ae_title.as_str()), ("CT1", "PACSGUARD"));
    assert_eq!((peer.every, peer.do_not_probe), (Some(Duration::from_secs(300)), false));
    assert_eq!(policy.unparsed.get(&Cause::Fragment), Some(&UnparsedAction::Drop));
}
