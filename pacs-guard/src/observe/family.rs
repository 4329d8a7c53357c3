//! The families of metrics: name, meaning, and where each is read. `docs/metrics.md` is made from this table.

use jiff::Timestamp;
use pacs_guard_common::abi::{CounterId, MAX_INTERFACES};

use super::{Scrape, State};
use crate::{
    control::{ChangeResult, DaemonStatus},
    datapath::{BootTime, Counters, XdpMode},
    echo::{Phases, Standing},
    image::Card,
    web,
};

/// How a family behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

/// One series of a family, with its labels in the family's order.
pub(super) struct Row {
    pub(super) labels: Vec<String>,
    pub(super) number: Number,
}

/// Metrics of one name.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) read: fn(&Scrape) -> Vec<Row>,
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Scrape) -> Vec<Row>,
) -> Family {
    Family { name, kind: Kind::Gauge, labels, help, read }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Scrape) -> Vec<Row>,
) -> Family {
    Family { name, kind: Kind::Counter, labels, help, read }
}

/// Every family, in the order of the page.
pub(super) const FAMILIES: &[Family] = &[
    gauge(
        "pacs_guard_build_info",
        &["version"],
        "1, with the version of the program that wrote this page.",
        |_| vec![row([env!("CARGO_PKG_VERSION")], 1)],
    ),
    gauge(
        "pacs_guard_enforcing",
        &[],
        "1 where refusals drop, all or some of them; 0 in audit mode, during a bypass, and where nothing is judged.",
        |scrape| {
            let enforcing = matches!(scrape.reading.state, State::Enforcing | State::PartlyAudit);
            one(Some(u64::from(enforcing)))
        },
    ),
    gauge(
        "pacs_guard_state",
        &["state"],
        "1 for the word at the head of `pacs-guard status`, 0 for the others.",
        |scrape| {
            let is = |state| u64::from(state == scrape.reading.state);
            State::ALL.iter().map(|state| row([state.name()], is(*state))).collect()
        },
    ),
    gauge(
        "pacs_guard_policy_info",
        &["policy", "sha256"],
        "1, with the name and the hash of the policy in force.",
        |scrape| of_card(scrape, |card| row([&card.policy, &card.sha256], 1)),
    ),
    gauge(
        "pacs_guard_policy_generation",
        &[],
        "The number of the generation in force; each change of the policy takes the next one.",
        |scrape| one(scrape.reading.outline.as_ref().and_then(|outline| outline.generation())),
    ),
    gauge(
        "pacs_guard_policy_loaded_timestamp_seconds",
        &[],
        "When the policy in force was compiled, in seconds since 1970.",
        |scrape| of_card(scrape, |card| real([], card.loaded.as_duration().as_secs_f64())),
    ),
    gauge(
        "pacs_guard_policy_ends_timestamp_seconds",
        &[],
        "When the policy in force ends by itself (`apply --confirm`, `bypass`); absent where it does not.",
        |scrape| {
            let until = scrape.reading.outline.as_ref().and_then(|outline| outline.until);
            let until = until.map(BootTime::to_timestamp);
            until.map(|until| real([], until.as_duration().as_secs_f64())).into_iter().collect()
        },
    ),
    gauge("pacs_guard_policy_services", &[], "Services in the policy in force.", |scrape| {
        of_card(scrape, |card| row([""; 0], card.services as u64))
    }),
    gauge("pacs_guard_policy_segments", &[], "Segments in the policy in force.", |scrape| {
        of_card(scrape, |card| row([""; 0], card.segments as u64))
    }),
    gauge("pacs_guard_policy_sources", &[], "Source prefixes in the policy in force.", |scrape| {
        of_card(scrape, |card| row([""; 0], card.sources as u64))
    }),
    gauge(
        "pacs_guard_policy_size_bytes",
        &[],
        "Kernel memory that the generation in force takes.",
        |scrape| one(scrape.reading.outline.as_ref().map(|outline| outline.bytes)),
    ),
    gauge(
        "pacs_guard_interface_guarded",
        &["interface"],
        "1 where the program is on the interface, 0 where it was and is no more.",
        |scrape| {
            let guarded = scrape.reading.interfaces.iter();
            guarded.map(|found| row([&found.name], u64::from(found.attached))).collect()
        },
    ),
    gauge(
        "pacs_guard_interface_xdp_mode",
        &["interface", "mode"],
        "1, with the XDP mode in force: `native`, `generic` (slow) or `offloaded`.",
        |scrape| {
            let guarded = scrape.reading.interfaces.iter().filter(|found| found.attached);
            let mode = |mode: Option<XdpMode>| mode.map_or("none", XdpMode::name).to_owned();
            guarded.map(|found| row([found.name.clone(), mode(found.mode)], 1)).collect()
        },
    ),
    gauge(
        "pacs_guard_uncovered_interfaces",
        &[],
        "Interfaces by which a protected service answers and on which nothing is judged; `pacs-guard status` names them.",
        |scrape| one(Some(scrape.reading.uncovered.len() as u64)),
    ),
    counter(
        "pacs_guard_packets_total",
        &["verdict", "reason", "segment", "service"],
        "Packets that the program saw, each booked exactly once; a label is empty where the packet has none.",
        |scrape| {
            let entries = scrape.reading.counters.iter().flat_map(Counters::entries);
            let name = |name: &Option<std::sync::Arc<str>>| name.as_deref().unwrap_or_default().to_owned();
            let labels = |booking: &crate::image::Booking| {
                let (verdict, reason) = (booking.verdict.name().to_owned(), booking.reason.name().to_owned());
                [verdict, reason, name(&booking.segment), name(&booking.service)]
            };
            entries.map(|(_, booking, packets)| row(labels(&booking), packets)).collect()
        },
    ),
    counter(
        "pacs_guard_events_suppressed_total",
        &[],
        "Refused packets that sent no event, for the second's budget was spent. They are counted as packets.",
        |scrape| of_counter(scrape, CounterId::EVENTS_SUPPRESSED),
    ),
    counter(
        "pacs_guard_events_lost_total",
        &[],
        "Refused packets whose event found the ring full. They are counted as packets.",
        |scrape| of_counter(scrape, CounterId::EVENTS_LOST),
    ),
    counter(
        "pacs_guard_resets_sent_total",
        &[],
        "Refused connections that were answered with a TCP RST.",
        |scrape| of_counter(scrape, CounterId::RESETS_SENT),
    ),
    counter(
        "pacs_guard_resets_suppressed_total",
        &[],
        "Refused connections that were to be answered, had the second's budget of resets not been spent.",
        |scrape| of_counter(scrape, CounterId::RESETS_SUPPRESSED),
    ),
    gauge(
        "pacs_guard_map_entries",
        &["map"],
        "Entries in use of a kernel map that can run full: `ledger` (counters), `links` (interfaces).",
        |scrape| {
            let Some(counters) = &scrape.reading.counters else { return Vec::new() };
            let links = scrape.reading.interfaces.len() as u64;
            vec![row(["ledger"], counters.ledger().len() as u64), row(["links"], links)]
        },
    ),
    gauge("pacs_guard_map_capacity", &["map"], "Entries that such a map has room for.", |scrape| {
        if scrape.reading.counters.is_none() {
            return Vec::new();
        }
        let ledger = CounterId::END.number() - CounterId::FIRST_BOOKED.number();
        vec![row(["ledger"], ledger.into()), row(["links"], MAX_INTERFACES.into())]
    }),
    gauge(
        "pacs_guard_daemon_up",
        &[],
        "1 where the daemon's own loop answered; the families below are absent where it did not.",
        |scrape| one(Some(u64::from(scrape.daemon.is_some()))),
    ),
    gauge(
        "pacs_guard_daemon_start_timestamp_seconds",
        &[],
        "When the daemon started, in seconds since 1970.",
        |scrape| of_daemon(scrape, |daemon| vec![real([], daemon.started.as_duration().as_secs_f64())]),
    ),
    gauge(
        "pacs_guard_policy_file_differs",
        &[],
        "1 where the configured policy file is not what is in force, or can't be read.",
        |scrape| of_daemon(scrape, |daemon| one(Some(u64::from(daemon.file_differs.unwrap_or(true))))),
    ),
    counter(
        "pacs_guard_journal_left_out_total",
        &[],
        "Events without an entry in the journal: over its budget of 100 a second, or journald did not take them. Absent \
         where systemd does not run the daemon.",
        |scrape| of_daemon(scrape, |daemon| one(daemon.journal_left_out)),
    ),
    counter(
        "pacs_guard_policy_changes_total",
        &["change", "result"],
        "Changes since the daemon started, such as `reload`, by their result: `loaded`, `invalid` or `failed`. \
         Absent until the first one.",
        |scrape| {
            of_daemon(scrape, |daemon| {
                let changes = daemon.tally.changes.iter();
                let row = |change, (result, times): (&String, &u64)| row([change, result], *times);
                changes
                    .flat_map(|(change, results)| results.iter().map(move |one| row(change, one)))
                    .collect()
            })
        },
    ),
    gauge(
        "pacs_guard_policy_last_change_success",
        &[],
        "1 where the last change was put in force, or none was asked for yet; 0 where the old policy had to stay.",
        |scrape| {
            of_daemon(scrape, |daemon| {
                let result = daemon.last_change.as_ref().map(|report| &report.result);
                one(Some(u64::from(matches!(result, None | Some(ChangeResult::Loaded { .. })))))
            })
        },
    ),
    gauge(
        "pacs_guard_policy_problems",
        &[],
        "What the last change wanted and could not be done, such as an interface that was not there.",
        |scrape| {
            of_daemon(scrape, |daemon| {
                let result = daemon.last_change.as_ref().map(|report| &report.result);
                one(Some(match result {
                    Some(ChangeResult::Loaded { problems, .. }) => problems.len() as u64,
                    _ => 0,
                }))
            })
        },
    ),
    gauge(
        "pacs_guard_echo_success",
        &["peer"],
        "1 where the peer answered C-ECHO the last time that it was asked. It proves reachability, not identity.",
        |scrape| {
            of_peers(scrape, |peer| {
                peer.answers.map(|answers| row([&peer.peer], u64::from(answers))).into_iter().collect()
            })
        },
    ),
    gauge(
        "pacs_guard_echo_timestamp_seconds",
        &["peer"],
        "When the peer was asked last, in seconds since 1970.",
        |scrape| of_peers(scrape, |peer| when(peer, peer.asked_last)),
    ),
    gauge(
        "pacs_guard_echo_last_success_timestamp_seconds",
        &["peer"],
        "When the peer answered last, in seconds since 1970; absent where it has not since the daemon started.",
        |scrape| of_peers(scrape, |peer| when(peer, peer.last_success)),
    ),
    gauge(
        "pacs_guard_echo_duration_seconds",
        &["peer", "phase"],
        "How long the last C-ECHO took, by phase: `connect` (TCP), `tls`, `associate`, `echo`; absent where it was not \
         reached.",
        |scrape| {
            of_peers(scrape, |peer| {
                let Phases { connect_us, tls_us, associate_us, echo_us } = peer.phases;
                let phases = [
                    ("connect", connect_us),
                    ("tls", tls_us),
                    ("associate", associate_us),
                    ("echo", echo_us),
                ];
                let took =
                    |(phase, us): (&str, Option<u64>)| Some(real([&peer.peer, phase], us? as f64 / 1e6));
                phases.into_iter().filter_map(took).collect()
            })
        },
    ),
    counter(
        "pacs_guard_echo_total",
        &["peer", "outcome"],
        "C-ECHOs since the daemon started: `answered`, or the kind of failure, such as `refused` or `no-answer`.",
        |scrape| {
            of_peers(scrape, |peer| {
                peer.outcomes.iter().map(|(outcome, times)| row([&peer.peer, outcome], *times)).collect()
            })
        },
    ),
    gauge(
        "pacs_guard_echo_certificate_expiry_timestamp_seconds",
        &["peer"],
        "When the certificate ends that the peer showed last, in seconds since 1970; absent where it showed none.",
        |scrape| of_peers(scrape, |peer| when(peer, peer.certificate_expires)),
    ),
    gauge(
        "pacs_guard_echo_drift",
        &["peer"],
        "Things that the peer says of itself and its baseline does not, such as its implementation or certificate.",
        |scrape| of_peers(scrape, |peer| vec![row([&peer.peer], peer.drift.len() as u64)]),
    ),
    gauge(
        "pacs_guard_web_certificate_expiry_timestamp_seconds",
        &[],
        "When the certificate of the status page ends, in seconds since 1970; absent where it is served in clear.",
        |scrape| {
            let ends =
                |web: &web::Standing| Some(real([], web.certificate_expires?.as_duration().as_secs_f64()));
            of_daemon(scrape, |daemon| daemon.web.as_ref().and_then(ends).into_iter().collect())
        },
    ),
    counter(
        "pacs_guard_web_tokens_refused_total",
        &[],
        "Tokens shown to the status page since the daemon started that were wrong, or came too fast after wrong ones.",
        |scrape| of_daemon(scrape, |daemon| one(daemon.web.as_ref().map(|web| web.refused_tokens))),
    ),
];

