//! The faults found so far in one file: bounded, and each at its place.

use std::{ops::Range, path::PathBuf, sync::Arc};

use super::{
    diagnostic::{Diagnostic, Second},
    document::Mark,
    fault::{Fault, Severity},
    model::Place,
};

/// Errors kept, and warnings kept: a file of a million mistakes is one mistake.
const MOST: usize = 200;

/// Collects faults while a file is validated.
pub(super) struct Findings<'t> {
    text: &'t str,
    file: Arc<PathBuf>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    errors_left_out: usize,
    warnings_left_out: usize,
}

impl<'t> Findings<'t> {
    pub(super) fn new(text: &'t str, file: Arc<PathBuf>) -> Self {
        Self { text, file, errors: vec![], warnings: vec![], errors_left_out: 0, warnings_left_out: 0 }
    }

    /// The place of `mark`, as the model keeps it.
    pub(super) fn place(&self, mark: Mark) -> Place {
        Place { file: self.file.clone(), line: mark.line.max(1), column: mark.column.max(1) }
    }

    /// Books a fault at `mark`.
    pub(super) fn push(&mut self, mark: Mark, fault: Fault) {
        self.push_with(mark, fault, None);
    }

    /// Books a fault at `mark` that has to do with a second place.
    pub(super) fn push_with(&mut self, mark: Mark, fault: Fault, second: Option<(Mark, &'static str)>) {
        let (kept, left_out) = match fault.severity() {
            Severity::Error => (&self.errors, &mut self.errors_left_out),
            Severity::Warning => (&self.warnings, &mut self.warnings_left_out),
        };
        if kept.len() == MOST {
            *left_out += 1;
            return;
        }
        let second = second.map(|(mark, label)| {
            Box::new(Second { place: self.place(mark), span: span(self.text, mark), label })
        });
        let diagnostic =
            Diagnostic { place: self.place(mark), span: Some(span(self.text, mark)), fault, second };
        match diagnostic.severity() {
            Severity::Error => self.errors.push(diagnostic),
            Severity::Warning => self.warnings.push(diagnostic),
        }
    }

    /// Books a fault of the file as a whole.
    pub(super) fn push_file(&mut self, fault: Fault) {
        self.errors.push(Diagnostic { place: self.place(Mark::default()), span: None, fault, second: None });
    }

    /// Whether further errors would be counted only, so that costly hints are not worth making.
    pub(super) const fn full(&self) -> bool {
        self.errors.len() >= MOST
    }

    /// Errors, then warnings, each in the order of the file.
    pub(super) fn finish(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.errors.sort_by_key(|error| error.span.as_ref().map(|span| span.start));
        self.warnings.sort_by_key(|warning| warning.span.as_ref().map(|span| span.start));
        let whole = |place, fault| Diagnostic { place, span: None, fault, second: None };
        let place = self.place(Mark::default());
        if self.errors_left_out > 0 {
            let fault = Fault::MoreErrors { count: self.errors_left_out };
            self.errors.push(whole(place.clone(), fault));
        }
        if self.warnings_left_out > 0 {
            let fault = Fault::MoreWarnings { count: self.warnings_left_out };
            self.warnings.push(whole(place, fault));
        }
        (self.errors, self.warnings)
    }
}

/// The bytes to underline: at least one character wherever there is one.
fn span(text: &str, mark: Mark) -> Range<usize> {
    let known = mark.start as usize;
    let start = if text.is_char_boundary(known) { known } else { offset(text, mark) };
    let rest = text.get(start..).unwrap_or("");
    let len = match rest.get(..mark.len as usize) {
        Some(marked) if !marked.is_empty() => marked.trim_end().len(),
        _ => rest.find(|c: char| c.is_whitespace() || ",:[]{}".contains(c)).unwrap_or(rest.len()),
    };
    let one = rest.chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    start..start + len.max(one)
}

/// Some errors of the YAML reader carry a line and a column only.
fn offset(text: &str, mark: Mark) -> usize {
    let start: usize =
        text.split_inclusive('\n').take(mark.line.saturating_sub(1) as usize).map(str::len).sum();
    let line = text.get(start..).unwrap_or("");
    let within = line.char_indices().nth(mark.column.saturating_sub(1) as usize).map(|(at, _)| at);
    (start + within.unwrap_or(line.len())).min(text.len())
}
