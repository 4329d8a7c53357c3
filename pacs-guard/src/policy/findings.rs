//! The faults found so far in one policy: bounded, and each at its place.

use std::{ops::Range, path::PathBuf, sync::Arc};

use super::{
    diagnostic::{Diagnostic, Second},
    document::Slip,
    fault::{Fault, Quoted, Severity},
    mark::Mark,
    model::Place,
    source::PolicyText,
};

/// Errors kept, and warnings kept: a file of a million mistakes is one mistake.
const MOST: usize = 200;

/// Collects faults while a policy is validated.
pub(super) struct Findings<'t> {
    texts: &'t [PolicyText],
    path: Arc<PathBuf>,
    /// Each with the position it is sorted by: file, and byte in it.
    errors: Vec<(Position, Diagnostic)>,
    warnings: Vec<(Position, Diagnostic)>,
    errors_left_out: usize,
    warnings_left_out: usize,
}

type Position = Option<(u16, usize)>;

impl<'t> Findings<'t> {
    /// For a policy of these texts; `path` is what its user named.
    pub(super) fn new(texts: &'t [PolicyText], path: Arc<PathBuf>) -> Self {
        Self { texts, path, errors: vec![], warnings: vec![], errors_left_out: 0, warnings_left_out: 0 }
    }

    /// The place of `mark`, as the model keeps it.
    pub(super) fn place(&self, mark: Mark) -> Place {
        let file = self.texts.get(usize::from(mark.file)).map_or(&self.path, |text| &text.path);
        Place { file: file.clone(), line: mark.line.max(1), column: mark.column.max(1) }
    }

    /// Books a fault at `mark`.
    pub(super) fn push(&mut self, mark: Mark, fault: Fault) {
        self.push_with(mark, fault, None);
    }

    /// Books a key that was written before, in the same mapping of the same file.
    pub(super) fn duplicate_key(&mut self, mark: Mark, key: Quoted, first: Mark) {
        self.push_with(mark, Fault::DuplicateKey { key }, Some((first, "first written here")));
    }

    /// Books mistakes of shape.
    pub(super) fn book(&mut self, slips: Vec<Slip>) {
        for Slip { mark, fault, first } in slips {
            self.push_with(mark, fault, first.map(|first| (first, "first written here")));
        }
    }

    /// Books a fault at `mark` that has to do with a second place.
    pub(super) fn push_with(&mut self, mark: Mark, fault: Fault, second: Option<(Mark, &'static str)>) {
        let (kept, left_out) = match fault.severity() {
            Severity::Error => (&self.errors, &mut self.errors_left_out),
            Severity::Warning => (&self.warnings, &mut self.warnings_left_out),
        };
        if kept.len() >= MOST {
            *left_out += 1;
            return;
        }
        let second = second
            .map(|(mark, label)| Box::new(Second { place: self.place(mark), span: self.span(mark), label }));
        let span = self.span(mark);
        let position = Some((mark.file, span.start));
        let diagnostic = Diagnostic { place: self.place(mark), span: Some(span), fault, second };
        match diagnostic.severity() {
            Severity::Error => self.errors.push((position, diagnostic)),
            Severity::Warning => self.warnings.push((position, diagnostic)),
        }
    }

    /// Books a fault of a file or folder whose text is not there.
    pub(super) fn push_at(&mut self, place: Place, fault: Fault) {
        let diagnostic = Diagnostic { place, span: None, fault, second: None };
        match diagnostic.severity() {
            Severity::Error => self.errors.push((None, diagnostic)),
            Severity::Warning => self.warnings.push((None, diagnostic)),
        }
    }

    fn span(&self, mark: Mark) -> Range<usize> {
        span(self.texts.get(usize::from(mark.file)).map_or("", |text| &text.text), mark)
    }

    /// Whether the policy is refused already.
    pub(super) const fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether further errors would be counted only, so that costly hints are not worth making.
    pub(super) const fn full(&self) -> bool {
        self.errors.len() >= MOST
    }

    /// Errors, then warnings, each in the order of the files.
    pub(super) fn finish(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let place = self.place(Mark::default());
        self.errors.sort_by_key(|(position, _)| *position);
        self.warnings.sort_by_key(|(position, _)| *position);
        let mut errors: Vec<_> = self.errors.into_iter().map(|(_, error)| error).collect();
        let mut warnings: Vec<_> = self.warnings.into_iter().map(|(_, warning)| warning).collect();
        let whole = |fault| Diagnostic { place: place.clone(), span: None, fault, second: None };
        if self.errors_left_out > 0 {
            errors.push(whole(Fault::MoreErrors { count: self.errors_left_out }));
        }
        if self.warnings_left_out > 0 {
            warnings.push(whole(Fault::MoreWarnings { count: self.warnings_left_out }));
        }
        (errors, warnings)
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
