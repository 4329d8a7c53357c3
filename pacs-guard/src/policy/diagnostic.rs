//! A fault and the place it is at: kept for JSON, rendered for people in the manner of rustc.

use std::{ops::Range, path::Path};

use annotate_snippets::{
    AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{
    fault::{Fault, Severity},
    model::Place,
    source::PolicyText,
};

/// One fault of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// What is wrong; gives code, severity, message and hint.
    pub fault: Fault,
    /// Where; line 1, column 1 where the file as a whole is at fault.
    pub place: Place,
    /// The offending bytes of the file's text; `None` where the file as a whole is at fault.
    pub span: Option<Range<usize>>,
    /// Another place that takes part, such as the first of two equal prefixes.
    pub second: Option<Box<Second>>,
}

/// A second place of a diagnostic.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// Where.
    pub place: Place,
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What it has to do with the fault.
    pub label: &'static str,
}

impl Diagnostic {
    /// Whether the policy is refused for it.
    pub const fn severity(&self) -> Severity {
        self.fault.severity()
    }

    /// The stable code, such as `PG0207`.
    pub const fn code(&self) -> &'static str {
        self.fault.code()
    }

    /// One sentence, in one line.
    pub fn message(&self) -> String {
        self.fault.to_string()
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Diagnostic", 10)?;
        row.serialize_field("severity", &self.severity())?;
        row.serialize_field("code", self.code())?;
        row.serialize_field("kind", self.fault.kind())?;
        row.serialize_field("message", &self.message())?;
        row.serialize_field("hint", &self.fault.hint())?;
        row.serialize_field("file", &self.place.file.to_string_lossy())?;
        row.serialize_field("line", &self.place.line)?;
        row.serialize_field("column", &self.place.column)?;
        row.serialize_field("span", &self.span)?;
        row.serialize_field("second", &self.second)?;
        row.end()
    }
}

impl Serialize for Second {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Second", 5)?;
        row.serialize_field("label", self.label)?;
        row.serialize_field("file", &self.place.file.to_string_lossy())?;
        row.serialize_field("line", &self.place.line)?;
        row.serialize_field("column", &self.place.column)?;
        row.serialize_field("span", &self.span)?;
        row.end()
    }
}

/// Renders diagnostics of a policy of these texts, one after the other with an empty line between.
pub fn render(diagnostics: &[Diagnostic], texts: &[PolicyText], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        let message = diagnostic.message();
        let level = match diagnostic.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(message.as_str()).id(diagnostic.code()).element(excerpt(
            texts,
            &diagnostic.place,
            diagnostic.span.as_ref(),
            AnnotationKind::Primary,
            None,
        ));
        if let Some(second) = &diagnostic.second {
            let label = Some(second.label);
            group = group.element(excerpt(
                texts,
                &second.place,
                Some(&second.span),
                AnnotationKind::Context,
                label,
            ));
        }
        if let Some(hint) = diagnostic.fault.hint() {
            group = group.element(Level::HELP.message(normalize_untrusted_str(&hint)));
        }
        let groups: [Group<'_>; 1] = [group];
        out.push_str(&renderer.render(&groups));
        out.push_str("\n\n");
    }
    out
}

/// The longest line that is shown: a million prefixes fit in one line, and nobody reads that.
const LONGEST_LINE: usize = 4096;

fn excerpt<'a>(
    texts: &[PolicyText],
    place: &Place,
    span: Option<&Range<usize>>,
    kind: AnnotationKind,
    label: Option<&'static str>,
) -> Element<'a> {
    let path = printable(&shown(&place.file));
    let Some(span) = span else {
        return match place.line {
            // The file as a whole.
            1 if place.column == 1 => Origin::path(path).into(),
            line => Origin::path(path).line(line as usize).char_column(place.column as usize).into(),
        };
    };
    let text = texts.iter().find(|text| text.path == place.file).map_or("", |text| &text.text);
    let Some((before, marked, after)) = line_around(text, span) else {
        return Origin::path(path).line(place.line as usize).char_column(place.column as usize).into();
    };
    let (before, marked, after) = (printable(before), printable(marked), printable(after));
    let range = before.len()..before.len() + marked.len();
    Snippet::source(before + &marked + &after)
        .path(path)
        .line_start(place.line as usize)
        .annotation(kind.span(range).label(label))
        .into()
}

/// The line that `span` begins in, cut in three at the part of `span` that is in it.
fn line_around<'t>(text: &'t str, span: &Range<usize>) -> Option<(&'t str, &'t str, &'t str)> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let rest = text.get(span.start..)?;
    let end = rest.find('\n').map_or(text.len(), |newline| span.start + newline);
    let marked = span.end.clamp(span.start, end);
    if text.is_empty() || end - start > LONGEST_LINE {
        return None;
    }
    Some((text.get(start..span.start)?, text.get(span.start..marked)?, text.get(marked..end)?))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The same number of characters, none of which a terminal acts on.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
