//! Values under their types: which fields they set, and how two of them differ (upstream: structured-merge-diff
//! `typed/tofieldset.go`, `compare.go`, `validate.go` and `helpers.go`, v6.3.3).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::{PathElement, equal};
use super::set::FieldSet;
use crate::schema::{List, ListKind, Object, Resolved, Scalar, Schema, Type, WhenAbsent};

static ANY: Type = Type::Any;
pub(super) static NULL: Value = Value::Null;

/// What a type is for one value: the part of a free-form type that the value shows.
#[derive(Clone, Copy)]
pub(super) enum Atom<'s> {
    Scalar(Option<Scalar>),
    List(&'s List),
    AtomicList,
    /// Without an object the map is free-form.
    Map {
        object: Option<&'s Object>,
        atomic: bool,
    },
}

/// What changed from one value to another. No path is in more than one of the sets.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub removed: FieldSet,
    pub modified: FieldSet,
    pub added: FieldSet,
}

impl Comparison {
    pub(super) fn without(self, ignored: &FieldSet) -> Comparison {
        Comparison {
            removed: self.removed.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
            added: self.added.recursive_difference(ignored),
        }
    }

    pub(super) fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }
}

#[derive(Clone, Copy)]
pub(super) struct Typed<'s> {
    pub schema: &'s Schema,
}

impl<'s> Typed<'s> {
    pub(super) fn atom(self, ty: &'s Type, value: &Value) -> Atom<'s> {
        let free = |atomic: bool| match value {
            Value::Array(_) => Atom::AtomicList,
            Value::Object(_) | Value::Null => Atom::Map { object: None, atomic },
            _ => Atom::Scalar(None),
        };
        match self.schema.resolve(ty) {
            Resolved::Scalar(scalar) => Atom::Scalar(Some(scalar)),
            Resolved::List(list) if list.kind == ListKind::Atomic => Atom::AtomicList,
            Resolved::List(list) => Atom::List(list),
            Resolved::Object { object, atomic } => {
                let is_free = object.fields.is_empty() && object.additional.is_none();
                Atom::Map { object: (!is_free).then_some(object), atomic }
            }
            Resolved::Any => free(false),
            Resolved::Raw => free(true),
        }
    }

    /// What identifies an element of a set or of a list with keys.
    ///
    /// # Errors
    /// When the element can have no identity.
    pub(super) fn element(self, list: &'s List, item: &Value) -> Result<PathElement, String> {
        let ListKind::Map(keys) = &list.kind else {
            return match item {
                Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
                scalar => Ok(PathElement::Value(scalar.clone())),
            };
        };
        let map = match item {
            Value::Object(map) => map,
            Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        };
        let value = |key: &String| {
            let default = || self.schema.field(&list.items, key)?.default.clone();
            Some((key.clone(), map.get(key).cloned().or_else(default)?))
        };
        let found: Vec<(String, Value)> = keys.iter().filter_map(value).collect();
        if found.is_empty() {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                keys.join(" ")
            ));
        }
        Ok(PathElement::key(found))
    }

    /// What is wrong with a value; `unique` refuses two elements of one identity.
    pub(super) fn problems(self, value: &Value, ty: &'s Type, unique: bool) -> Vec<String> {
        let mut found = Vec::new();
        self.validate(value, ty, unique, &mut Vec::new(), &mut found);
        found
    }

    fn validate(self, value: &Value, ty: &'s Type, unique: bool, at: &mut Vec<String>, found: &mut Vec<String>) {
        let mut report = |at: &[String], problem: String| found.push(located(at, &problem));
        match (self.atom(ty, value), value) {
            (_, Value::Null) => {}
            (Atom::Scalar(scalar), _) => {
                if let Some(problem) = scalar_problem(scalar, value) {
                    report(at, problem);
                }
            }
            (Atom::Map { object, .. }, Value::Object(map)) => {
                for (name, value) in map {
                    at.push(format!(".{name}"));
                    match member(object, name) {
                        Some(ty) => self.validate(value, ty, unique, at, found),
                        None => found.push(located(at, "field not declared in schema")),
                    }
                    at.pop();
                }
            }
            (Atom::Map { .. }, other) => report(at, format!("expected map, got &{{{other}}}")),
            (Atom::List(list), Value::Array(items)) => self.validate_items(list, items, unique, at, found),
            (Atom::AtomicList, Value::Array(items)) => {
                if let Resolved::List(list) = self.schema.resolve(ty) {
                    for (index, item) in items.iter().enumerate() {
                        at.push(format!("[{index}]"));
                        self.validate(item, &list.items, unique, at, found);
                        at.pop();
                    }
                }
            }
            (Atom::List(_) | Atom::AtomicList, other) => report(at, format!("expected list, got &{{{other}}}")),
        }
    }

    fn validate_items(
        self,
        list: &'s List,
        items: &[Value],
        unique: bool,
        at: &mut Vec<String>,
        found: &mut Vec<String>,
    ) {
        let mut seen: BTreeMap<PathElement, ()> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let step = match self.element(list, item) {
                Ok(step) => step,
                Err(problem) => {
                    found.push(located(at, &format!("element {index}: {problem}")));
                    return;
                }
            };
            let text = step.to_string();
            if seen.insert(step, ()).is_some() && unique {
                found.push(located(at, &format!("duplicate entries for key {text}")));
            }
            at.push(text);
            self.validate(item, &list.items, unique, at, found);
            at.pop();
        }
    }

    /// The paths that a value sets: leaves, elements of lists, keys of maps, and empty objects.
    pub(super) fn fields(self, value: &Value, ty: &'s Type) -> FieldSet {
        self.fields_at(value, ty).1
    }

    /// Whether the value itself is a leaf, and the paths below it.
    fn fields_at(self, value: &Value, ty: &'s Type) -> (bool, FieldSet) {
        let mut set = FieldSet::default();
        match (self.atom(ty, value), value) {
            (Atom::Scalar(_) | Atom::AtomicList | Atom::Map { atomic: true, .. }, _) => return (true, set),
            (Atom::List(list), Value::Array(items)) => {
                for (step, items) in self.grouped(list, items) {
                    // Elements of one identity are owned together, as a whole.
                    let below = match items.as_slice() {
                        [item] => self.fields_at(item, &list.items).1,
                        _ => FieldSet::default(),
                    };
                    set.graft(step, true, below);
                }
            }
            (Atom::Map { object, .. }, Value::Object(map)) => {
                for (name, value) in map {
                    let Some(ty) = member(object, name) else { continue };
                    let (leaf, below) = self.fields_at(value, ty);
                    let is_field = object.is_some_and(|object| object.fields.contains_key(name));
                    let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                    set.graft(PathElement::field(name), leaf || is_empty || !is_field, below);
                }
            }
            _ => {}
        }
        (false, set)
    }

    /// The elements of a list by identity; those without one are left out.
    fn grouped<'v>(self, list: &'s List, items: &'v [Value]) -> BTreeMap<PathElement, Vec<&'v Value>> {
        let mut grouped: BTreeMap<PathElement, Vec<&Value>> = BTreeMap::new();
        for item in items {
            if let Ok(step) = self.element(list, item) {
                grouped.entry(step).or_default().push(item);
            }
        }
        grouped
    }

    /// What changed from `left` to `right`.
    pub(super) fn compare(self, left: &Value, right: &Value, ty: &'s Type) -> Comparison {
        let mut walk = Compare { typed: self, path: Vec::new(), result: Comparison::default() };
        walk.visit(Some(left), Some(right), ty);
        walk.result
    }
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What Go makes of an absent scalar.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// The type of a member of a map.
pub(super) fn member<'s>(object: Option<&'s Object>, name: &str) -> Option<&'s Type> {
    match object {
        None => Some(&ANY),
        Some(object) => object.fields.get(name).map(|field| &field.ty).or(object.additional.as_ref()),
    }
}

