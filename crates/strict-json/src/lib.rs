//! Deserialising a JSON value with the place of what is wrong, and of what the type does not know.
//!
//! One layer that answers everything from the value at hand. The well-known adapters for paths and for ignored fields
//! each wrap every visitor, seed and access of the layer below, and a Pod has hundreds of types within it: together
//! they were 40 % of the code of `decide`, and most of the minutes that its release build took.

use std::cell::RefCell;
use std::fmt::Write as _;

use serde::Deserializer;
use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::{Error, Value};

/// What was seen on the way, shared by all levels of one document.
#[derive(Default)]
struct Trail<'de> {
    /// Where reading stands. Levels are left only when they were read well, so after an error this is its place.
    place: Vec<Step<'de>>,
    /// Fields that no type asked for, in the order of the document.
    unknown: Vec<String>,
}

#[derive(Clone, Copy)]
enum Step<'de> {
    Field(&'de str),
    Item(usize),
}

/// What reading a document gave.
pub struct Read<T> {
    pub value: Result<T, ReadError>,
    /// Paths of the fields that the type does not know.
    pub unknown: Vec<String>,
}

/// Why a document is not a `T`, and where.
#[derive(Debug)]
pub struct ReadError {
    pub place: Vec<Segment>,
    pub error: Error,
}

/// One level of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Field(String),
    /// Counted from 0.
    Item(usize),
}

impl ReadError {
    /// `spec.containers[0].name`; empty for the document itself.
    pub fn path(&self) -> String {
        let steps = self.place.iter().map(|segment| match segment {
            Segment::Field(name) => Step::Field(name),
            Segment::Item(index) => Step::Item(*index),
        });
        path(steps)
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path();
        if path.is_empty() { self.error.fmt(f) } else { write!(f, "{path}: {}", self.error) }
    }
}

impl std::error::Error for ReadError {}

/// Reads `document` as `T`.
pub fn read<T: DeserializeOwned>(document: &Value) -> Read<T> {
    let trail = RefCell::new(Trail::default());
    let parsed = T::deserialize(Tracked { value: document, trail: &trail });
    let trail = trail.into_inner();
    Read { value: parsed.map_err(|error| ReadError { place: segments(&trail.place), error }), unknown: trail.unknown }
}

fn segments(place: &[Step<'_>]) -> Vec<Segment> {
    let owned = |step: &Step<'_>| match *step {
        Step::Field(name) => Segment::Field(name.to_owned()),
        Step::Item(index) => Segment::Item(index),
    };
    place.iter().map(owned).collect()
}

fn path<'a>(steps: impl Iterator<Item = Step<'a>>) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Item(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}

/// A tuple leaves what is beyond its length, which is an error.
fn all_taken(left: usize, all: usize, expected: &'static &'static str) -> Result<(), Error> {
    if left == 0 { Ok(()) } else { Err(Error::invalid_length(all, expected)) }
}

struct Tracked<'a, 'de> {
    value: &'de Value,
    trail: &'a RefCell<Trail<'de>>,
}

// Not generic: what can be compiled once is kept out of the functions that are compiled per type.
fn enter<'de>(trail: &RefCell<Trail<'de>>, step: Step<'de>) {
    trail.borrow_mut().place.push(step);
}

fn leave(trail: &RefCell<Trail<'_>>) {
    trail.borrow_mut().place.pop();
}

fn note_unknown(trail: &RefCell<Trail<'_>>) {
    let mut trail = trail.borrow_mut();
    let place = path(trail.place.iter().copied());
    trail.unknown.push(place);
}

