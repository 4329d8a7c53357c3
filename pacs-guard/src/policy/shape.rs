//! The pieces that a document is made of, and how each is read.
//!
//! serde's derive ends at the first unknown key. Here a mistake of shape becomes a [`Slip`] and reading goes on,
//! so that all of a file's mistakes are shown at once.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::{
    fault::{Fault, Quoted, nearest},
    mark::Mark,
};

/// A mistake of shape, kept while the rest is read.
pub(super) struct Slip {
    pub(super) mark: Mark,
    pub(super) fault: Fault,
    /// Where the key was written first, if it is here twice.
    pub(super) first: Option<Mark>,
}

/// Slips kept of one mapping: more than are ever shown.
const MOST_SLIPS: usize = 200;

/// A key, and what it means: for the reader and for the JSON Schema.
pub(super) type Key = (&'static str, &'static [&'static str]);

/// A mapping whose keys are known. Written by [`mapping!`].
pub(super) trait Mapping<'de>: Default {
    /// What it is, in lines.
    const WHAT: &'static [&'static str];
    /// The keys, in the order in which people write them.
    const KEYS: &'static [Key];

    /// Reads the value of the key with this index.
    fn read<M: MapAccess<'de>>(&mut self, key: usize, map: &mut M) -> Result<(), M::Error>;

    /// What is wrong with its shape.
    fn slips(&mut self) -> &mut Vec<Slip>;
}

/// Declares a [`Mapping`]; the doc comments are the descriptions in the JSON Schema.
macro_rules! mapping {
    ($(#[doc = $what:literal])* $name:ident<$life:lifetime> {
        $($(#[doc = $doc:literal])* $key:ident: $type:ty,)*
    }) => {
        $(#[doc = $what])*
        #[derive(Default)]
        pub(super) struct $name<$life> {
            $($(#[doc = $doc])* pub(super) $key: $type,)*
            /// What is wrong with its shape.
            pub(super) slips: Vec<Slip>,
        }

        impl<'de: $life, $life> Mapping<'de> for $name<$life> {
            const WHAT: &'static [&'static str] = &[$($what),*];
            const KEYS: &'static [Key] = &[$((stringify!($key), &[$($doc),*])),*];

            fn read<M: MapAccess<'de>>(&mut self, key: usize, map: &mut M) -> Result<(), M::Error> {
                match Self::KEYS.get(key).map(|key| key.0) {
                    $(Some(stringify!($key)) => self.$key = Field::read(map, &mut self.slips)?,)*
                    _ => {}
                }
                Ok(())
            }

            fn slips(&mut self) -> &mut Vec<Slip> {
                &mut self.slips
            }
        }

        impl<'de: $life, $life> Deserialize<'de> for $name<$life> {
            fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
                read_mapping(value)
            }
        }

        impl<'de: $life, $life> Field<'de> for Option<At<$name<$life>>> {
            fn read<M: MapAccess<'de>>(map: &mut M, _: &mut Vec<Slip>) -> Result<Self, M::Error> {
                map.next_value().map(Some)
            }
        }

        impl InFile for $name<'_> {
            fn put_in(&mut self, file: u16) -> usize {
                for slip in &mut self.slips {
                    slip.mark.file = file;
                    slip.first.iter_mut().for_each(|first| first.file = file);
                }
                0 $(+ self.$key.put_in(file))*
            }
        }
    };
}
pub(super) use mapping;

/// What knows its places, all of them in one file.
pub(super) trait InFile {
    /// Says which file, and how many values there are.
    fn put_in(&mut self, file: u16) -> usize;
}

/// What may stand behind a known key.
pub(super) trait Field<'de>: Default {
    fn read<M: MapAccess<'de>>(map: &mut M, slips: &mut Vec<Slip>) -> Result<Self, M::Error>;
}

/// A single value. A key that is written has one: `mode:` with nothing after it is a line left unfinished.
impl<'de: 'a, 'a> Field<'de> for Option<At<Text<'a>>> {
    fn read<M: MapAccess<'de>>(map: &mut M, slips: &mut Vec<Slip>) -> Result<Self, M::Error> {
        let At { value, mark } = map.next_value::<At<Option<Text<'a>>>>()?;
        if value.is_none() {
            slips.push(Slip { mark, fault: Fault::NoValue, first: None });
        }
        Ok(value.map(|value| At { value, mark }))
    }
}

impl<'de, T: Deserialize<'de>> Field<'de> for Vec<At<T>> {
    fn read<M: MapAccess<'de>>(map: &mut M, slips: &mut Vec<Slip>) -> Result<Self, M::Error> {
        Ok(collection::<Items<At<T>>, _>(map, slips)?.unwrap_or_default().0)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Field<'de> for Option<Entries<'a, T>> {
    fn read<M: MapAccess<'de>>(map: &mut M, slips: &mut Vec<Slip>) -> Result<Self, M::Error> {
        collection(map, slips)
    }
}

fn collection<'de, T: Collection<'de>, M: MapAccess<'de>>(
    map: &mut M,
    slips: &mut Vec<Slip>,
) -> Result<Option<T>, M::Error> {
    let At { value, mark } = map.next_value::<At<Loose<T>>>()?;
    match value {
        Loose::Right(whole) => Ok(Some(whole)),
        Loose::Wrong(fault) => {
            slips.push(Slip { mark, fault, first: None });
            Ok(None)
        }
    }
}