fn located(at: &[String], problem: &str) -> String {
    if at.is_empty() { problem.to_owned() } else { format!("{}: {problem}", at.concat()) }
}

fn scalar_problem(scalar: Option<Scalar>, value: &Value) -> Option<String> {
    let is_scalar = !value.is_array() && !value.is_object();
    match scalar {
        Some(Scalar::Int32 | Scalar::Int64 | Scalar::Number) if !value.is_number() => {
            let go = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            Some(format!("expected numeric (int or float), got {go}"))
        }
        Some(Scalar::String | Scalar::Bytes) if !value.is_string() => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{value}}}"))
        }
        Some(Scalar::Bool) if !value.is_boolean() => Some(format!("expected boolean, got &{{{value}}}")),
        _ if !is_scalar => Some(format!("expected any scalar, got &{{{value}}}")),
        _ => None,
    }
}

struct Compare<'s> {
    typed: Typed<'s>,
    path: Vec<PathElement>,
    result: Comparison,
}

impl<'s> Compare<'s> {
    fn visit(&mut self, left: Option<&Value>, right: Option<&Value>, ty: &'s Type) {
        // Equal parts have nothing to say; most of most objects is equal.
        if left == right {
            return;
        }
        let (mut first, mut second) = (None, None);
        if let Some(left) = left {
            first = Some(self.typed.atom(ty, left));
        }
        if let Some(right) = right {
            second = Some(self.typed.atom(ty, right));
        }
        let mut is_leaf = false;
        // A free-form value that changes its kind is compared as both kinds.
        let changed_kind =
            matches!((&first, &second), (Some(a), Some(b)) if std::mem::discriminant(a) != std::mem::discriminant(b));
        if let Some(atom) = first
            && (second.is_none() || changed_kind)
        {
            is_leaf = self.as_atom(atom, left, right);
        }
        if let Some(atom) = second {
            is_leaf = self.as_atom(atom, left, right);
        }
        if !is_leaf {
            match (left, right) {
                (None, _) => self.result.added.insert(&self.path),
                (_, None) => self.result.removed.insert(&self.path),
                _ => {}
            }
        }
    }

