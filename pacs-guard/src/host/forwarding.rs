//! Whether this host forwards packets, and how much it trusts where they say they come from.

use super::setting;

/// Settings of ip-sysctl (Documentation/networking/ip-sysctl.rst of the kernel). A setting that can't be read, as
/// where there is no IPv6, is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// `net.ipv4.ip_forward`.
    pub ipv4: bool,
    /// `net.ipv6.conf.all.forwarding`.
    pub ipv6: bool,
    /// Interfaces that take packets with a source route: by the kernel's rule `conf.all` must say so too.
    pub source_routed: Vec<String>,
    /// Interfaces without reverse path filter: by the kernel's rule the greater of `conf.all` and theirs counts.
    pub unfiltered: Vec<String>,
}

impl Forwarding {
    /// Reads the settings of this network namespace, for the interfaces with these names.
    pub fn read<'a>(interfaces: impl Iterator<Item = &'a str> + Clone) -> Self {
        let named = |interfaces: &mut dyn Iterator<Item = &'a str>| interfaces.map(str::to_owned).collect();
        let all = |name: &str| number(&format!("ipv4/conf/all/{name}"));
        let own = |interface: &str, name: &str| number(&format!("ipv4/conf/{interface}/{name}"));
        let takes = |interface: &&str| own(interface, "accept_source_route") != 0;
        let unfiltered = |interface: &&str| own(interface, "rp_filter") == 0;
        Self {
            ipv4: number("ipv4/ip_forward") != 0,
            ipv6: number("ipv6/conf/all/forwarding") != 0,
            source_routed: match all("accept_source_route") {
                0 => Vec::new(),
                _ => named(&mut interfaces.clone().filter(takes)),
            },
            unfiltered: match all("rp_filter") {
                0 => named(&mut interfaces.clone().filter(unfiltered)),
                _ => Vec::new(),
            },
        }
    }
}

fn number(name: &str) -> i64 {
    setting(name).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