/// A list or a mapping.
trait Collection<'de>: Sized {
    /// The fault where there is none.
    const MISSING: Fault;

    fn of_list<A: SeqAccess<'de>>(_: &mut A) -> Result<Option<Self>, A::Error> {
        Ok(None)
    }

    fn of_mapping<A: MapAccess<'de>>(_: &mut A) -> Result<Option<Self>, A::Error> {
        Ok(None)
    }
}

/// A collection, or what is wrong with it: read to its end in either case.
enum Loose<T> {
    Right(T),
    Wrong(Fault),
}

impl<'de, T: Collection<'de>> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(LooseVisitor(PhantomData))
    }
}

struct LooseVisitor<T>(PhantomData<T>);

/// A scalar where a collection belongs; what it says is of no matter.
macro_rules! wrong {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: de::Error>(self, _: $type) -> Result<Self::Value, E> { Ok(Loose::Wrong(T::MISSING)) })*
    };
}

impl<'de, T: Collection<'de>> Visitor<'de> for LooseVisitor<T> {
    type Value = Loose<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a mapping")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let whole = T::of_list(&mut list)?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(whole.map_or(Loose::Wrong(T::MISSING), Loose::Right))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let whole = T::of_mapping(&mut map)?;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(whole.map_or(Loose::Wrong(T::MISSING), Loose::Right))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Loose::Wrong(Fault::NoValue))
    }

    wrong!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64);
    wrong!(visit_str: &str);
}

/// A list.
struct Items<T>(Vec<T>);

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<'de, T: Deserialize<'de>> Collection<'de> for Items<T> {
    const MISSING: Fault = Fault::NO_LIST;

    fn of_list<A: SeqAccess<'de>>(list: &mut A) -> Result<Option<Self>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Some(Self(items)))
    }
}

/// A mapping whose keys are names that the author chose, in the order of the file.
pub(super) struct Entries<'a, T>(pub(super) Vec<(At<Text<'a>>, T)>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Collection<'de> for Entries<'a, T> {
    const MISSING: Fault = Fault::NO_MAPPING;

    fn of_mapping<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Some(Self(entries)))
    }
}

/// Reads a [`Mapping`], or something else to its end.
pub(super) fn read_mapping<'de, T: Mapping<'de>, D: Deserializer<'de>>(value: D) -> Result<T, D::Error> {
    let At { value, mark } = At::<Loose<Known<T>>>::deserialize(value)?;
    Ok(match value {
        Loose::Right(Known(whole)) => whole,
        // What it lacks says more.
        Loose::Wrong(Fault::NoValue) => T::default(),
        Loose::Wrong(fault) => {
            let mut whole = T::default();
            whole.slips().push(Slip { mark, fault, first: None });
            whole
        }
    })
}

struct Known<T>(T);

impl<'de, T: Mapping<'de>> Collection<'de> for Known<T> {
    const MISSING: Fault = Fault::NO_MAPPING;

    fn of_mapping<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
        let mut whole = T::default();
        let mut seen: Vec<(usize, Mark)> = Vec::new();
        while let Some(At { value: Text(key), mark }) = map.next_key::<At<Text<'de>>>()? {
            let known = T::KEYS.iter().position(|known| known.0 == key);
            let first = known.and_then(|index| seen.iter().find(|seen| seen.0 == index)).map(|seen| seen.1);
            match known {
                Some(index) if first.is_none() => {
                    seen.push((index, mark));
                    whole.read(index, map)?;
                    continue;
                }
                _ if whole.slips().len() >= MOST_SLIPS => {}
                Some(_) => {
                    let fault = Fault::DuplicateKey { key: Quoted::new(&key) };
                    whole.slips().push(Slip { mark, fault, first });
                }
                None => {
                    let names = T::KEYS.iter().map(|known| known.0);
                    let fault = Fault::UnknownKey {
                        key: Quoted::new(&key),
                        nearest: nearest(&key, names.clone()),
                        known: names.collect::<Vec<_>>().join(", "),
                    };
                    whole.slips().push(Slip { mark, fault, first });
                }
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Some(Self(whole)))
    }
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

impl InFile for Text<'_> {
    fn put_in(&mut self, _: u16) -> usize {
        0
    }
}

impl<T: InFile> InFile for At<T> {
    fn put_in(&mut self, file: u16) -> usize {
        self.mark.file = file;
        1 + self.value.put_in(file)
    }
}

impl<T: InFile> InFile for Vec<T> {
    fn put_in(&mut self, file: u16) -> usize {
        self.iter_mut().map(|item| item.put_in(file)).sum()
    }
}

impl<T: InFile> InFile for Option<T> {
    fn put_in(&mut self, file: u16) -> usize {
        self.as_mut().map_or(0, |value| value.put_in(file))
    }
}

impl<T: InFile> InFile for Entries<'_, T> {
    fn put_in(&mut self, file: u16) -> usize {
        self.0.iter_mut().map(|(key, value)| key.put_in(file) + value.put_in(file)).sum()
    }
}
