//! Size: what has to fit fits, and what is meant to hurt is refused at once.

use std::{
    fmt::Write,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use super::{BASE, changed, found, judge};

#[test]
fn counts_are_limited_at_the_first_that_is_over() {
    let ports =
        |count: u32| changed("8042", &(1000..1000 + count).map(|p| format!("{p}, ")).collect::<String>());
    assert_eq!(found(ports(16)), []);
    assert_eq!(found(ports(17)), [("PG0302", 7, 18 + 16 * 6)]);

    let services = |count: u32| {
        let more: String = (2..count).map(|i| format!("  s{i}: {{ ports: [{}] }}\n", 2000 + i)).collect();
        let granted: String = (2..count).map(|i| format!(", s{i}")).collect();
        let text = changed("segments:\n", &format!("{more}segments:\n"));
        text.replace("services: [dicom]", &format!("services: [dicom{granted}]"))
    };
    assert_eq!(found(services(64)), []);
    assert!(found(services(65)).contains(&("PG0302", 5 + 65, 3)));

    let segments = |count: u32| {
        let more: String = (2..count)
            .map(|i| format!("  s{i}: {{ sources: [172.16.{}.{}], services: [web] }}\n", i >> 8, i & 255))
            .collect();
        changed("peers:\n", &format!("{more}peers:\n"))
    };
    assert_eq!(found(segments(4096)), []);
    assert_eq!(found(segments(4097)), [("PG0302", 15 + 4095, 3)]);

    let peers = |count: u32| {
        let peer = |i| format!("  - {{ name: p{i}, address: 10.20.0.11, port: 104, ae_title: A }}\n");
        changed("unparsed:", &((1..count).map(peer).collect::<String>() + "unparsed:"))
    };
    assert_eq!(found(peers(4096)), []);
    assert_eq!(found(peers(4097)), [("PG0302", 21 + 4096, 5)]);
}

#[test]
fn names_end_at_63_bytes() {
    let named = |length| changed("  viewers:", &format!("  {}:", "v".repeat(length)));
    assert_eq!(found(named(63)), []);
    assert_eq!(found(named(64)), [("PG0202", 13, 3)]);
}

#[test]
fn a_hundred_thousand_prefixes_fit() {
    let mut sources = String::new();
    for i in 0..100_000_u32 {
        writeln!(sources, "      - 172.{}.{}.{}", 16 + (i >> 16), i >> 8 & 255, i & 255).unwrap();
    }
    let checked = judge(changed(" [10.30.0.0/23]", &format!("\n{sources}"))).unwrap();
    assert_eq!(checked.policy.segments[1].sources.len(), 100_000);
    assert_eq!(checked.warnings, []);
}

#[test]
fn a_million_prefixes_fit_and_a_third_more_do_not() {
    let sources = |count: u32| {
        let list: String = (0..count).map(|i| format!("{}, ", Ipv4Addr::from(0xac00_0000 + i))).collect();
        changed("10.30.0.0/23", &list)
    };
    let checked = judge(sources(1_000_000)).unwrap();
    assert_eq!(checked.policy.segments[1].sources.len(), 1_000_000);
    assert_eq!(found(sources(1_333_333))[0].0, "PG0104");
}

#[test]
fn what_is_meant_to_hurt_is_refused_at_once() {
    let list = vec!["10.0.0.0/8"; 50_000].join(", ");
    let aliases = (0..64).map(|i| format!("  s{i}: {{ sources: *a }}\n")).collect::<String>();
    let nested: String =
        (1..20).map(|i| format!("  - &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(","))).collect();
    let rows = [
        ("alias bomb", format!("segments:\n  a: {{ sources: &a [{list}] }}\n{aliases}"), "PG0104"),
        ("nested alias bomb", format!("interfaces:\n  - &a0 [x]\n{nested}"), "PG0107"),
        ("flow levels", format!("interfaces: {}", "[".repeat(100_000)), "PG0104"),
        ("levels of keys", "? ".repeat(100_000), "PG0104"),
    ];
    for (case, text, code) in rows {
        let begin = Instant::now();
        let rejected = judge(text).unwrap_err();
        assert_eq!(rejected.diagnostics[0].code(), code, "{case}: {rejected}");
        // A debug build on a busy machine is slow; what explodes takes minutes.
        assert!(begin.elapsed() < Duration::from_secs(5), "{case}");
    }
}

#[test]
fn a_file_of_mistakes_gives_the_first_200_and_a_count() {
    let rejected = judge(changed("10.30.0.0/23", &vec!["10.0.0.1/8"; 1000].join(", "))).unwrap_err();
    assert_eq!(rejected.diagnostics.len(), 201);
    assert_eq!(rejected.diagnostics[200].message(), "800 more errors are not shown");
    assert!(rejected.to_string().ends_with(", and 200 more"), "{rejected}");
    assert!(BASE.len() < rejected.texts[0].text.len());
}
