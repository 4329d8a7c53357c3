//! The compiler: from a policy to an image.

use std::{collections::HashMap, sync::Arc};

use pacs_guard_common::{
    abi::{Cell, CounterId, HEADER, Header, Ruling, SUBTREE, ServiceCell},
    packet::Cause,
    verdict::{Reason, Verdict},
};
use thiserror::Error;

use super::{
    Booking, Card, Image, Ledger, LedgerFull,
    ranges::{Item, Range, Sets, Width, flatten},
    tree::{KeyRange, plant},
};
use crate::policy::model::{Mode, Policy, Service, Transport, UnparsedAction};

/// Why a policy has no image.
#[derive(Debug, Error)]
pub enum CompileError {
    /// More outcomes than counters.
    #[error(transparent)]
    Ledger(#[from] LedgerFull),
    /// Too many different sets of segments that hold one address.
    #[error(
        "the segments overlap too much: the sets of them that hold one address would name {} segments and more; nest \
         fewer prefixes of different segments in prefixes that many share",
        Sets::MOST
    )]
    Overlap,
    /// More tables than the numbers in an image can name.
    #[error("the policy is too large: its tables would take {0} cells of 64 bytes")]
    TooLarge(usize),
}

impl CompileError {
    /// The kebab-case label, for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ledger(_) => "ledger-full",
            Self::Overlap => "overlap",
            Self::TooLarge(_) => "too-large",
        }
    }
}

/// Compiles a policy to the image of one generation.
///
/// Outcomes that the ledger does not know yet are booked in it; the ones it knows keep their counters.
pub fn compile(
    policy: &Policy,
    ledger: &mut Ledger,
    generation: u64,
    card: &Card,
) -> Result<Image, CompileError> {
    let mut cells = port_table(&policy.services, Transport::Tcp);
    cells.push(Cell::default());

    let services = cells.len() as u32;
    cells.resize(cells.len() + policy.services.len(), Cell::default());
    let udp_ports = if policy.services.iter().any(|service| service.transport == Transport::Udp) {
        lane(append(&mut cells, &port_table(&policy.services, Transport::Udp)))
    } else {
        0
    };
    for (index, service) in policy.services.iter().enumerate() {
        let cell = service_cell(&mut cells, service).to_cell();
        if let Some(slot) = cells.get_mut(services as usize + index) {
            *slot = cell;
        }
    }

    let unparsed = lane(append_lanes(&mut cells, &unparsed_rulings(policy)));

    let mut sets = Sets::new();
    let v4 = flatten(items(policy), Width::V4, &mut sets);
    let v6 = flatten(items(policy), Width::V6, &mut sets);
    if sets.full() {
        return Err(CompileError::Overlap);
    }
    let rows = rows(&mut cells, policy, &sets, ledger)?;
    let row = |range: &Range| rows.get(range.set as usize).copied().unwrap_or_default();
    let root4 = plant_v4(&mut cells, &v4, row);
    let root6 = plant_v6(&mut cells, &v6, row);

    let card = serde_json::to_vec(card).unwrap_or_default();
    let card_bytes = card.len() as u32;
    let card = append_bytes(&mut cells, &card);

    if u32::try_from(cells.len() * 8).is_err() {
        return Err(CompileError::TooLarge(cells.len()));
    }
    let header = Header { generation, udp_ports, root4, root6, services, unparsed, card, card_bytes };
    if let Some(cell) = cells.get_mut(HEADER as usize) {
        *cell = header.to_cell();
    }
    Ok(Image::from_cells(&cells))
}

/// The prefixes of the segments, and behind them those of the services' `reset_to`, as if each service had
/// one more segment for it.
pub(super) fn items(policy: &Policy) -> impl Iterator<Item = Item> {
    let segments = policy.segments.iter().zip(0..).flat_map(|(segment, number)| {
        let sources = segment.sources.iter().map(move |source| Item::source(source.prefix, number));
        sources.chain(segment.except.iter().map(move |source| Item::except(source.prefix, number)))
    });
    let resets = policy.services.iter().enumerate().flat_map(|(service, resets)| {
        let number = reset_number(policy, service);
        resets.reset_to.iter().map(move |prefix| Item::source(*prefix, number))
    });
    segments.chain(resets)
}

