//! The ports that this host gives to the connections that it opens: `ip_local_port_range` (ip(7)).

use std::ops::RangeInclusive;

use thiserror::Error;

use super::{HostError, setting};

/// The ports of outgoing connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPorts {
    /// Ports that are given out.
    pub range: RangeInclusive<u16>,
    /// Ports that are not, though they lie in the range.
    pub reserved: Vec<RangeInclusive<u16>>,
}

/// Why a list of ports is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no list of ports")]
pub struct ParsePortsError(String);

impl LocalPorts {
    /// Reads the settings of this network namespace.
    pub fn read() -> Result<Self, HostError> {
        const RANGE: &str = "ipv4/ip_local_port_range";
        const RESERVED: &str = "ipv4/ip_local_reserved_ports";
        let wrong = |name: &str, why| HostError::Ports { path: name.into(), why };
        let range = setting(RANGE)?;
        let (first, last) = range.trim().split_once(char::is_whitespace).unwrap_or_default();
        let range =
            parse_range(&format!("{}-{}", first.trim(), last.trim())).map_err(|why| wrong(RANGE, why))?;
        let reserved = parse_list(&setting(RESERVED)?).map_err(|why| wrong(RESERVED, why))?;
        Ok(Self { range, reserved })
    }

    /// Whether a port may be given to an outgoing connection.
    pub fn gives_out(&self, port: u16) -> bool {
        self.range.contains(&port) && !self.reserved.iter().any(|reserved| reserved.contains(&port))
    }
}

/// A list such as `104,11112-11114`, as the setting is written.
fn parse_list(text: &str) -> Result<Vec<RangeInclusive<u16>>, ParsePortsError> {
    text.trim().split(',').filter(|item| !item.is_empty()).map(parse_range).collect()
}

fn parse_range(text: &str) -> Result<RangeInclusive<u16>, ParsePortsError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => Ok(first..=last),
        _ => Err(ParsePortsError(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_list("\n"), Ok(vec![]));
        assert_eq!(parse_list("104,11112-11114\n"), Ok(vec![104..=104, 11112..=11114]));
        assert_eq!(parse_list("104,x"), Err(ParsePortsError("x".into())));
    }

    #[test]
    fn a_reserved_port_is_not_given_out() {
        let ports = LocalPorts { range: 32768..=60999, reserved: vec![40000..=40001] };
        let given: Vec<u16> = [104, 32767, 32768, 40000, 40001, 40002, 60999, 61000]
            .into_iter()
            .filter(|port| ports.gives_out(*port))
            .collect();
        assert_eq!(given, [32768, 40002, 60999]);
    }
}
