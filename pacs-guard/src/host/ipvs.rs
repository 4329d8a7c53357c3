//! IPVS, the kernel's load balancer: its virtual services and where they lead, from /proc/net/ip_vs.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
};

use super::Translation;

/// The virtual services that lead to another port; none where the kernel runs no IPVS.
pub(super) fn translations() -> io::Result<Vec<Translation>> {
    match fs::read_to_string("/proc/net/ip_vs") {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        text => Ok(parse(&text?)),
    }
}

/// A service such as `TCP  0A000001:0450 wlc` is followed by lines such as `  -> 0A000002:0068 Masq 1 0 0`.
fn parse(text: &str) -> Vec<Translation> {
    let mut found = Vec::new();
    let mut service = None;
    for line in text.lines() {
        match *line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["TCP", local, ..] => service = end(local),
            ["->", remote, ..] => {
                if let (Some((_, from)), Some((address, to))) = (service, end(remote))
                    && from != to
                {
                    found.push(Translation {
                        rule: "IPVS".to_owned(),
                        from: vec![from..=from],
                        to: Some(to..=to),
                        address: Some(address),
                    });
                }
            }
            _ => service = None,
        }
    }
    found
}

/// An address and a port in hex, such as `0A000002:0068` or `[fd00:0000:…:0001]:0068`.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let address = match address.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse().ok()?,
        None => Ipv4Addr::from_bits(u32::from_str_radix(address, 16).ok()?).into(),
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_as_the_kernel_writes_them() {
        let text = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A000001:0450 wlc
  -> 0A000002:0068      Masq    1      0          0
UDP  0A000001:0450 wlc
  -> 0A000002:0068      Masq    1      0          0
TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:0450 rr
  -> [fd00:0000:0000:0000:0000:0000:0000:0002]:0068      Route   1      0          0
  -> [fd00:0000:0000:0000:0000:0000:0000:0003]:0450      Route   1      0          0
";
        let found = parse(text);
        let ends: Vec<_> =
            found.iter().map(|found| found.address.map(|address| address.to_string())).collect();
        assert_eq!(ends, [Some("10.0.0.2".to_owned()), Some("fd00::2".to_owned())]);
        assert!(found.iter().all(|found| found.from == [1104..=1104] && found.to == Some(104..=104)));
    }
}
