//! The compiler: from a policy to an image.

use pacs_guard_common::{
    abi::{CELLS_PER_PAGE, Cell, CounterId, HEADER, Header, Index, Link, MAX_TIMED, Ruling, SOURCES},
    packet::Cause,
    verdict::{Reason, Verdict},
};
use thiserror::Error;

use super::{
    Card, Image, Leaving, Ledger, LedgerFull,
    columns::{Column, Columns},
    ranges::{Item, Range, Sets, Width, flatten},
    rulings::rows,
    tree::{KeyRange, lower_trees, plant},
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
    // The header and the indexes of sources, which come to lie in them at the end.
    cells.resize(cells.len() + 3, Cell::default());
    let (narrowings, narrowed) = append_narrowings(&mut cells, policy, &columns);
    let udp_ports = if policy.services.iter().any(|service| service.transport == Transport::Udp) {
        lane(append(&mut cells, &port_table(&policy.services, &columns, Transport::Udp)))
    } else {
        0
    };
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
    let indexes = [plant_v4(&mut cells, &v4, row), plant_v6(&mut cells, &v6, row)];
    put(&mut cells, SOURCES, &indexes.map(Index::to_cell));

    let card = serde_json::to_vec(card).unwrap_or_default();
    let card_bytes = card.len() as u32;
    let card = append_bytes(&mut cells, &card);

    if cells.len() * 8 > Link::MAX as usize {
        return Err(CompileError::TooLarge(cells.len()));
    }
    let pages = (cells.len() as u32).div_ceil(CELLS_PER_PAGE);
    let header = Header { generation, udp_ports, narrowed, narrowings, unparsed, card, card_bytes, pages };
    put(&mut cells, HEADER, &[header.to_cell()]);
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

/// Appends the narrowings; returns their first cell, and the header's bits of the columns that are narrowed.
fn append_narrowings(cells: &mut Vec<Cell>, policy: &Policy, columns: &Columns) -> (u32, u64) {
    let indexes: Vec<[Cell; 2]> =
        policy.services.iter().map(|service| narrowing(cells, service).map(Index::to_cell)).collect();
    let narrowed = |column: &Column| {
        policy.services.get(column.service).is_some_and(|service| !service.addresses.is_empty())
    };
    let bits = (0..)
        .zip(&columns.list)
        .fold(0, |bits, (number, column)| bits | u64::from(narrowed(column)) << (number % u64::BITS));
    let by_column: Vec<[Cell; 2]> =
        columns.list.iter().map(|column| indexes.get(column.service).copied().unwrap_or_default()).collect();
    (append(cells, by_column.as_flattened()), bits)
}

/// The indexes of the destinations towards which a service is protected: IPv4, IPv6. All are, where it names none.
fn narrowing(cells: &mut Vec<Cell>, service: &Service) -> [Index; 2] {
    let everywhere = service.addresses.is_empty();
    let ranges = |width| {
        let prefixes = service.addresses.iter().map(|prefix| Item::source(*prefix, 0));
        flatten(prefixes, width, &mut Sets::new())
    };
    let value = |range: &Range| u32::from(everywhere || range.set != Sets::EMPTY);
    [plant_v4(cells, &ranges(Width::V4), value), plant_v6(cells, &ranges(Width::V6), value)]
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

fn plant_v4(cells: &mut Vec<Cell>, ranges: &[Range], value: impl Fn(&Range) -> u32) -> Index {
    let keys: Vec<KeyRange> = closed(ranges, Width::V4)
        .map(|(_, last, range)| KeyRange { last: last as u64, link: Link::to_value(value(range)) })
        .collect();
    plant(cells, &keys)
}

/// An index of the upper halves; an upper half that is not all in one range leads to a tree over the lower halves.
fn plant_v6(cells: &mut Vec<Cell>, ranges: &[Range], value: impl Fn(&Range) -> u32) -> Index {
    let mut upper: Vec<KeyRange> = Vec::new();
    let mut lower: Vec<KeyRange> = Vec::new();
    for (first, last, range) in closed(ranges, Width::V6) {
        let link = Link::to_value(value(range));
        let (high, low) = ((last >> 64) as u64, last as u64);
        let starts_whole = first as u64 == 0;
        let spans = (first >> 64) as u64 != high;
        if !starts_whole && spans {
            lower.push(KeyRange { last: u64::MAX, link });
            upper.push(KeyRange { last: (first >> 64) as u64, link: lower_trees(cells, &lower) });
            lower.clear();
        }
        if low == u64::MAX && (starts_whole || spans) {
            upper.push(KeyRange { last: high, link });
            continue;
        }
        if spans && (starts_whole || (first >> 64) as u64 + 1 < high) {
            upper.push(KeyRange { last: high - 1, link });
        }
        lower.push(KeyRange { last: low, link });
        if low == u64::MAX {
            upper.push(KeyRange { last: high, link: lower_trees(cells, &lower) });
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

/// Stores cells in the place that was kept for them.
fn put(cells: &mut [Cell], at: u32, these: &[Cell]) {
    cells.iter_mut().skip(at as usize).zip(these).for_each(|(place, cell)| *place = *cell);
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
