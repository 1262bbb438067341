//! Kubernetes' protobuf, as far as kubectl's typed clients send it: access reviews, tokens, evictions and the small kinds
//! of `kubectl create`. Other kinds and fields are refused by name, never dropped. Field numbers are those of
//! `k8s.io/api` v0.36.3.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// In front of every body (`k8s.io/apimachinery/pkg/runtime/serializer/protobuf`).
const MAGIC: &[u8] = b"k8s\0";

enum Kind {
    Text,
    Texts,
    Integer,
    Flag,
    Message(Fields),
    TextMap,
    BytesMap,
    /// What the server fills in; whatever the client put there does not count.
    Ignored,
}

type Fields = &'static [(u64, &'static str, Kind)];

const METADATA: Fields = &[
    (1, "name", Kind::Text),
    (2, "generateName", Kind::Text),
    (3, "namespace", Kind::Text),
    (4, "selfLink", Kind::Ignored),
    (5, "uid", Kind::Text),
    (6, "resourceVersion", Kind::Text),
    (7, "generation", Kind::Ignored),
    (8, "creationTimestamp", Kind::Ignored),
    (11, "labels", Kind::TextMap),
    (12, "annotations", Kind::TextMap),
    (14, "finalizers", Kind::Texts),
];
const RESOURCE_ATTRIBUTES: Fields = &[
    (1, "namespace", Kind::Text),
    (2, "verb", Kind::Text),
    (3, "group", Kind::Text),
    (4, "version", Kind::Text),
    (5, "resource", Kind::Text),
    (6, "subresource", Kind::Text),
    (7, "name", Kind::Text),
];
const PATH_ATTRIBUTES: Fields = &[(1, "path", Kind::Text), (2, "verb", Kind::Text)];
const OWN_ACCESS: Fields = &[
    (1, "resourceAttributes", Kind::Message(RESOURCE_ATTRIBUTES)),
    (2, "nonResourceAttributes", Kind::Message(PATH_ATTRIBUTES)),
];
const BOUND_OBJECT: Fields =
    &[(1, "kind", Kind::Text), (2, "apiVersion", Kind::Text), (3, "name", Kind::Text), (4, "uid", Kind::Text)];
const TOKEN: Fields = &[
    (1, "audiences", Kind::Texts),
    (3, "boundObjectRef", Kind::Message(BOUND_OBJECT)),
    (4, "expirationSeconds", Kind::Integer),
];
const DELETE_OPTIONS: Fields = &[
    (1, "gracePeriodSeconds", Kind::Integer),
    (2, "preconditions", Kind::Message(&[(1, "uid", Kind::Text), (2, "resourceVersion", Kind::Text)])),
    (3, "orphanDependents", Kind::Flag),
    (4, "propagationPolicy", Kind::Text),
    (5, "dryRun", Kind::Texts),
];
const REVIEW_OF_RULES: Fields = &[(1, "namespace", Kind::Text)];

fn fields_of(api_version: &str, kind: &str) -> Option<Fields> {
    const META: (u64, &str, Kind) = (1, "metadata", Kind::Message(METADATA));
    Some(match (api_version, kind) {
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => {
            &[META, (2, "spec", Kind::Message(OWN_ACCESS)), (3, "status", Kind::Ignored)]
        }
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => {
            &[META, (2, "spec", Kind::Message(REVIEW_OF_RULES)), (3, "status", Kind::Ignored)]
        }
        ("authentication.k8s.io/v1", "SelfSubjectReview") => &[META, (2, "status", Kind::Ignored)],
        ("authentication.k8s.io/v1", "TokenRequest") => {
            &[META, (2, "spec", Kind::Message(TOKEN)), (3, "status", Kind::Ignored)]
        }
        ("policy/v1", "Eviction") => &[META, (2, "deleteOptions", Kind::Message(DELETE_OPTIONS))],
        ("v1", "Namespace") => {
            &[META, (2, "spec", Kind::Message(&[(1, "finalizers", Kind::Texts)])), (3, "status", Kind::Ignored)]
        }
        ("v1", "ServiceAccount") => &[META, (4, "automountServiceAccountToken", Kind::Flag)],
        ("v1", "ConfigMap") => {
            &[META, (2, "data", Kind::TextMap), (3, "binaryData", Kind::BytesMap), (4, "immutable", Kind::Flag)]
        }
        ("v1", "Secret") => &[
            META,
            (2, "data", Kind::BytesMap),
            (3, "type", Kind::Text),
            (4, "stringData", Kind::TextMap),
            (5, "immutable", Kind::Flag),
        ],
        _ => return None,
    })
}

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
    let fields = fields_of(&api_version, &kind)
        .ok_or_else(|| format!("{kind} of {api_version} is not read as protobuf, send JSON"))?;
    let mut object = message(raw, fields, &kind)?;
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(Value::Object(object))
}