/// The number that stands in a set for the sources that a service resets.
const fn reset_number(policy: &Policy, service: usize) -> u32 {
    (policy.segments.len() + service) as u32
}

/// A byte a port: 0, or the number of the service that protects it plus one.
fn port_table(services: &[Service], transport: Transport) -> Vec<Cell> {
    let mut table = vec![0_u8; 65_536];
    for (service, entry) in services.iter().zip(1..) {
        let ports = service.ports.iter().filter(|_| service.transport == transport);
        for port in ports.flat_map(|range| range.clone()) {
            if let Some(slot) = table.get_mut(usize::from(port)) {
                *slot = entry;
            }
        }
    }
    to_cells(&table)
}

fn service_cell(cells: &mut Vec<Cell>, service: &Service) -> ServiceCell {
    if service.addresses.is_empty() {
        return ServiceCell::Everywhere;
    }
    let mut covered = |width| {
        let prefixes = service.addresses.iter().map(|prefix| Item::source(*prefix, 0));
        let ranges = flatten(prefixes, width, &mut Sets::new());
        let value = |range: &Range| u64::from(range.set != Sets::EMPTY);
        match width {
            Width::V4 => plant_v4(cells, &ranges, value),
            Width::V6 => plant_v6(cells, &ranges, value),
        }
    };
    ServiceCell::Narrowed { root4: covered(Width::V4), root6: covered(Width::V6) }
}

/// One ruling a cause. A refusal takes the strictest mode stated anywhere, for its service is unknown.
fn unparsed_rulings(policy: &Policy) -> Vec<u64> {
    let modes = policy.services.iter().map(|service| service.mode);
    let mut modes = modes.chain(policy.segments.iter().map(|segment| segment.mode)).flatten();
    let enforced = policy.mode == Mode::Enforce || modes.any(|mode| mode == Mode::Enforce);
    let ruling = |cause| {
        let verdict = match policy.unparsed.get(&cause) {
            Some(UnparsedAction::Pass) => Verdict::Pass,
            Some(UnparsedAction::Drop) | None if enforced => Verdict::Drop,
            Some(UnparsedAction::Drop) | None => Verdict::WouldDrop,
        };
        let counter = CounterId::of_unparsed(cause, verdict);
        Ruling { verdict, reason: Reason::Unparsed(cause), resets: false, counter }
    };
    Cause::ALL.map(|cause| ruling(cause).to_lane()).to_vec()
}

/// Lays out one row of rulings a set of segments, one ruling a service; returns each set's first lane.
fn rows(
    cells: &mut Vec<Cell>,
    policy: &Policy,
    sets: &Sets,
    ledger: &mut Ledger,
) -> Result<Vec<u64>, LedgerFull> {
    let names: Vec<Arc<str>> =
        policy.segments.iter().map(|segment| Arc::from(segment.name.as_str())).collect();
    let mut lanes: Vec<u64> = Vec::new();
    let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
    let mut starts = Vec::with_capacity(sets.members().len());
    for set in sets.members() {
        let row = policy.services.iter().enumerate().map(|(index, service)| {
            let Outcome { segment, reason, verdict } = outcome(policy, set, index, service);
            let booking = Booking {
                segment: segment.and_then(|number| names.get(number).cloned()),
                service: Some(Arc::from(service.name.as_str())),
                reason,
                verdict,
            };
            let resets = verdict == Verdict::Drop && set.contains(&reset_number(policy, index));
            Ok(Ruling { verdict, reason, resets, counter: ledger.book(booking)? }.to_lane())
        });
        let row: Vec<u64> = row.collect::<Result<_, LedgerFull>>()?;
        starts.push(*known.entry(row).or_insert_with_key(|row| {
            lanes.extend(row);
            lanes.len() - row.len()
        }));
    }
    let base = append_lanes(cells, &lanes) as usize * 8;
    Ok(starts.into_iter().map(|start| (base + start) as u64).collect())
}

/// What a source gets of a service.
pub(super) struct Outcome {
    /// The number of the segment that decides.
    segment: Option<usize>,
    reason: Reason,
    pub(super) verdict: Verdict,
}

