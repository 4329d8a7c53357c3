//! Spans of time in words.

use std::time::Duration;

use jiff::Timestamp;

/// A span in its two largest units, such as `3 d 4 h`; what is smaller is left out.
pub fn words(span: Duration) -> String {
    two_units(span, " ")
}

/// The same, for columns: `3d 4h`.
pub fn short(span: Duration) -> String {
    two_units(span, "")
}

/// `gap` stands between a number and its unit.
fn two_units(span: Duration, gap: &str) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let first = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(3);
    let mut rest = seconds;
    let parts = units.iter().skip(first).take(2).filter_map(|(length, unit)| {
        let count = rest / length;
        rest %= length;
        (count > 0 || seconds == 0).then(|| format!("{count}{gap}{unit}"))
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// How long it is from now to a time of the wall clock: `in 3 d 4 h`, or `3 d 4 h ago`.
pub fn from_now(at: Timestamp) -> String {
    let away = at.duration_since(Timestamp::now());
    let span = words(away.unsigned_abs());
    if away.is_negative() { format!("{span} ago") } else { format!("in {span}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_told() {
        let rows = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 m"),
            (3 * 60 + 7, "3 m 7 s"),
            (3600 + 59, "1 h"),
            (3 * 86_400 + 4 * 3600 + 5 * 60, "3 d 4 h"),
            (86_400 + 60, "1 d"),
        ];
        for (seconds, expected) in rows {
            assert_eq!(words(Duration::from_secs(seconds)), expected, "{seconds} s");
        }
    }
}
