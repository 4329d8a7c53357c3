//! A scrape: one reading, written as metrics.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, prometheus_text, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Registry,
};

use super::{
    Reading, State, Totals,
    family::{FAMILIES, Family, Kind, Number, Row},
};
use crate::{control::DaemonStatus, image::Card};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which node_exporter's textfile collector reads as well.
    Prometheus,
}

impl Format {
    /// The format for an HTTP `Accept` header.
    pub fn accepted(header: &str) -> Self {
        if header.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The HTTP content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What the kernel holds and what the daemon says, at one moment.
#[derive(Clone, Debug)]
pub struct Scrape {
    pub(super) reading: Reading,
    /// `None` where no daemon answers.
    pub(super) daemon: Option<DaemonStatus>,
}

impl Scrape {
    /// Puts both together.
    pub const fn new(reading: Reading, daemon: Option<DaemonStatus>) -> Self {
        Self { reading, daemon }
    }

    /// What is in force, in one word.
    pub const fn state(&self) -> State {
        self.reading.state
    }

    /// What names the policy in force.
    pub const fn card(&self) -> Option<&Card> {
        self.reading.card.as_ref()
    }

    /// The sums over all counters.
    pub fn totals(&self) -> Totals {
        self.reading.totals()
    }

    /// Writes every family that has something to say.
    pub fn text(self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = match format {
            Format::OpenMetrics => text::encode(&mut text, &registry),
            Format::Prometheus => prometheus_text::encode(&mut text, &registry),
        };
        text
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let rows = (family.read)(self);
            if !rows.is_empty() {
                write(&mut encoder, family, &rows)?;
            }
        }
        Ok(())
    }
}

fn write(encoder: &mut DescriptorEncoder<'_>, family: &Family, rows: &[Row]) -> fmt::Result {
    let (name, kind) = match family.kind {
        // The suffix belongs to the samples.
        Kind::Counter => (family.name.strip_suffix("_total").unwrap_or(family.name), MetricType::Counter),
        Kind::Gauge => (family.name, MetricType::Gauge),
    };
    let mut encoder = encoder.encode_descriptor(name, family.help, None, kind)?;
    for row in rows {
        let labels: Vec<(&str, &str)> =
            family.labels.iter().copied().zip(row.labels.iter().map(String::as_str)).collect();
        if labels.is_empty() {
            write_number(&mut encoder, family.kind, row.number)?;
        } else {
            write_number(&mut encoder.encode_family(&labels)?, family.kind, row.number)?;
        }
    }
    Ok(())
}

fn write_number(encoder: &mut MetricEncoder<'_>, kind: Kind, number: Number) -> fmt::Result {
    const NO_EXEMPLAR: Option<&Exemplar<[(&str, &str); 0], u64>> = None;
    match (kind, number) {
        (Kind::Counter, Number::Whole(number)) => encoder.encode_counter(&number, NO_EXEMPLAR),
        (Kind::Counter, Number::Real(number)) => encoder.encode_counter(&number, NO_EXEMPLAR),
        (Kind::Gauge, Number::Whole(number)) => encoder.encode_gauge(&number),
        (Kind::Gauge, Number::Real(number)) => encoder.encode_gauge(&number),
    }
}