fn message(bytes: &[u8], fields: Fields, at: &str) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    for (number, wire) in Wire::fields(bytes)? {
        let (_, name, kind) = fields
            .iter()
            .find(|(known, _, _)| *known == number)
            .ok_or_else(|| format!("field {number} of {at} is not read as protobuf, send JSON"))?;
        let path = format!("{at}.{name}");
        let value = match kind {
            Kind::Ignored => continue,
            Kind::Text => match wire.text()? {
                // The encoding does not tell an empty text from an absent one.
                text if text.is_empty() => continue,
                text => json!(text),
            },
            Kind::Integer => json!(wire.number()?.cast_signed()),
            Kind::Flag => json!(wire.number()? != 0),
            Kind::Message(inner) => match message(wire.bytes()?, inner, &path)? {
                inner if inner.is_empty() => continue,
                inner => Value::Object(inner),
            },
            Kind::Texts => {
                let text = json!(wire.text()?);
                if let Some(Value::Array(texts)) = object.get_mut(*name) {
                    texts.push(text);
                    continue;
                }
                json!([text])
            }
            Kind::TextMap | Kind::BytesMap => {
                let (key, value) = entry(wire.bytes()?, matches!(kind, Kind::BytesMap))?;
                if let Some(Value::Object(entries)) = object.get_mut(*name) {
                    entries.insert(key, value);
                    continue;
                }
                json!({key: value})
            }
        };
        object.insert((*name).to_owned(), value);
    }
    Ok(object)
}

fn entry(bytes: &[u8], binary: bool) -> Result<(String, Value), String> {
    let (mut key, mut value) = (String::new(), json!(""));
    for (number, wire) in Wire::fields(bytes)? {
        match number {
            1 => key = wire.text()?,
            _ if binary => value = json!(STANDARD.encode(wire.bytes()?)),
            _ => value = json!(wire.text()?),
        }
    }
    Ok((key, value))
}

/// One field's value as it is on the wire.
#[derive(Clone, Copy)]
enum Wire<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

const BROKEN: &str = "the protobuf body is damaged or cut off";

impl<'b> Wire<'b> {
    fn fields(mut bytes: &'b [u8]) -> Result<Vec<(u64, Wire<'b>)>, String> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let wire = match tag & 7 {
                0 => Wire::Number(varint(&mut bytes)?),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).map_err(|_| BROKEN)?;
                    let (value, rest) = bytes.split_at_checked(length).ok_or(BROKEN)?;
                    bytes = rest;
                    Wire::Bytes(value)
                }
                _ => return Err(BROKEN.to_owned()),
            };
            fields.push((tag >> 3, wire));
        }
        Ok(fields)
    }

    fn number(self) -> Result<u64, String> {
        if let Wire::Number(number) = self { Ok(number) } else { Err(BROKEN.to_owned()) }
    }

    fn bytes(self) -> Result<&'b [u8], String> {
        if let Wire::Bytes(bytes) = self { Ok(bytes) } else { Err(BROKEN.to_owned()) }
    }

    fn text(self) -> Result<String, String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| "the protobuf body has text that is not UTF-8".to_owned())
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(BROKEN)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BROKEN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let types = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &types), field(2, raw)].concat()
    }

    #[test]
    fn small_kinds_are_read_whole() {
        let metadata = [field(1, b"m"), field(3, b""), field(8, b""), vec![7 << 3, 0]].concat();
        let data = [field(1, b"k"), field(2, &[0xff])].concat();
        let raw = [field(1, &metadata), field(2, &data), field(3, b"Opaque")].concat();
        let expected = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "m"}, "data": {"k": "/w=="}, "type": "Opaque"});
        assert_eq!(decode(&body("v1", "Secret", &raw)).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let refused = |body: &[u8]| decode(body).unwrap_err();
        assert!(refused(&body("apps/v1", "Deployment", &[])).contains("Deployment of apps/v1"));
        assert!(refused(&body("v1", "ServiceAccount", &field(3, b"x"))).contains("field 3 of ServiceAccount"));
        assert!(refused(b"{}").contains("does not begin"));
        let whole = body("v1", "Namespace", &field(1, &field(1, b"n")));
        assert!(refused(&whole[..whole.len() - 1]).contains("cut off"));
        assert!(refused(&[MAGIC, &[0xff; 12]].concat()).contains("damaged"));
    }
}
