//! Policy files: read, parse, validate. From here on a policy is a value with no invalid states.

mod diagnostic;
mod document;
mod fault;
mod findings;
pub mod model;
mod prefix;
mod source;
mod syntax;
mod validate;
mod value;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use document::Mark;
use findings::Findings;
use model::Policy;

pub use diagnostic::{Diagnostic, Second, render};
pub use fault::{Fault, Quoted, Severity};
pub use source::MAX_BYTES;

/// A policy that may be put in force, and what its author should look at again.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The policy.
    pub policy: Policy,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// The text that the policy was read from, without a byte order mark.
    pub text: Arc<str>,
    /// The file, as the user named it.
    pub path: Arc<PathBuf>,
}

/// A policy that may not be put in force.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// All errors in the order of the file, then all warnings. At least one error.
    pub diagnostics: Vec<Diagnostic>,
    /// The text; empty where it could not be read.
    pub text: Arc<str>,
    /// The file, as the user named it.
    pub path: Arc<PathBuf>,
}

impl Checked {
    /// The warnings for people.
    pub fn render(&self, color: bool) -> String {
        render(&self.warnings, &self.text, color)
    }
}

impl Rejected {
    /// The errors and warnings for people.
    pub fn render(&self, color: bool) -> String {
        render(&self.diagnostics, &self.text, color)
    }
}

impl fmt::Display for Rejected {
    /// One line: the first error, its place, and how many more there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.diagnostics.iter().filter(|found| found.severity() == Severity::Error);
        let more = errors.clone().count().saturating_sub(1);
        if let Some(first) = errors.clone().next() {
            write!(f, "{}: {} ({})", first.place, first.fault, first.code())?;
        }
        if more > 0 { write!(f, ", and {more} more") } else { Ok(()) }
    }
}

impl std::error::Error for Rejected {}

/// Reads and validates one policy file.
///
/// # Errors
/// Every mistake in the file that can be told from the others, each with its place.
pub fn read(path: &Path) -> Result<Checked, Rejected> {
    match source::read(path) {
        Ok(text) => parse(path, text),
        Err((mark, fault)) => {
            let path = Arc::new(path.to_owned());
            let mut findings = Findings::new("", path.clone());
            match mark {
                Some(mark) => findings.push(mark, fault),
                None => findings.push_file(fault),
            }
            let (diagnostics, _) = findings.finish();
            Err(Rejected { diagnostics, text: Arc::from(""), path })
        }
    }
}

/// Reads a policy file's text alone, as [`read`] does, without a byte order mark.
///
/// # Errors
/// Where the file may not be trusted or can't be read.
pub fn read_text(path: &Path) -> Result<String, Fault> {
    let text = source::read(path).map_err(|(_, fault)| fault)?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Validates the text of a policy, as if it were read from `path`.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: impl Into<String>) -> Result<Checked, Rejected> {
    let text = text.into();
    // Arc::from copies; the String is gone before the costly part begins.
    let text: Arc<str> = Arc::from(text.strip_prefix('\u{feff}').unwrap_or(&text));
    let path = Arc::new(path.to_owned());
    let mut findings = Findings::new(&text, path.clone());
    let policy = judge(&text, &mut findings);
    let (mut diagnostics, warnings) = findings.finish();
    match policy {
        Some(policy) if diagnostics.is_empty() => Ok(Checked { policy, warnings, text, path }),
        _ => {
            diagnostics.extend(warnings);
            Err(Rejected { diagnostics, text, path })
        }
    }
}

fn judge(text: &str, findings: &mut Findings<'_>) -> Option<Policy> {
    if text.len() as u64 > MAX_BYTES {
        findings.push_file(Fault::TooLarge { limit: MAX_BYTES });
        return None;
    }
    if let Some((mark, fault)) = no_yaml(text) {
        findings.push(mark, fault);
        return None;
    }
    match document::parse(text) {
        Ok(document) => Some(validate::validate(document, findings)),
        Err(error) => {
            let (mark, fault) = syntax::fault(&error);
            findings.push(mark, fault);
            None
        }
    }
}

/// What the YAML reader lets through or words badly: NUL bytes, and tabs in the indentation.
fn no_yaml(text: &str) -> Option<(Mark, Fault)> {
    if let Some((before, _)) = text.split_once('\0') {
        return Some((Mark::end_of(before), Fault::Nul));
    }
    if !text.contains('\t') {
        return None;
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let tab = line.get(..indent)?.find('\t');
        if let Some(tab) = tab
            && !content.is_empty()
            && !content.starts_with('#')
        {
            let mark = Mark { len: 1, ..Mark::end_of(text.get(..start + tab)?) };
            return Some((mark, Fault::Tab));
        }
        start += line.len();
    }
    None
}
