//! Policy files: read, parse, merge, validate. From here on a policy is a value with no invalid states.

pub mod codes;
mod diagnostic;
mod document;
mod fault;
mod findings;
mod mark;
mod merge;
pub mod model;
mod prefix;
mod reference;
mod schema;
mod shape;
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

use sha2::{Digest, Sha256};

use document::{Document, InFile, Mark};
use findings::Findings;
use model::Policy;
use source::Sources;

use crate::hex::hex;

pub use diagnostic::{Diagnostic, Second, render};
pub use fault::{Fault, Quoted, Severity};
pub use reference::reference;
pub use schema::schema;
pub use source::{MAX_BYTES, PolicyText};
pub(crate) use value::ae_title;

/// A policy that may be put in force, and what its author should look at again.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The policy.
    pub policy: Policy,
    /// Warnings, in the order of the files.
    pub warnings: Vec<Diagnostic>,
    /// The texts that the policy was read from, in the order in which they count. At least one.
    pub texts: Vec<PolicyText>,
    /// The file or folder, as the user named it.
    pub path: Arc<PathBuf>,
    /// Whether every mode that the texts state was overruled by hand: see [`enforced`].
    pub enforced: bool,
}

/// A policy that may not be put in force.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// All errors in the order of the files, then all warnings. At least one error.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that could be read.
    pub texts: Vec<PolicyText>,
    /// The file or folder, as the user named it.
    pub path: Arc<PathBuf>,
}

impl Checked {
    /// The warnings for people.
    pub fn render(&self, color: bool) -> String {
        render(&self.warnings, &self.texts, color)
    }

    /// Names the policy: what [`hash`] gives as long as no file of its texts changes, and something else where it was
    /// [`enforced`], for then it is not the policy that is written there.
    pub fn hash(&self) -> String {
        let written = hash_of(&self.texts);
        if self.enforced { hash_text(&format!("{written}\nmode: enforce\n")) } else { written }
    }
}

impl Rejected {
    /// The errors and warnings for people.
    pub fn render(&self, color: bool) -> String {
        render(&self.diagnostics, &self.texts, color)
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

/// Reads and validates a policy: a file with the folder `policies.d` beside it, or a folder of `*.yaml`.
///
/// Every file is read once, so that what was checked is what is in the answer.
///
/// # Errors
/// Every mistake in the files that can be told from the others, each with its place. One bad file refuses all.
pub fn read(path: &Path) -> Result<Checked, Rejected> {
    judge(path, source::read(path), false)
}

/// The same policy with every refusal enforced, whatever mode its texts state.
///
/// # Errors
/// What is a mistake only where it is enforced, such as a service that nobody may use.
pub fn enforced(checked: &Checked) -> Result<Checked, Rejected> {
    judge(&checked.path, Sources { texts: checked.texts.clone(), faults: vec![] }, true)
}

/// The hash of the texts that [`read`] would read, whether or not they are a policy.
///
/// SHA-256 in lower-case hex. Of one file it is what `sha256sum` prints; of several, what
/// `sha256sum FILE… | cut -c-64 | sha256sum` prints. (A byte order mark is no part of a text.)
///
/// # Errors
/// Where a file may not be trusted or can't be read.
pub fn hash(path: &Path) -> Result<String, Rejected> {
    let Sources { texts, faults } = source::read(path);
    let mut findings = Findings::new(&texts, Arc::new(path.to_owned()));
    faults.into_iter().for_each(|(place, fault)| findings.push_at(place, fault));
    match findings.finish() {
        (errors, _) if errors.is_empty() => Ok(hash_of(&texts)),
        (diagnostics, _) => Err(Rejected { diagnostics, texts, path: Arc::new(path.to_owned()) }),
    }
}

fn hash_of(texts: &[PolicyText]) -> String {
    match texts {
        [text] => hash_text(&text.text),
        texts => hash_text(&texts.iter().map(|text| hash_text(&text.text) + "\n").collect::<String>()),
    }
}

/// The hash of a policy of one text.
pub fn hash_text(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Validates the text of a policy, as if it were read from `path` with nothing beside it.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: impl Into<String>) -> Result<Checked, Rejected> {
    parse_all(path, &[(path, &text.into())])
}

/// Validates a policy of several texts, in this order, each as if it were read from its path.
///
/// # Errors
/// As [`read`].
pub fn parse_all(path: &Path, texts: &[(&Path, &str)]) -> Result<Checked, Rejected> {
    let texts = texts.iter().map(|(path, text)| PolicyText::new(path, text)).collect();
    judge(path, Sources { texts, faults: vec![] }, false)
}

fn judge(path: &Path, Sources { texts, faults }: Sources, enforced: bool) -> Result<Checked, Rejected> {
    let path = Arc::new(path.to_owned());
    let mut findings = Findings::new(&texts, path.clone());
    faults.into_iter().for_each(|(place, fault)| findings.push_at(place, fault));
    let whole = documents(&texts, &mut findings);
    let policy = whole.map(|whole| {
        let mut whole = merge::merge(whole, &mut findings);
        if enforced {
            whole.enforce();
        }
        validate::validate(whole, &mut findings)
    });
    let (mut diagnostics, warnings) = findings.finish();
    match policy {
        Some(policy) if diagnostics.is_empty() => Ok(Checked { policy, warnings, texts, path, enforced }),
        _ => {
            diagnostics.extend(warnings);
            Err(Rejected { diagnostics, texts, path })
        }
    }
}

/// The documents of all texts; `None` where one is missing, for then the others say little.
fn documents<'t>(texts: &'t [PolicyText], findings: &mut Findings<'_>) -> Option<Vec<Document<'t>>> {
    let mut documents = Vec::with_capacity(texts.len());
    let mut values = 0;
    for (text, file) in texts.iter().zip(0..) {
        match document(&text.text) {
            Ok(mut document) => {
                values += document.put_in(file);
                documents.push(document);
            }
            Err((mark, fault)) => findings.push(Mark { file, ..mark }, fault),
        }
        // Each file keeps to the budget; so do all of them.
        if values > document::MOST_VALUES {
            findings.push(Mark::top_of(file), Fault::OverBudget { reason: syntax::TOO_MANY.to_owned() });
            return None;
        }
    }
    let whole = !findings.has_errors() && !texts.is_empty();
    whole.then_some(documents)
}

fn document(text: &str) -> Result<Document<'_>, (Mark, Fault)> {
    if text.len() as u64 > MAX_BYTES {
        return Err((Mark::top_of(0), Fault::TooLarge { limit: MAX_BYTES }));
    }
    match no_yaml(text) {
        Some(fault) => Err(fault),
        None => document::parse(text).map_err(|error| syntax::fault(&error)),
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
