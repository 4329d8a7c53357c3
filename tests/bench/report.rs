//! The report: a table, JSON, and a chart.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use crate::{Machine, rig::Contender};

/// What one contender took for one load, or reached, over some rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) contender: &'static str,
    /// A tenth of the rounds were below, half, a tenth above; of few rounds, the least and the greatest.
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

impl Figure {
    pub(crate) fn new(contender: &'static str, mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (share * rounds.len().saturating_sub(1) as f64).round() as usize;
            rounds.get(index).copied().unwrap_or_default()
        };
        Self { contender, p10: at(0.1), median: at(0.5), p90: at(0.9) }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) load: &'static str,
    pub(crate) family: u8,
    /// Prefixes in the policy.
    pub(crate) prefixes: u64,
    /// Nanoseconds a packet of the empty program behind the same generator.
    pub(crate) floor: Figure,
    /// Over the floor.
    pub(crate) figures: Vec<Figure>,
}

/// Everything, for machines.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: u32,
    #[serde(flatten)]
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) packets_a_round: u32,
    pub(crate) rows: Vec<Row>,
}

/// Columns of the table, in their order.
const COLUMNS: [Contender; 4] = [Contender::Guard, Contender::Trie, Contender::Hash, Contender::XdpFilter];

impl Report {
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        let names = COLUMNS.map(|contender| contender.name().to_owned());
        let head = ["load", "family", "prefixes", "floor"].map(str::to_owned);
        table.set_header(head.into_iter().chain(names));
        for row in &self.rows {
            let floor = format!("{:.0}", row.floor.median);
            let head = [row.load.to_owned(), format!("IPv{}", row.family), row.prefixes.to_string(), floor];
            let cells = COLUMNS.map(|contender| {
                let figure = row.figures.iter().find(|figure| figure.contender == contender.name());
                figure.map_or_else(
                    || "-".to_owned(),
                    |figure| format!("{:.0} ({:.0}-{:.0})", figure.median, figure.p10, figure.p90),
                )
            });
            table.add_row(head.into_iter().chain(cells));
        }
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        format!(
            "{table}\n\nNanoseconds a packet over the floor (an empty program behind the same generator): median (p10-p90) of \
             {} rounds of {} packets, contenders in turn.\n{}\n",
            self.rounds, self.packets_a_round, self.machine
        )
    }

    /// Random allowed sources over the size of the policy, both axes logarithmic, as SVG.
    pub(crate) fn chart(&self, family: u8) -> String {
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.family == family && row.load == "allowed, random").collect();
        let x = |prefixes: u64| 70.0 + (prefixes as f64).log10() * 95.0;
        let y = |ns: f64| 330.0 - (ns.max(10.0).log10() - 1.0) * 130.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 820 390\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"820\" height=\"390\" fill=\"white\"/>\n<text x=\"70\" y=\"24\" \
             font-size=\"15\">IPv{family}: an allowed packet from a random source, ns over an empty program</text>\n"
        );
        for ns in [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0] {
            let at = y(ns);
            let _ = writeln!(
                svg,
                "<line x1=\"70\" y1=\"{at:.0}\" x2=\"660\" y2=\"{at:.0}\" stroke=\"#ddd\"/><text x=\"62\" \
                 y=\"{:.0}\" text-anchor=\"end\">{ns:.0}</text>",
                at + 4.0
            );
        }
        for row in &rows {
            let at = x(row.prefixes);
            let _ =
                writeln!(svg, "<text x=\"{at:.0}\" y=\"350\" text-anchor=\"middle\">{}</text>", row.prefixes);
        }
        let _ =
            writeln!(svg, "<text x=\"365\" y=\"375\" text-anchor=\"middle\">prefixes in the policy</text>");
        for (contender, colour) in COLUMNS.into_iter().zip(["#0a6", "#c33", "#36c", "#888"]) {
            let points: Vec<(f64, f64)> = rows
                .iter()
                .filter_map(|row| {
                    let figure = row.figures.iter().find(|figure| figure.contender == contender.name())?;
                    Some((x(row.prefixes), y(figure.median)))
                })
                .collect();
            let Some((end, height)) = points.last() else { continue };
            let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.0},{y:.0}")).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{:.0}\" \
                 y=\"{:.0}\" fill=\"{colour}\">{}</text>",
                line.join(" "),
                end + 8.0,
                height + 4.0,
                contender.name()
            );
        }
        svg + "</svg>\n"
    }
}