/// What the sources in a set of segments get of a service.
pub(super) fn outcome(policy: &Policy, set: &[u32], index: usize, service: &Service) -> Outcome {
    let members = || {
        set.iter().filter_map(|number| {
            let number = *number as usize;
            Some((number, policy.segments.get(number)?))
        })
    };
    let (segment, reason) = match members().find(|(_, segment)| segment.services.contains(&index)) {
        Some((number, _)) => (Some(number), Reason::Allowed),
        None => match members().next() {
            Some((number, _)) => (Some(number), Reason::ServiceNotAllowed),
            None => (None, Reason::NotInSegment),
        },
    };
    // The segment's mode, most specific first, else the service's, else the policy's.
    let mode = members().find_map(|(_, segment)| segment.mode).or(service.mode).unwrap_or(policy.mode);
    let verdict = match (reason, mode) {
        (Reason::Allowed, _) => Verdict::Allow,
        (_, Mode::Enforce) => Verdict::Drop,
        (_, Mode::Audit) => Verdict::WouldDrop,
    };
    Outcome { segment, reason, verdict }
}

fn plant_v4(cells: &mut Vec<Cell>, ranges: &[Range], value: impl Fn(&Range) -> u64) -> u32 {
    let keys: Vec<KeyRange> = closed(ranges, Width::V4)
        .map(|(_, last, range)| KeyRange { last: last as u64, value: value(range) })
        .collect();
    plant(cells, &keys)
}

/// A tree over the upper halves; an upper half that is not all in one range leads to a tree of its own.
fn plant_v6(cells: &mut Vec<Cell>, ranges: &[Range], value: impl Fn(&Range) -> u64) -> u32 {
    let mut upper: Vec<KeyRange> = Vec::new();
    let mut lower: Vec<KeyRange> = Vec::new();
    for (first, last, range) in closed(ranges, Width::V6) {
        let value = value(range);
        let (high, low) = ((last >> 64) as u64, last as u64);
        let starts_whole = first as u64 == 0;
        let spans = (first >> 64) as u64 != high;
        if !starts_whole && spans {
            lower.push(KeyRange { last: u64::MAX, value });
            let subtree = u64::from(plant(cells, &lower)) | SUBTREE;
            upper.push(KeyRange { last: (first >> 64) as u64, value: subtree });
            lower.clear();
        }
        if low == u64::MAX && (starts_whole || spans) {
            upper.push(KeyRange { last: high, value });
            continue;
        }
        if spans && (starts_whole || (first >> 64) as u64 + 1 < high) {
            upper.push(KeyRange { last: high - 1, value });
        }
        lower.push(KeyRange { last: low, value });
        if low == u64::MAX {
            let subtree = u64::from(plant(cells, &lower)) | SUBTREE;
            upper.push(KeyRange { last: high, value: subtree });
            lower.clear();
        }
    }
    plant(cells, &upper)
}

/// The ranges with their first and last addresses.
pub(super) fn closed(ranges: &[Range], width: Width) -> impl Iterator<Item = (u128, u128, &Range)> {
    let ends = ranges.iter().skip(1).map(|next| next.first - 1).chain([width.last()]);
    ranges.iter().zip(ends).map(|(range, last)| (range.first, last, range))
}

const fn lane(cell: u32) -> u32 {
    cell * 8
}

fn append(cells: &mut Vec<Cell>, more: &[Cell]) -> u32 {
    let at = cells.len() as u32;
    cells.extend_from_slice(more);
    at
}

fn append_lanes(cells: &mut Vec<Cell>, lanes: &[u64]) -> u32 {
    let at = cells.len() as u32;
    cells.extend(lanes.chunks(8).map(|chunk| {
        let mut cell = Cell::default();
        cell.iter_mut().zip(chunk).for_each(|(slot, lane)| *slot = *lane);
        cell
    }));
    at
}

fn append_bytes(cells: &mut Vec<Cell>, bytes: &[u8]) -> u32 {
    append(cells, &to_cells(bytes))
}

fn to_cells(bytes: &[u8]) -> Vec<Cell> {
    let lanes: Vec<u64> = bytes
        .chunks(8)
        .map(|chunk| {
            let mut lane = [0; 8];
            lane.iter_mut().zip(chunk).for_each(|(slot, byte)| *slot = *byte);
            u64::from_le_bytes(lane)
        })
        .collect();
    let mut cells = Vec::new();
    append_lanes(&mut cells, &lanes);
    cells
}
