//! The built-in types, read once from the generated facts. `conformance/schemagen/schemagen.py` describes the format.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::{
    Field, GroupVersionKind, List, ListKind, Object, PatchStrategy, Scalar, Schema, Type, TypeDef, TypeId, WhenAbsent,
    Wire,
};

/// The version whose types are built in.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

const FACTS: &str = include_str!("kubernetes.txt");

static BUILTIN: LazyLock<Schema> = LazyLock::new(|| read(FACTS));

impl Schema {
    /// The types of [`KUBERNETES_VERSION`] that belong to a stable version of their group.
    pub fn builtin() -> &'static Schema {
        &BUILTIN
    }
}

fn read(facts: &str) -> Schema {
    let heads = facts.lines().filter_map(|line| line.strip_prefix("T ")).enumerate();
    let ids: BTreeMap<&str, TypeId> =
        heads.map(|(at, head)| (head.split(' ').next().unwrap_or_default(), TypeId(at))).collect();

    let mut schema = Schema::default();
    let mut open: Option<(TypeDef, Object)> = None;
    for line in facts.lines() {
        if let Some(head) = line.strip_prefix("T ") {
            close(&mut schema, open.take());
            open = Some(start(head, &ids));
        } else if let (Some(field), Some((_, object))) = (line.strip_prefix(' '), &mut open) {
            let (name, field) = read_field(field, &ids);
            object.fields.insert(name.to_owned(), field);
        }
    }
    close(&mut schema, open);
    schema
}

fn close(schema: &mut Schema, open: Option<(TypeDef, Object)>) {
    let Some((mut def, object)) = open else { return };
    if !object.fields.is_empty() {
        def.shape = Type::Object(Box::new(object));
    }
    schema.insert(def);
}

fn start(head: &str, ids: &BTreeMap<&str, TypeId>) -> (TypeDef, Object) {
    let mut words = head.split(' ');
    let name = words.next().unwrap_or_default();
    let mut def = TypeDef { name: Arc::from(name), kinds: Vec::new(), shape: Type::Any };
    let mut object = Object::default();
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("G", kinds) => def.kinds = kinds.split(',').map(read_kind).collect(),
            ("M", kind) => object.atomic = kind == "atomic",
            ("", shape) => def.shape = read_type(shape, ids),
            _ => unreachable!("the generator writes no other attribute: {word}"),
        }
    }
    (def, object)
}

fn read_kind(kind: &str) -> GroupVersionKind {
    let mut parts = kind.split('/').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    GroupVersionKind { group: next(), version: next(), kind: next() }
}

fn read_type(text: &str, ids: &BTreeMap<&str, TypeId>) -> Type {
    if let Some(name) = text.strip_prefix('@') {
        return Type::from(ids[name]);
    }
    if let Some(items) = text.strip_prefix("[]") {
        return Type::List(Box::new(List { items: read_type(items, ids), kind: ListKind::Atomic }));
    }
    if let Some(values) = text.strip_prefix("{}") {
        return Type::Object(Box::new(Object { additional: Some(read_type(values, ids)), ..Object::default() }));
    }
    Type::Scalar(match text {
        "string" => Scalar::String,
        "bytes" => Scalar::Bytes,
        "time" => Scalar::Time,
        "int32" => Scalar::Int32,
        "int64" => Scalar::Int64,
        "number" => Scalar::Number,
        "bool" => Scalar::Bool,
        "intstr" => Scalar::IntOrString,
        "quantity" => Scalar::Quantity,
        "raw" => return Type::Raw,
        _ => return Type::Any,
    })
}

fn read_field<'f>(line: &'f str, ids: &BTreeMap<&str, TypeId>) -> (&'f str, Field) {
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (name, ty) = (next(), next());
    let mut field = Field::new(read_type(ty, ids));
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("!", _) => field.required = true,
            ("s", _) => field.when_absent = WhenAbsent::Empty,
            ("d", default) => field.default = serde_json::from_str(default).ok(),
            ("l", kind) => set_list_kind(&mut field.ty, kind),
            ("m", kind) => set_map_kind(&mut field.ty, kind == "atomic"),
            ("p", strategies) => set_strategies(&mut field.patch, strategies),
            ("k", key) => field.patch.merge_key = Some(key.to_owned()),
            ("#", wire) => field.wire = read_wire(wire),
            _ => unreachable!("the generator writes no other attribute: {word}"),
        }
    }
    // What is not omitted when empty is required in the documents of built-in types.
    if field.required && field.when_absent == WhenAbsent::Missing {
        field.when_absent = WhenAbsent::Zero;
    }
    (name, field)
}

fn read_wire(text: &str) -> Wire {
    let (numbers, pointer) = text.strip_suffix('*').map_or((text, false), |numbers| (numbers, true));
    let mut path = [0; 3];
    for (place, number) in path.iter_mut().zip(numbers.split('.')) {
        *place = number.parse().unwrap_or_else(|_| unreachable!("the generator writes small numbers: {text}"));
    }
    Wire { path, pointer }
}

fn set_list_kind(ty: &mut Type, text: &str) {
    if let Type::List(list) = ty {
        list.kind = match text.split_once(':') {
            Some((_, keys)) => ListKind::Map(keys.split(',').map(str::to_owned).collect()),
            None if text == "set" => ListKind::Set,
            None => ListKind::Atomic,
        };
    }
}

fn set_map_kind(ty: &mut Type, is_atomic: bool) {
    match ty {
        Type::Object(object) => object.atomic = is_atomic,
        Type::Named { atomic, .. } => *atomic = Some(is_atomic),
        _ => {}
    }
}

fn set_strategies(patch: &mut PatchStrategy, strategies: &str) {
    for strategy in strategies.split(',') {
        match strategy {
            "merge" => patch.merge = true,
            "replace" => patch.replace = true,
            "retainKeys" => patch.retain_keys = true,
            _ => unreachable!("Kubernetes has no other patch strategy: {strategy}"),
        }
    }
}
