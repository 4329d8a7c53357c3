//! PG0200 to PG0299: single values.

use super::{Entry, piece, repaired};

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    piece("PG0201", "version: 1", "version: 2",
        "The version of the file format. A file that was written for another one may mean something else by the same \
         words, so it is not guessed at."),
    piece("PG0202", "  viewers:", "  Viewers and more:",
        "The names of policies, services and segments become labels of metrics: 1 to 63 lower-case letters, digits \
         and hyphens. The name of a peer may also have upper case, `_` and `.`."),
    piece("PG0203", "mode: enforce", "mode: enforced",
        "One of a few words is expected here, spelt as they are. `true` and `false` are the only flags: YAML's `yes` \
         and `on` are text to some readers."),
    piece("PG0204", "[eth0]", "[eth0:1]",
        "The kernel takes 1 to 15 bytes as the name of an interface. Aliases such as eth0:1 are not interfaces: name \
         eth0, which carries their traffic."),
    piece("PG0205", "10.30.0.0/23", "10.300.0.0/23",
        "A source is an address, or a prefix in CIDR notation: no range, no mask, and no leading zeros, which some \
         programs read as octal."),
    piece("PG0206", "10.30.0.0/23", "10.30.0.0/33",
        "An IPv4 address has 32 bits and an IPv6 address 128, so no prefix is longer. A single host is written \
         without a length."),
    piece("PG0207", "10.20.0.0/24", "10.20.0.5/24",
        "The address has bits set behind the prefix. Either the whole network is meant, or the one host: these differ \
         by hundreds of machines, so it is not guessed."),
    piece("PG0208", "10.30.0.0/23", "viewer.example.org",
        "Sources are judged in the kernel by address. A name would have to be looked up, and whoever can spoof the \
         answer would be let in."),
    piece("PG0209", "10.30.0.0/23", "\"::ffff:10.30.0.0/119\"",
        "A packet of an IPv4 host is IPv4 on the wire, so an IPv4-mapped prefix matches none. Write it as IPv4."),
    piece("PG0210", "10.20.0.11", "10.20.0",
        "A peer is one machine, so its address is one address, written in full."),
    piece("PG0211", "8042", "80420",
        "Ports are from 1 to 65535, in plain decimal. A range is written with a hyphen: 4000-4010."),
    piece("PG0212", "8042", "4010-4000",
        "A range of ports is written from its lowest to its highest."),
    piece("PG0213", "ae_title: CT1", "ae_title: THE-CT-OF-BUILDING-A",
        "An AE title is 1 to 16 characters of ASCII, without backslash and control characters (DICOM PS3.5 section \
         6.2, VR AE). Spaces around it carry no meaning."),
    piece("PG0214", "every: 5m", "every: 5 minutes",
        "An interval is a whole number and a unit, with no space between: s, m or h."),
    piece("PG0215", "every: 5m", "every: 1s",
        "Some devices handle one association at a time, so asking one more often than every 10 seconds could keep it \
         from its work. Less than once a week proves nothing."),
    piece("PG0216", "    services: [web]", "    services: [web]\n    description: \"\\e[2J\"",
        "Control characters in a description would act on the terminal of whoever reads it. Line breaks are fine."),
    repaired("PG0217", "    services: [web]", "    services: [web]\n    until: next March",
        "    services: [web]\n    until: 2100-03-01T00:00:00Z",
        "The end of a segment is one moment, as RFC 3339 writes it: date, `T`, time, and the offset from UTC."),
    repaired("PG0218", "    services: [web]", "    services: [web]\n    until: 2100-03-01T00:00:00",
        "    services: [web]\n    until: 2100-03-01T00:00:00+01:00",
        "The same date and time come at another moment in each time zone, and a server's own zone may be another than \
         its admin's. `Z` stands for UTC."),
    repaired("PG0219", "every: 5m", "tls: { ca: ca.pem }", "tls: { ca: /etc/pacs-guard/tls/ca.pem }",
        "The daemon and the command line start in different folders, so a path that begins nowhere would lead them to \
         different files."),
    repaired("PG0220", "every: 5m", "tls: { ca: /etc/pacs-guard/tls/ca.pem, server_name: \"CT 1\" }",
        "tls: { ca: /etc/pacs-guard/tls/ca.pem, server_name: ct1.example.org }",
        "The peer's certificate is asked whether it holds this name, as a DNS name or as an address. It is never \
         looked up."),
];