fn row<const N: usize>(labels: [impl Into<String>; N], number: u64) -> Row {
    Row { labels: labels.map(Into::into).into(), number: Number::Whole(number) }
}

fn real<const N: usize>(labels: [&str; N], number: f64) -> Row {
    Row { labels: labels.map(Into::into).into(), number: Number::Real(number) }
}

fn one(number: Option<u64>) -> Vec<Row> {
    number.map(|number| row([""; 0], number)).into_iter().collect()
}

fn of_card(scrape: &Scrape, read: impl Fn(&Card) -> Row) -> Vec<Row> {
    scrape.reading.card.as_ref().map(read).into_iter().collect()
}

fn of_counter(scrape: &Scrape, counter: CounterId) -> Vec<Row> {
    one(scrape.reading.counters.as_ref().map(|counters| counters.packets(counter)))
}

fn of_daemon(scrape: &Scrape, read: impl Fn(&DaemonStatus) -> Vec<Row>) -> Vec<Row> {
    scrape.daemon.as_ref().map(read).unwrap_or_default()
}

fn of_peers(scrape: &Scrape, read: impl Fn(&Standing) -> Vec<Row>) -> Vec<Row> {
    of_daemon(scrape, |daemon| daemon.peers.iter().flat_map(&read).collect())
}

fn when(peer: &Standing, time: Option<Timestamp>) -> Vec<Row> {
    time.map(|time| real([&peer.peer], time.as_duration().as_secs_f64())).into_iter().collect()
}
