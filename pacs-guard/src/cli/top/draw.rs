//! How the screen looks: a function of its state, and of the size of the terminal.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Clear, Paragraph, Row, Table, TableState, Wrap},
};

use super::{
    keys::HELP,
    screen::{Screen, Sheet, now},
};
use crate::{
    cli::{
        peers,
        terminal::{lasting, thousands},
    },
    datapath::XdpMode,
    echo::Printable,
    observe::{Guarded, State},
};

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let peers = peer_lines(screen);
    // Sources get what the others leave, and at least a third.
    let height = frame.area().height;
    let most = (height / 4).max(2);
    let refusals = (screen.refusals().len() as u16).clamp(1, most) + 1;
    let peer_rows = (peers.len() as u16).clamp(1, most) + 1;
    let [bar, drops, sources, known, keys] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(refusals),
        Constraint::Min(3),
        Constraint::Length(peer_rows),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_bar(frame, bar, screen);
    draw_refusals(frame, drops, screen);
    draw_sources(frame, sources, screen);
    let title = Line::styled("PEERS", HEAD);
    frame.render_widget(Paragraph::new([vec![title], peers].concat()), known);
    draw_keys(frame, keys, screen);
    draw_sheet(frame, screen);
}

/// A style, if the terminal is to have colours.
fn coloured(screen: &Screen, colour: Color) -> Style {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    if screen.colour { bold.fg(colour) } else { bold }
}

fn draw_bar(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let sample = &screen.view().sample;
    let reading = &sample.reading;
    let (word, colour) = match reading.state {
        State::Enforcing => ("ENFORCING", Color::Green),
        State::PartlyAudit => ("ENFORCING, some of it in AUDIT", Color::Yellow),
        State::Audit => ("AUDIT", Color::Yellow),
        State::Bypass => ("BYPASS", Color::Red),
        State::NotEnforcing => ("NOT ENFORCING", Color::Red),
    };
    let mut first = vec![Span::styled(word, coloured(screen, colour))];
    if let Some(card) = &reading.card {
        let generation = sample.generation.unwrap_or(0);
        first.push(Span::raw(format!("  {}  generation {generation}", Printable(&card.policy))));
    }
    for interface in &reading.interfaces {
        first.push(interface_span(screen, interface));
    }
    if !reading.uncovered.is_empty() {
        let text = format!("  {} uncovered", reading.uncovered.len());
        first.push(Span::styled(text, coloured(screen, Color::Yellow)));
    }
    let totals = &sample.totals;
    let [allowed, dropped, would, passed] =
        [totals.allowed, totals.dropped, totals.would_drop, totals.passed].map(thousands);
    let packets = format!("{allowed} allowed, {dropped} dropped, {would} would drop, {passed} not judged");
    let daemon = match (&screen.trouble, &sample.peers) {
        (Some(why), _) => Span::styled(format!("not read: {}", Printable(why)), coloured(screen, Color::Red)),
        (None, Some(_)) => Span::styled("the daemon answers", DIM),
        (None, None) => Span::styled(
            "no daemon answers: this is read from the pinned maps",
            coloured(screen, Color::Yellow),
        ),
    };
    frame.render_widget(Paragraph::new(vec![first.into(), packets.into(), daemon.into()]), area);
}

fn interface_span(screen: &Screen, interface: &Guarded) -> Span<'static> {
    let name = Printable(&interface.name);
    match (interface.attached, interface.mode) {
        (true, Some(XdpMode::Native)) => Span::raw(format!("  {name} native")),
        (true, mode) => {
            let mode = mode.map_or("no XDP", XdpMode::name);
            Span::styled(format!("  {name} {mode}"), coloured(screen, Color::Yellow))
        }
        (false, _) => Span::styled(format!("  {name} NOT GUARDED"), coloured(screen, Color::Red)),
    }
}

fn draw_refusals(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let wide = area.width >= 120;
    let name = if wide { 40 } else { 18 };
    let reason = if wide { 26 } else { 20 };
    let spark = area.width.saturating_sub(name + reason + 5 + 7 + 11 + 5);
    let rows = screen.refusals();
    let left_out = rows.len().saturating_sub(usize::from(area.height.saturating_sub(1)));
    let rows = rows.into_iter().map(|(refusal, total, rates)| {
        let (word, colour) = if refusal.dropped { ("drop", Color::Red) } else { ("audit", Color::Yellow) };
        Row::new([
            Text::from(Printable(refusal.segment.as_deref().unwrap_or("-")).to_string()),
            refusal.reason.into(),
            Span::styled(word, coloured(screen, colour)).into(),
            Text::from(thousands(now(rates))).alignment(Alignment::Right),
            Text::from(thousands(total)).alignment(Alignment::Right),
            sparkline(rates, spark.into()).into(),
        ])
    });
    let last =
        if left_out > 0 { format!("LAST SECONDS ({left_out} more rows)") } else { "LAST SECONDS".into() };
    let right = |text: &'static str| Text::from(text).alignment(Alignment::Right);
    let header =
        ["SEGMENT".into(), "REASON".into(), "".into(), right("A SEC"), right("PACKETS"), last.into()];
    let widths = [name, reason, 5, 7, 11, spark].map(Constraint::Length);
    let header: [Text<'_>; 6] = header;
    frame.render_widget(Table::new(rows, widths).header(Row::new(header).style(HEAD)), area);
}

/// The last seconds as a row of bars, each as high as its part of the highest one. A packet is never flat.
fn sparkline(rates: Option<&VecDeque<u64>>, width: usize) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(rates) = rates else { return String::new() };
    let shown: Vec<u64> = rates.iter().skip(rates.len().saturating_sub(width)).copied().collect();
    let highest = shown.iter().copied().max().unwrap_or(0).max(1);
    let bar = |rate: &u64| {
        let eighths = (u128::from(*rate) * 8).div_ceil(u128::from(highest));
        BARS.get(eighths as usize).copied().unwrap_or('█')
    };
    shown.iter().map(bar).collect()
}

