//! Lines of AE title, host and port, separated by commas or semicolons.

use super::Entry;

/// Reads the peers; a first line without a port is a header, and `#` begins a comment.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let mut entries = Vec::new();
    let mut header = true;
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let cells: Vec<&str> =
            line.split([',', ';']).map(|cell| cell.trim().trim_matches('"').trim()).collect();
        let first = std::mem::take(&mut header);
        let [ae_title, host, port, ..] = cells[..] else {
            return Err((number, "AE title, host and port are expected: CT1,10.20.0.11,104".to_owned()));
        };
        if first && port.parse::<f64>().is_err() {
            continue;
        }
        entries.push(Entry::read(None, ae_title, host, port).map_err(|why| (number, why))?);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_a_header_and_either_separator() {
        for text in [
            "AE,Host,Port\nCT1,10.0.0.1,104\n",
            "\u{feff}ae;host;port\r\n\"CT1\";\"10.0.0.1\";\"104\"\r\n",
            "# ours\n\nCT1, 10.0.0.1 ,104,building A\n",
        ] {
            let entries = read(text).unwrap();
            assert_eq!(entries.len(), 1, "{text}");
            let Entry { ae_title, host, port, .. } = &entries[0];
            assert_eq!((ae_title.as_str(), host.as_str(), *port), ("CT1", "10.0.0.1", 104));
        }
    }

    #[test]
    fn mistakes_have_their_line() {
        let cases = [
            ("CT1,10.0.0.1,104\nCT2,10.0.0.2", 2, "are expected"),
            ("CT1,10.0.0.1,104\nCT2,10.0.0.2,99999", 2, "`99999` is not a port"),
            ("THE_CT_OF_BUILDING_A,10.0.0.1,104", 1, "over 16 characters"),
            ("CT1,10.0.0.1 x,104", 1, "neither an address nor a host name"),
            ("CT1,\u{1b}[2J,104", 1, "`\\u{1b}[2J` is neither"),
        ];
        for (text, line, words) in cases {
            let (at, why) = read(text).unwrap_err();
            assert_eq!(at, line, "{text}");
            assert!(why.contains(words), "{why}");
        }
    }
}
