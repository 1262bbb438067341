//! Kubernetes' protobuf bodies, which kubectl's typed clients send: read by the field numbers that the structural schema
//! has of every built-in type. What is not understood is refused by name, never dropped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_store::schema::{Field, Object, Resolved, Scalar, Schema, Type};
use serde_json::{Map, Value, json};
use units::Timestamp;

use super::wire::{BROKEN, Wire};

/// In front of every body (`k8s.io/apimachinery/pkg/runtime/serializer/protobuf`).
const MAGIC: &[u8] = b"k8s\0";
/// Messages within messages; the deepest built-in object has about twenty.
const MAX_DEPTH: usize = 64;

/// # Errors
/// What the body has that is not understood here.
pub fn decode(body: &[u8]) -> Result<Value, String> {
    let envelope = body.strip_prefix(MAGIC).ok_or("the body does not begin as Kubernetes' protobuf does")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for (number, wire) in Wire::fields(envelope)? {
        match (number, wire) {
            (1, Wire::Bytes(types)) => {
                for (number, wire) in Wire::fields(types)? {
                    let text = wire.text()?;
                    if number == 1 { api_version = text } else { kind = text }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let schema = Schema::builtin();
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let ty = schema
        .type_for(group, version, &kind)
        .ok_or_else(|| format!("{kind} of {api_version} is not read as protobuf, send JSON"))?;
    let ty = Type::from(ty);
    let Resolved::Object { object, .. } = schema.resolve(&ty) else { return Err(BROKEN.to_owned()) };
    let mut fields = Map::new();
    fields.insert("apiVersion".to_owned(), json!(api_version));
    fields.insert("kind".to_owned(), json!(kind));
    Reader { schema }.message(raw, object, &Place { at: &kind, outer: &[], depth: 0 }, &mut fields)?;
    Ok(Value::Object(fields))
}

/// Where in the body a message stands.
struct Place<'p> {
    /// For messages to people: `Deployment.spec`.
    at: &'p str,
    /// The numbers of the messages around it whose fields JSON shows as one object's.
    outer: &'p [u8],
    depth: usize,
}

struct Reader<'s> {
    schema: &'s Schema,
}

impl Reader<'_> {
    fn message(
        &self,
        bytes: &[u8],
        object: &Object,
        place: &Place<'_>,
        into: &mut Map<String, Value>,
    ) -> Result<(), String> {
        if place.depth > MAX_DEPTH {
            return Err(format!("{} is nested too deeply", place.at));
        }
        for (number, wire) in Wire::fields(bytes)? {
            let unknown = || format!("field {number} of {} is not read as protobuf, send JSON", place.at);
            let number = u8::try_from(number).map_err(|_| unknown())?;
            let path = [place.outer, &[number]].concat();
            let inside = |field: &Field| field.wire.path.starts_with(&path);
            let ends = |field: &Field| field.wire.path.get(path.len()).is_none_or(|next| *next == 0);
            let mut candidates = object.fields.iter().filter(|(_, field)| inside(field));
            let Some((name, field)) = candidates.next() else { return Err(unknown()) };
            if ends(field) {
                self.field(wire, name, field, place, into)?;
            } else {
                let inner = Place { at: place.at, outer: &path, depth: place.depth + 1 };
                self.message(wire.bytes()?, object, &inner, into)?;
            }
        }
        Ok(())
    }

    fn field(
        &self,
        wire: Wire<'_>,
        name: &str,
        field: &Field,
        place: &Place<'_>,
        into: &mut Map<String, Value>,
    ) -> Result<(), String> {
        let at = format!("{}.{name}", place.at);
        let inner = Place { at: &at, outer: &[], depth: place.depth + 1 };
        let value = match self.schema.resolve(&field.ty) {
            Resolved::List(list) => {
                let item = self.value(wire, &list.items, &inner)?;
                if let Some(Value::Array(items)) = into.get_mut(name) {
                    items.push(item);
                    return Ok(());
                }
                json!([item])
            }
            Resolved::Object { object, .. } if object.fields.is_empty() && object.additional.is_some() => {
                let (key, value) = self.entry(wire.bytes()?, object, &inner)?;
                if let Some(Value::Object(entries)) = into.get_mut(name) {
                    entries.insert(key, value);
                    return Ok(());
                }
                json!({key: value})
            }
            _ => {
                let value = self.value(wire, &field.ty, &inner)?;
                let counts = matches!(value, Value::Number(_) | Value::Bool(_)) && field.required;
                if is_zero(&value) && !field.wire.pointer && !counts {
                    // Go writes what is no pointer even when it is empty.
                    return Ok(());
                }
                value
            }
        };
        into.insert(name.to_owned(), value);
        Ok(())
    }

    /// One entry of a map.
    fn entry(&self, bytes: &[u8], map: &Object, place: &Place<'_>) -> Result<(String, Value), String> {
        let ty = map.additional.as_ref().ok_or(BROKEN)?;
        let (mut key, mut value) = (String::new(), None);
        for (number, wire) in Wire::fields(bytes)? {
            match number {
                1 => key = wire.text()?,
                _ => value = Some(self.value(wire, ty, place)?),
            }
        }
        let absent = || match self.schema.resolve(ty) {
            Resolved::Scalar(_) => json!(""),
            Resolved::List(_) => json!([]),
            _ => json!({}),
        };
        Ok((key, value.unwrap_or_else(absent)))
    }

    fn value(&self, wire: Wire<'_>, ty: &Type, place: &Place<'_>) -> Result<Value, String> {
        Ok(match self.schema.resolve(ty) {
            Resolved::Scalar(scalar) => self::scalar(wire, scalar)?,
            Resolved::Object { object, .. } => {
                let mut fields = Map::new();
                self.message(wire.bytes()?, object, place, &mut fields)?;
                Value::Object(fields)
            }
            // A list where only one value can be (in a map, in a list) is a message with the list as its first field.
            Resolved::List(list) => {
                let inner = Place { at: place.at, outer: &[], depth: place.depth + 1 };
                let items = Wire::fields(wire.bytes()?)?;
                items.into_iter().map(|(_, item)| self.value(item, &list.items, &inner)).collect::<Result<_, _>>()?
            }
            // Both hold JSON as their first field: `RawExtension`, `FieldsV1`.
            Resolved::Any | Resolved::Raw => {
                let mut json = json!({});
                for (number, wire) in Wire::fields(wire.bytes()?)? {
                    let text = if number == 1 { wire.bytes()? } else { &[] };
                    json = serde_json::from_slice(text)
                        .map_err(|_| format!("{} is not read as protobuf, send JSON", place.at))?;
                }
                json
            }
        })
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn scalar(wire: Wire<'_>, scalar: Scalar) -> Result<Value, String> {
    Ok(match scalar {
        Scalar::String => json!(wire.text()?),
        Scalar::Bytes => json!(STANDARD.encode(wire.bytes()?)),
        Scalar::Int32 | Scalar::Int64 => json!(wire.number()?.cast_signed()),
        Scalar::Number => json!(wire.double()?),
        Scalar::Bool => json!(wire.number()? != 0),
        Scalar::Time => time(wire.bytes()?)?,
        Scalar::Quantity => {
            let first = Wire::fields(wire.bytes()?)?.into_iter().next();
            first.map_or(Ok(json!("0")), |(_, text)| text.text().map(|text| json!(text)))?
        }
        Scalar::IntOrString => int_or_string(wire.bytes()?)?,
    })
}

/// Seconds and nanoseconds; Go's zero time is all zero, and means none.
fn time(bytes: &[u8]) -> Result<Value, String> {
    let (mut seconds, mut nanoseconds) = (0, 0);
    for (number, wire) in Wire::fields(bytes)? {
        match number {
            1 => seconds = wire.number()?.cast_signed(),
            _ => nanoseconds = wire.number()?.cast_signed(),
        }
    }
    if (seconds, nanoseconds) == (0, 0) {
        return Ok(Value::Null);
    }
    let milliseconds = seconds
        .checked_mul(1000)
        .and_then(|milliseconds| milliseconds.checked_add(nanoseconds / 1_000_000))
        .ok_or("the protobuf body has a time that is out of range")?;
    Ok(json!(Timestamp(milliseconds).rfc3339()))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for (at, wire) in Wire::fields(bytes)? {
        match at {
            1 => is_text = wire.number()? == 1,
            2 => number = wire.number()?.cast_signed(),
            _ => text = wire.text()?,
        }
    }
    Ok(if is_text { json!(text) } else { json!(number) })
}

#[cfg(test)]
#[path = "protobuf_tests.rs"]
mod tests;