impl<'de> Deserializer<'de> for Tracked<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(values) => {
                let mut items = Items { items: values.iter().enumerate(), trail: self.trail };
                let read = visitor.visit_seq(&mut items)?;
                all_taken(items.items.len(), values.len(), &"fewer elements in array")?;
                Ok(read)
            }
            Value::Object(values) => {
                let mut fields = Fields { fields: values.iter(), next: None, trail: self.trail };
                let read = visitor.visit_map(&mut fields)?;
                all_taken(fields.fields.len(), values.len(), &"fewer elements in map")?;
                Ok(read)
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => number.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(fields) if fields.len() == 1 => {
                let (variant, content) = fields.iter().next().expect("it has one field");
                visitor.visit_enum(Choice { variant, content, trail: self.trail })
            }
            Value::String(variant) => visitor.visit_enum(BorrowedStrDeserializer::new(variant)),
            _ => Err(Error::invalid_type(Unexpected::Other("neither a text nor an object of one field"), &"a variant")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        note_unknown(self.trail);
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

struct Items<'a, 'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
    trail: &'a RefCell<Trail<'de>>,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        enter(self.trail, Step::Item(index));
        let item = seed.deserialize(Tracked { value, trail: self.trail })?;
        leave(self.trail);
        Ok(Some(item))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'a, 'de> {
    fields: serde_json::map::Iter<'de>,
    next: Option<(&'de str, &'de Value)>,
    trail: &'a RefCell<Trail<'de>>,
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.fields.next() else { return Ok(None) };
        self.next = Some((key, value));
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self.next.take().ok_or_else(|| Error::custom("a value was asked for before its key"))?;
        enter(self.trail, Step::Field(key));
        let read = seed.deserialize(Tracked { value, trail: self.trail })?;
        leave(self.trail);
        Ok(read)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

/// `{"variant": content}`.
struct Choice<'a, 'de> {
    variant: &'de str,
    content: &'de Value,
    trail: &'a RefCell<Trail<'de>>,
}

impl<'a, 'de> EnumAccess<'de> for Choice<'a, 'de> {
    type Error = Error;
    type Variant = Choice<'a, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Choice<'a, 'de>), Error> {
        let variant = seed.deserialize(StrDeserializer::<Error>::new(self.variant))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.content.is_null() {
            return Ok(());
        }
        Err(Error::invalid_type(Unexpected::Other("a value"), &"unit variant"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        enter(self.trail, Step::Field(self.variant));
        let content = seed.deserialize(Tracked { value: self.content, trail: self.trail })?;
        leave(self.trail);
        Ok(content)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        enter(self.trail, Step::Field(self.variant));
        let content = Tracked { value: self.content, trail: self.trail }.deserialize_any(visitor)?;
        leave(self.trail);
        Ok(content)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        enter(self.trail, Step::Field(self.variant));
        let content = Tracked { value: self.content, trail: self.trail }.deserialize_any(visitor)?;
        leave(self.trail);
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        inner: Option<Inner>,
        #[serde(default)]
        items: Vec<Inner>,
        #[serde(default)]
        named: BTreeMap<String, Inner>,
        kind: Option<Kind>,
        anything: Option<Value>,
        wrapped: Option<Wrapped>,
        pair: Option<(u8, String)>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        count: u32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(i64);

    #[derive(Debug, PartialEq, Deserialize)]
    enum Kind {
        Plain,
        Holding(Inner),
        Both(u8, u8),
        Named { count: u32 },
    }

    /// Reads as the reader of `serde_json` does, and names what is unknown.
    fn check(document: Value, unknown: &[&str]) {
        let read: Read<Outer> = read(&document);
        assert_eq!(read.value.expect("it is well formed"), serde_json::from_value(document).unwrap());
        assert_eq!(read.unknown, unknown);
    }

    fn check_refused(document: Value, expected: &str) {
        let read: Read<Outer> = read(&document);
        assert!(serde_json::from_value::<Outer>(document).is_err());
        assert_eq!(read.value.unwrap_err().to_string(), expected);
    }

    #[test]
    fn reads_what_the_plain_reader_reads() {
        check(json!({}), &[]);
        check(json!({"inner": null, "anything": {"a": [1, -2, 2.5, true, null, "x"]}}), &[]);
        check(json!({"inner": {"count": 1}, "items": [{"count": 2}], "named": {"a": {"count": 3}}}), &[]);
        check(json!({"wrapped": -5, "pair": [1, "x"]}), &[]);
        check(json!({"kind": "Plain"}), &[]);
        check(json!({"kind": {"Plain": null}}), &[]);
        check(json!({"kind": {"Holding": {"count": 1}}}), &[]);
        check(json!({"kind": {"Both": [1, 2]}}), &[]);
        check(json!({"kind": {"Named": {"count": 1}}}), &[]);
    }

    #[test]
    fn names_every_field_that_is_unknown() {
        check(json!({"other": {"deep": 1}}), &["other"]);
        check(
            json!({"inner": {"count": 1, "cuont": 2}, "items": [{"count": 1}, {"count": 1, "x": []}]}),
            &["inner.cuont", "items[1].x"],
        );
        check(
            json!({"named": {"a": {"count": 3, "b": 1}}, "kind": {"Holding": {"count": 1, "c": 1}}}),
            &["named.a.b", "kind.Holding.c"],
        );
    }

    #[test]
    fn says_where_a_value_is_wrong() {
        check_refused(json!([]), "invalid length 0, expected struct Outer with 7 elements");
        check_refused(json!({"inner": {"count": "x"}}), "inner.count: invalid type: string \"x\", expected u32");
        check_refused(json!({"inner": {}}), "inner: missing field `count`");
        check_refused(
            json!({"items": [{"count": 1}, 2]}),
            "items[1]: invalid type: integer `2`, expected struct Inner",
        );
        check_refused(
            json!({"named": {"a": {"count": -1}}}),
            "named.a.count: invalid value: integer `-1`, expected u32",
        );
        check_refused(
            json!({"kind": "Other"}),
            "kind: unknown variant `Other`, expected one of `Plain`, `Holding`, `Both`, `Named`",
        );
        check_refused(
            json!({"kind": {"Holding": {"count": null}}}),
            "kind.Holding.count: invalid type: null, expected u32",
        );
        check_refused(json!({"kind": {"Plain": 1}}), "kind: invalid type: a value, expected unit variant");
        check_refused(json!({"pair": [1]}), "pair: invalid length 1, expected a tuple of size 2");
        check_refused(json!({"pair": [1, "x", 2]}), "pair: invalid length 3, expected fewer elements in array");
    }
}