fn draw_sources(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let sources = screen.sources();
    let wide = area.width >= 120;
    let rows = sources.iter().map(|source| {
        let seen = &source.seen;
        let name = |name: &Option<Arc<str>>| Printable(name.as_deref().unwrap_or("-")).to_string();
        let ago = seen.last.duration_until(Timestamp::now()).as_secs();
        let titles = source.titles.as_ref().map(|titles| match wide {
            true => format!("{} to {}", Printable(&titles.calling), Printable(&titles.called)),
            false => Printable(&titles.calling).to_string(),
        });
        let mut cells = vec![
            seen.source.to_string(),
            seen.port.to_string(),
            name(&seen.service),
            seen.reason.clone(),
            lasting(ago.try_into().unwrap_or(0)),
            thousands(seen.connections),
            titles.unwrap_or_else(|| "-".into()),
        ];
        if wide {
            cells.insert(3, name(&seen.segment));
        }
        Row::new(cells)
    });
    let (mut titles, mut widths) = (
        vec!["REFUSED SOURCE", "PORT", "SERVICE", "REASON", "AGO", "TRIES", "AE TITLE"],
        if wide { vec![5, 20, 26, 8, 7] } else { vec![5, 10, 19, 7, 6] },
    );
    if wide {
        titles.insert(3, "SEGMENT");
        widths.insert(2, 30);
    }
    // An address is shown whole, whatever must give way.
    let address = sources.iter().map(|source| source.seen.source.to_string().len()).max().unwrap_or(0);
    let address = Constraint::Min(address.max(15) as u16);
    let widths = widths.into_iter().map(Constraint::Length);
    let widths = [address].into_iter().chain(widths).chain([Constraint::Fill(1)]);
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(HEAD))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let selected = (!sources.is_empty()).then(|| screen.selected(&sources));
    frame.render_stateful_widget(table, area, &mut TableState::default().with_selected(selected));
    if sources.is_empty() && area.height > 1 {
        let text =
            if screen.filter.is_empty() { "nobody is refused" } else { "nobody that the filter shows" };
        let below = Rect { y: area.y + 1, height: 1, ..area };
        frame.render_widget(Line::styled(text, DIM), below);
    }
}

fn peer_lines(screen: &Screen) -> Vec<Line<'static>> {
    match &screen.view().sample.peers {
        None => vec![Line::styled("only a daemon asks them", DIM)],
        Some(peers) if peers.is_empty() => vec![Line::styled("the policy names none", DIM)],
        Some(peers) => peers
            .iter()
            .map(|peer| {
                let (word, colour) = match peer.answers {
                    Some(true) => ("answers", Color::Green),
                    Some(false) => ("fails  ", Color::Red),
                    None => ("unasked", Color::Reset),
                };
                let more = format!("  {}  {}", Printable(&peer.peer), peers::answer(peer));
                Line::from(vec![Span::styled(word, coloured(screen, colour)), Span::raw(more)])
            })
            .collect(),
    }
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let line = if screen.typing {
        Line::from(format!("filter: {}_", Printable(&screen.filter)))
    } else {
        let mut line = Line::from("");
        if screen.is_paused() {
            line.push_span(Span::styled("PAUSED  ", coloured(screen, Color::Yellow)));
        }
        if !screen.filter.is_empty() {
            line.push_span(Span::styled(format!("filter: {}  ", Printable(&screen.filter)), HEAD));
        }
        let keys = format!("q end  / filter  s sort: {}  p pause  Enter explain  ? keys", screen.sort.name());
        line.push_span(Span::styled(keys, DIM));
        line
    };
    frame.render_widget(line, area);
}

/// What lies over the screen, in its midst.
fn draw_sheet(frame: &mut Frame<'_>, screen: &Screen) {
    let Some(sheet) = &screen.sheet else { return };
    let (title, text) = match sheet {
        Sheet::Help => ("KEYS", HELP.to_owned()),
        // Its lines are its own; what stands in them is not.
        Sheet::Explained(words) => {
            ("EXPLAIN", words.lines().map(|line| Printable(line).to_string()).collect::<Vec<_>>().join("\n"))
        }
    };
    let area = frame.area();
    let width = area.width.saturating_sub(2).min(100);
    let lines = height_of(&text, width.saturating_sub(4));
    let height = (lines + 4).min(area.height);
    let sheet = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    let block = ratatui::widgets::Block::bordered()
        .title(title)
        .title_bottom("any key goes back")
        .padding(ratatui::widgets::Padding::uniform(1));
    frame.render_widget(Clear, sheet);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(block), sheet);
}

/// The rows that a text takes, where a line is broken between words.
fn height_of(text: &str, width: u16) -> u16 {
    let rows = |line: &str| match line.chars().count().div_ceil(usize::from(width.max(1))) {
        0 | 1 => 1,
        more => more + 1,
    };
    text.lines().map(rows).sum::<usize>().try_into().unwrap_or(u16::MAX)
}
