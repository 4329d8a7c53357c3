//! The compiler: from a policy to an image.

use pacs_guard_common::{
    abi::{Cell, CounterId, HEADER, Header, MAX_TIMED, Ruling, SUBTREE, ServiceCell},
    packet::Cause,
    verdict::{Reason, Verdict},
};
use thiserror::Error;

use super::{
    Card, Image, Leaving, Ledger, LedgerFull,
    columns::Columns,
    ranges::{Item, Range, Sets, Width, flatten},
    rulings::rows,
    tree::{KeyRange, plant},
};
use crate::{
    clock::Clock,
    policy::model::{Mode, Policy, Service, Transport, UnparsedAction},
};

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
    /// A source's ruling changes more often than the program looks.
    #[error(
        "what one source may do would change {0} times by itself, and {MAX_TIMED} times are the most: let some of its \
         segments end at the same time"
    )]
    TooManyEnds(usize),
    /// More ports to tell apart than the port table can.
    #[error("a drain would have to tell {0} kinds of ports apart, and {most} are the most", most = Columns::MOST)]
    TooManyColumns(usize),
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
            Self::TooManyEnds(_) => "too-many-ends",
            Self::TooManyColumns(_) => "too-many-columns",
            Self::TooLarge(_) => "too-large",
        }
    }
}

/// What a policy is compiled for, beside itself.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// When: from here on the ends of segments are counted.
    pub clock: Clock,
    /// Whose connections go on for a while.
    pub drain: &'a [Leaving],
    /// Whether it is a bypass. That must not fail for want of counters, so there it shares some.
    pub bypass: bool,
}

/// Compiles a policy as it is now to the image of one generation: see [`compile_for`].
pub fn compile(
    policy: &Policy,
    ledger: &mut Ledger,
    generation: u64,
    card: &Card,
) -> Result<Image, CompileError> {
    let now = Circumstances { clock: Clock::now(), drain: &[], bypass: false };
    compile_for(policy, &now, ledger, generation, card)
}

/// Compiles a policy to the image of one generation.
///
/// Outcomes that the ledger does not know yet are booked in it; the ones it knows keep their counters.
pub fn compile_for(
    policy: &Policy,
    circumstances: &Circumstances<'_>,
    ledger: &mut Ledger,
    generation: u64,
    card: &Card,
) -> Result<Image, CompileError> {
    let drain = circumstances.drain;
    let columns = Columns::new(policy, drain)?;
    let mut cells = port_table(&policy.services, &columns, Transport::Tcp);
    cells.push(Cell::default());

    let services = cells.len() as u32;
    cells.resize(cells.len() + columns.list.len(), Cell::default());
    let udp_ports = if policy.services.iter().any(|service| service.transport == Transport::Udp) {
        lane(append(&mut cells, &port_table(&policy.services, &columns, Transport::Udp)))
    } else {
        0
    };
    let of_services: Vec<Cell> =
        policy.services.iter().map(|service| service_cell(&mut cells, service).to_cell()).collect();
    for (slot, column) in cells.iter_mut().skip(services as usize).zip(&columns.list) {
        *slot = of_services.get(column.service).copied().unwrap_or_default();
    }

    let unparsed = lane(append_lanes(&mut cells, &unparsed_rulings(policy)));

    let mut sets = Sets::new();
    let items = || items(policy).chain(drain_items(policy, drain));
    let v4 = flatten(items(), Width::V4, &mut sets);
    let v6 = flatten(items(), Width::V6, &mut sets);
    if sets.full() {
        return Err(CompileError::Overlap);
    }
    let rows = rows(&mut cells, policy, &columns, &sets, circumstances, ledger)?;
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
pub(super) const fn reset_number(policy: &Policy, service: usize) -> u32 {
    (policy.segments.len() + service) as u32
}

/// The number that stands in a set for the sources of a part of a drain.
pub(super) const fn drain_number(policy: &Policy, part: usize) -> u32 {
    (policy.segments.len() + policy.services.len() + part) as u32
}

/// The prefixes of a drain, as if each part were one more segment.
fn drain_items(policy: &Policy, drain: &[Leaving]) -> impl Iterator<Item = Item> {
    drain.iter().enumerate().flat_map(|(part, leaving)| {
        let number = drain_number(policy, part);
        let sources = leaving.sources().iter().map(move |prefix| Item::source(*prefix, number));
        sources.chain(leaving.except().iter().map(move |prefix| Item::except(*prefix, number)))
    })
}

/// A byte a port: 0, or the number of the column that its rulings stand in plus one.
fn port_table(services: &[Service], columns: &Columns, transport: Transport) -> Vec<Cell> {
    let mut table = vec![0_u8; 65_536];
    for (index, service) in services.iter().enumerate() {
        let ports = service.ports.iter().filter(|_| service.transport == transport);
        for port in ports.flat_map(|range| range.clone()) {
            if let Some(slot) = table.get_mut(usize::from(port)) {
                *slot = columns.of_port(index, transport, port) + 1;
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

pub(super) fn append(cells: &mut Vec<Cell>, more: &[Cell]) -> u32 {
    let at = cells.len() as u32;
    cells.extend_from_slice(more);
    at
}

pub(super) fn append_lanes(cells: &mut Vec<Cell>, lanes: &[u64]) -> u32 {
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