    /// True when the values are leaves.
    fn as_atom(&mut self, atom: Atom<'s>, left: Option<&Value>, right: Option<&Value>) -> bool {
        match atom {
            Atom::Scalar(_) | Atom::AtomicList | Atom::Map { atomic: true, .. } => self.leaf(left, right),
            Atom::List(list) => {
                let (left_items, right_items) = (items(left), items(right));
                if left_items.is_empty() && right_items.is_empty() {
                    return self.leaf(left, right);
                }
                self.lists(list, left_items, right_items);
                false
            }
            Atom::Map { object, .. } => {
                let left_map = left.and_then(Value::as_object).filter(|map| !map.is_empty());
                let right_map = right.and_then(Value::as_object).filter(|map| !map.is_empty());
                if left_map.is_none() && right_map.is_none() {
                    return self.leaf(left, right);
                }
                self.maps(object, left.and_then(Value::as_object), right.and_then(Value::as_object));
                false
            }
        }
    }

    fn leaf(&mut self, left: Option<&Value>, right: Option<&Value>) -> bool {
        match (left, right) {
            (None, _) => self.result.added.insert(&self.path),
            (_, None) => self.result.removed.insert(&self.path),
            (Some(left), Some(right)) if !equal(left, right) => self.result.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn maps(
        &mut self,
        object: Option<&'s Object>,
        left: Option<&Map<String, Value>>,
        right: Option<&Map<String, Value>>,
    ) {
        let empty = Value::Object(Map::new());
        let both = left.is_some() && right.is_some();
        let names = left.into_iter().flat_map(Map::keys);
        let only_right =
            right.into_iter().flat_map(Map::keys).filter(|name| left.is_none_or(|left| !left.contains_key(*name)));
        for name in names.chain(only_right) {
            let Some(ty) = member(object, name) else { continue };
            let (mut before, mut after) = (left.and_then(|map| map.get(name)), right.and_then(|map| map.get(name)));
            if before == after {
                continue;
            }
            // Upstream compares Go structs: what they always have is there, empty, on both sides.
            let absent = object.and_then(|object| object.fields.get(name)).map(|field| field.when_absent);
            let stand_in = match absent.filter(|_| both) {
                Some(WhenAbsent::Zero) => Some(&NULL),
                Some(WhenAbsent::Empty) => Some(&empty),
                _ => None,
            };
            if stand_in.is_some() {
                let is_added = before.is_none() || after.is_none();
                if is_added && is_zero(before.or(after).unwrap_or(&NULL)) {
                    continue;
                }
                before = before.or(stand_in);
                after = after.or(stand_in);
            }
            self.step(PathElement::field(name), before, after, ty);
        }
    }

    fn step(&mut self, step: PathElement, left: Option<&Value>, right: Option<&Value>, ty: &'s Type) {
        self.path.push(step);
        self.visit(left, right, ty);
        self.path.pop();
    }

    fn lists(&mut self, list: &'s List, left: &[Value], right: &[Value]) {
        let (left, mut right) = (self.typed.grouped(list, left), self.typed.grouped(list, right));
        for (step, before) in left {
            let after = right.remove(&step).unwrap_or_default();
            self.elements(list, step, &before, &after);
        }
        for (step, after) in right {
            self.elements(list, step, &[], &after);
        }
    }

    /// Elements of one identity. More than one on a side are compared, and owned, as a whole.
    fn elements(&mut self, list: &'s List, step: PathElement, before: &[&Value], after: &[&Value]) {
        match (before, after) {
            ([] | [_], [] | [_]) => {
                self.step(step, before.first().copied(), after.first().copied(), &list.items);
            }
            ([_, _, ..], [_, _, ..]) => {
                let same = before.len() == after.len() && before.iter().zip(after).all(|(a, b)| equal(a, b));
                if !same {
                    self.path.push(step);
                    self.result.modified.insert(&self.path);
                    self.path.pop();
                }
            }
            ([_, _, ..], _) => {
                if let [after] = after {
                    self.step(step.clone(), None, Some(after), &list.items);
                }
                self.path.push(step);
                self.result.removed.insert(&self.path);
                self.path.pop();
            }
            (_, [_, _, ..]) => {
                if let [before] = before {
                    self.step(step.clone(), Some(before), None, &list.items);
                }
                self.path.push(step);
                self.result.added.insert(&self.path);
                self.path.pop();
            }
        }
    }
}
