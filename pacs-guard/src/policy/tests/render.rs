//! What people and programs are shown.

use super::{changed, judge};
use crate::policy::parse;

#[test]
fn an_error_is_underlined_with_its_place_and_a_hint() {
    let rejected = judge(changed("10.20.0.0/24", "10.20.0.5/24")).unwrap_err();
    let expected = r#"error[PG0207]: 10.20.0.5/24 has host bits set
  --> p.yaml:10:15
   |
10 |     sources: [10.20.0.5/24, "2001:db8:20::/64"]
   |               ^^^^^^^^^^^^
   |
   = help: did you mean 10.20.0.0/24, or 10.20.0.5/32?

"#;
    assert_eq!(rejected.render(false), expected);
    assert_eq!(rejected.to_string(), "p.yaml:10:15: 10.20.0.5/24 has host bits set (PG0207)");
    assert!(rejected.render(true).contains("\u{1b}["));
}

#[test]
fn a_second_place_is_shown_too() {
    let shown = judge(changed("8042", "11112")).unwrap_err().render(false);
    assert!(shown.contains("TCP 11112 overlaps with what service `dicom` protects"), "{shown}");
    assert!(shown.contains(" ::: p.yaml:6:25"), "{shown}");
    assert!(shown.contains("----- first protected here"), "{shown}");
}

#[test]
fn json_holds_everything_that_people_see() {
    let rejected = judge(changed("8042", "11112")).unwrap_err();
    let json = serde_json::to_value(&rejected.diagnostics).unwrap();
    let expected = serde_json::json!([{
        "severity": "error", "code": "PG0303", "kind": "port-taken",
        "message": "TCP 11112 overlaps with what service `dicom` protects", "hint": null,
        "file": "p.yaml", "line": 7, "column": 18, "span": { "start": 115, "end": 120 },
        "second": {
            "label": "first protected here",
            "file": "p.yaml", "line": 6, "column": 25, "span": { "start": 89, "end": 94 },
        },
    }]);
    assert_eq!(json, expected);
}

#[test]
fn nothing_that_a_terminal_acts_on_is_passed_on() {
    let rows = [
        "name: \"\\e[2Jx\"",
        "name: \"\\u009b2Jx\"",
        "\u{1b}[2J: 1",
        "name: \u{9b}x",
        "name: 'a\rb'",
        "\u{7f}: 1",
    ];
    for row in rows {
        let rejected = parse("\u{1b}[2J.yaml".as_ref(), changed("name: base", row)).unwrap_err();
        let shown = rejected.render(false) + &rejected.to_string().replace("\u{1b}[2J.yaml", "");
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{row:?}: {shown:?}");
    }
}

#[test]
fn a_line_too_long_to_read_is_named_and_not_shown() {
    let long = format!("[10.30.0.1/23] # {}", "why ".repeat(2000));
    let shown = judge(changed("[10.30.0.0/23]", &long)).unwrap_err().render(false);
    assert!(shown.len() < 1000 && shown.contains("p.yaml:14:15"), "{shown}");
}
