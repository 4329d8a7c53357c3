//! The HostTable of DCMTK's dcmqrscp.cfg (its dcmqrcnf.txt): `name = (AE title, host, port)`, and names of several.

use super::Entry;

/// Reads the hosts of the table; what else the file says is not looked at.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let mut entries = Vec::new();
    let mut inside = false;
    let mut met = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["HostTable", "BEGIN"] => (inside, met) = (true, true),
            ["HostTable", "END"] => inside = false,
            _ if !inside || line.is_empty() => {}
            _ => entries.extend(host(line).map_err(|why| (number, why))?),
        }
    }
    if inside || !met {
        return Err((
            text.lines().count().max(1),
            "`HostTable BEGIN` and `HostTable END` are expected".to_owned(),
        ));
    }
    Ok(entries)
}

/// One line: `None` where it only gives several hosts one name.
fn host(line: &str) -> Result<Option<Entry>, String> {
    const EXPECTED: &str = "a host is expected: ct1 = (CT1, 10.20.0.11, 104)";
    let (name, value) = line.split_once('=').ok_or(EXPECTED)?;
    let Some(inside) = value.trim().strip_prefix('(') else { return Ok(None) };
    let inside = inside.strip_suffix(')').ok_or(EXPECTED)?;
    let [ae_title, host, port] = inside.split(',').collect::<Vec<_>>()[..] else {
        return Err(EXPECTED.to_owned());
    };
    Entry::read(Some(name.trim()), ae_title, host, port).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "NetworkTCPPort = 104\n\nHostTable BEGIN\n# ours\nct1 = (CT1, 10.0.0.1, 104)   # CT\n\
                        ws  = (WS_1, ws1.example.org, 11112)\nall = ct1, ws\nHostTable END\n\
                        AETable BEGIN\nARCHIVE /db RW (9, 1024mb) ANY\nAETable END\n";

    #[test]
    fn hosts_are_read_and_groups_and_other_tables_are_not() {
        let entries = read(TEXT).unwrap();
        let titles: Vec<_> = entries.iter().map(|entry| (entry.ae_title.as_str(), entry.address())).collect();
        assert_eq!(titles, [("CT1", "10.0.0.1".parse().ok()), ("WS_1", None)]);
        assert_eq!(entries[1].name.as_deref(), Some("ws"));
    }

    #[test]
    fn mistakes_have_their_line() {
        for (from, to, line) in [
            ("(CT1, 10.0.0.1, 104)", "(CT1, 10.0.0.1)", 5),
            ("(CT1, 10.0.0.1, 104)", "(CT1, 10.0.0.1, 104", 5),
            ("11112", "0", 6),
            ("HostTable END", "", 9),
            ("HostTable BEGIN", "", 11),
        ] {
            assert_eq!(read(&TEXT.replace(from, to)).unwrap_err().0, line, "{to}");
        }
    }
}
