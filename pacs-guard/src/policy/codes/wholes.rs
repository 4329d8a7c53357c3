//! PG0300 to PG0999: what only the whole policy shows, and warnings.

use super::{Entry, Example, Fault, piece, repaired};

const fn part(code: &'static str, wrong: &'static str, right: &'static str, meaning: &'static str) -> Entry {
    Entry { code, meaning, example: Example::Part { wrong, right } }
}

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    piece("PG0301", "[eth0]", "[eth0, eth0]",
        "The name is in the list, or among the peers, a second time. One of the two was likely meant to be another."),
    piece("PG0302", "8042", "1001, 1003, 1005, 1007, 1009, 1011, 1013, 1015, 1017, 1019, 1021, 1023, 1025, 1027, 1029, 1031, 1033",
        "The kernel's tables have room for 64 services with 16 ports or ranges each, 4,096 segments and 4,096 peers. \
         Join neighbouring ports to ranges, and segments with equal grants to one."),
    piece("PG0303", "8042", "11112",
        "A packet to a port belongs to one service, or its counters and its mode would be anyone's guess."),
    repaired("PG0304", "web: { ports: [8042], mode: audit }", "web: { ports: [22], mode: audit }",
        "web: { ports: [22], mode: audit }\nallow_management_port: true",
        "A policy that protects SSH can lock its own author out. If that is what you want, say so at the top."),
    piece("PG0305", "services: [web]", "services: [wbe]",
        "A segment grants services that are declared under `services`, in this file or in another of the policy."),
    piece("PG0306", "services: [dicom]", "services: [web]",
        "The service is enforced and nobody may reach it. If all access to it shall end, stop the service instead; \
         otherwise name it under `services` of a segment."),
    piece("PG0307", "[8042]", "[]",
        "A service without ports protects nothing; a segment without sources or services grants nothing. An empty \
         list is a line left unfinished."),
    piece("PG0308", "10.20.0.66", "10.21.0.66",
        "An exception carves addresses out of the sources of its own segment. Outside them it does nothing, so it is \
         likely a slip of a digit, and the address that was meant is still let in."),
    piece("PG0309", "10.20.0.11", "10.99.0.11",
        "A peer is a system that works with this archive, so its own traffic has to be let in. This one would be \
         refused."),
    repaired("PG0310", "mode: audit }", "on_refuse: reset }", "on_refuse: reset, reset_to: [10.0.0.0/8] }",
        "An answer tells a scanner that somebody is there, so resets go to named networks only: your own."),
    repaired("PG0311", "mode: audit }", "reset_to: [10.0.0.0/8] }", "on_refuse: reset, reset_to: [10.0.0.0/8] }",
        "`reset_to` names who is answered by a reset. Without `on_refuse: reset` nobody is."),
    repaired("PG0312", "mode: audit }", "transport: udp, on_refuse: reset, reset_to: [10.0.0.0/8] }",
        "on_refuse: reset, reset_to: [10.0.0.0/8] }",
        "A reset is a TCP segment. A refused UDP packet is dropped in silence."),
    part("PG0313",
        "version: 1\nsegments:\n  viewers:\n    sources: [10.40.0.0/28]\n    services: [web]\n",
        "version: 1\nsegments:\n  more-viewers:\n    sources: [10.40.0.0/28]\n    services: [web]\n",
        "Services and segments of all files add up, and each name is declared once. Two files that share a name \
         would have to be read together to know what it grants."),
    part("PG0314", "version: 1\nmode: audit\n", "version: 1\nmode: enforce\n",
        "What the policy says once (its name, its mode, what is done with packets that can't be parsed) may be in one \
         file only, or in several alike. Neither file is stronger than the other."),
    repaired("PG0315", "    services: [web]",
        "    services: [web]
    until: 2100-01-01T00:00:00Z
  two: { sources: [10.30.0.0/23], services: [web], until: 2100-01-02T00:00:00Z }
  three: { sources: [10.30.0.0/23], services: [web], until: 2100-01-03T00:00:00Z }
  four: { sources: [10.30.0.0/23], services: [web], until: 2100-01-04T00:00:00Z }
  five: { sources: [10.30.0.0/23], services: [web], until: 2100-01-05T00:00:00Z }
  six: { sources: [10.30.0.0/23], services: [web], until: 2100-01-06T00:00:00Z }
  seven: { sources: [10.30.0.0/23], services: [web], until: 2100-01-07T00:00:00Z }
  eight: { sources: [10.30.0.0/23], services: [web], until: 2100-01-08T00:00:00Z }",
        "    services: [web]
    until: 2100-01-08T00:00:00Z",
        "Each end is one more step for the kernel with each packet, so their number is bounded. Sources in one segment, or \
         in several that end together, take one step."),
    repaired("PG0316", "every: 5m", "tls: { ca: /etc/pacs-guard/tls/ca.pem, key: /etc/pacs-guard/tls/key.pem }",
        "tls: { ca: /etc/pacs-guard/tls/ca.pem, certificate: /etc/pacs-guard/tls/cert.pem, key: /etc/pacs-guard/tls/key.pem }",
        "A peer that asks who we are is shown a certificate, and a proof that we hold its private key. One without the \
         other proves nothing."),
    Entry {
        code: "PG0399",
        meaning: "The first 200 errors are shown. So many usually have one cause, such as a list of another format.",
        example: Example::File {
            file: "policy.yaml",
            fault: || Fault::MoreErrors { count: 800 },
            right: "pacs-guard check policy.yaml   # once more, when the first are repaired",
        },
    },

    piece("PG0901", "10.30.0.0/23", "10.20.0.0/24",
        "The prefix is a source of two segments, or twice of one. In two, their grants add up, and packets are booked \
         on one of them. That may be what you want: a device that both sends and views."),
    piece("PG0902", "10.20.0.0/24", "0.0.0.0/0",
        "The segment admits every address there is, and the service is enforced: this enforces nothing. To watch \
         first, set `mode: audit` instead."),
    piece("PG0903", "    services: [web]", "    except: [10.30.0.0/23]\n    services: [web]",
        "The exceptions carve out all that the sources let in. Nobody is in the segment."),
    piece("PG0904", "services: [web]", "services: [dicom]",
        "No segment grants the service. In audit mode that counts every packet to it as `would-drop`; once it \
         enforces, it is an error (PG0306)."),
    Entry {
        code: "PG0905",
        meaning: "Files in a folder count if their names end in `.yaml`. This one has a similar ending, so that \
                  somebody may believe that it counts.",
        example: Example::File {
            file: "policies.d/20-research.yml",
            fault: || Fault::LeftOut,
            right: "mv policies.d/20-research.yml policies.d/20-research.yaml",
        },
    },
    repaired("PG0906", "    services: [web]", "    services: [web]
    until: 2020-01-01T00:00:00Z",
        "    services: [web]
    until: 2100-01-01T00:00:00Z",
        "The segment's `until` has passed, so its sources are refused like any others. What is left of it in the file \
         only misleads."),
    Entry {
        code: "PG0999",
        meaning: "The first 200 warnings are shown.",
        example: Example::File {
            file: "policy.yaml",
            fault: || Fault::MoreWarnings { count: 800 },
            right: "pacs-guard check policy.yaml   # once more, when the first are looked at",
        },
    },
];
