//! The policy file as written: the shape of the YAML, every value still text with its place.
//!
//! Values stay text so that `validate` can report all mistakes at once; only the shape is judged here.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_saphyr::{
    Budget, DuplicateKeyPolicy, Error, Location, MergeKeyPolicy, Options, Spanned, alias_limits, budget,
    options,
};

/// Parses one document. Costs at most about what a million prefixes cost, whatever the text.
///
/// # Errors
/// Syntax, shape, unknown and duplicate keys, and texts over the budget; the first one found.
pub(super) fn parse(text: &str) -> Result<Document<'_>, Error> {
    serde_saphyr::from_str_with_options(text, reader())
}

fn reader() -> Options {
    options! {
        budget: limits(),
        // Aliases may share a list of hosts, and never multiply one.
        alias_limits: alias_limits! { max_total_replayed_events: 100_000, max_replay_stack_depth: 4 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        reject_tagged_field_names: true,
        with_snippet: false,
    }
}

/// A million prefixes in 4,096 segments fit, with a quarter to spare.
fn limits() -> Option<Budget> {
    budget! {
        max_nodes: 1_250_000,
        max_events: 1_500_000,
        max_depth: 16,
        max_aliases: 10_000,
        max_anchors: 10_000,
        max_documents: 2,
    }
}

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct Document<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) version: Option<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) name: Option<At<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) interfaces: Vec<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) mode: Option<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) allow_management_port: Option<At<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) services: Option<Entries<'a, RawService<'a>>>,
    #[serde(borrow, default)]
    pub(super) segments: Option<Entries<'a, RawSegment<'a>>>,
    #[serde(borrow, default)]
    pub(super) peers: Vec<At<RawPeer<'a>>>,
    #[serde(borrow, default)]
    pub(super) unparsed: Option<Entries<'a, At<Text<'a>>>>,
}

/// One value under `services`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawService<'a> {
    #[serde(borrow, default)]
    pub(super) ports: Vec<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) transport: Option<At<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) addresses: Vec<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) on_refuse: Option<At<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) reset_to: Vec<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) mode: Option<At<Text<'a>>>,
}

/// One value under `segments`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawSegment<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) description: Option<At<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) sources: Vec<At<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) except: Vec<At<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) services: Vec<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) mode: Option<At<Text<'a>>>,
}

/// One item of `peers`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawPeer<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) name: Option<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) address: Option<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) port: Option<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) ae_title: Option<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) calling_ae_title: Option<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) every: Option<At<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) do_not_probe: Option<At<Text<'a>>>,
}

/// A key that is written has a value: `mode:` with nothing after it is a line left unfinished.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// A value and the place that writes it. For an alias that is the alias, not what it stands for.
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) mark: Mark,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let spanned = Spanned::deserialize(value)?;
        Ok(Self { value: spanned.value, mark: Mark::from(spanned.referenced) })
    }
}

/// A piece of the text: bytes from 0, line and column from 1. Small, for there may be a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// First byte.
    pub(super) start: u32,
    /// Bytes; may be 0 where the parser knows only where it begins.
    pub(super) len: u32,
    /// Line, from 1.
    pub(super) line: u32,
    /// Column in characters, from 1.
    pub(super) column: u32,
}

impl Mark {
    /// The place right behind `text`.
    pub(super) fn end_of(text: &str) -> Self {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let last = text.rsplit('\n').next().unwrap_or(text);
        Self {
            start: narrow(text.len()),
            len: 0,
            line: narrow(text.bytes().filter(|byte| *byte == b'\n').count()).saturating_add(1),
            column: narrow(last.chars().count()).saturating_add(1),
        }
    }
}

impl From<Location> for Mark {
    fn from(location: Location) -> Self {
        let span = location.span();
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            // Out of every text where the reader doesn't know it; line and column then say where.
            start: span.byte_offset().map_or(u32::MAX, narrow),
            len: narrow(span.byte_len().unwrap_or(0)),
            line: narrow(location.line()),
            column: narrow(location.column()),
        }
    }
}

/// A scalar's text, borrowed from the file wherever nothing was escaped.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a single value")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }

        value.deserialize_str(TextVisitor)
    }
}

/// A mapping whose keys are names that the author chose, in the order of the file.
pub(super) struct Entries<'a, T>(pub(super) Vec<(At<Text<'a>>, T)>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Entries<'a, T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<'a, T>(PhantomData<(&'a (), T)>);

        impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<'a, T> {
            type Value = Entries<'a, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        value.deserialize_map(EntriesVisitor(PhantomData))
    }
}
