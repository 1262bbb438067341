//! Laying a partial object over a whole one, and taking paths out of a value (upstream: structured-merge-diff
//! `typed/merge.go` and `remove.go`, v6.3.3).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element::PathElement;
use super::set::FieldSet;
use super::typed::{Atom, NULL, Typed, member};
use crate::schema::{List, Object, Type};

impl<'s> Typed<'s> {
    /// `live` with what `config` says. Nothing is removed. Lists keep the live order where `config` does not change it.
    pub(super) fn merge(self, live: &Value, config: &Value, ty: &'s Type) -> Value {
        self.merged(Some(live), Some(config), ty).unwrap_or_default()
    }

    fn merged(self, live: Option<&Value>, config: Option<&Value>, ty: &'s Type) -> Option<Value> {
        let (live, config) = match (live, config) {
            (live, None) => return live.cloned(),
            (None, config) => return config.cloned(),
            (Some(live), Some(config)) => (live, config),
        };
        match self.atom(ty, config) {
            Atom::Scalar(_) | Atom::AtomicList | Atom::Map { atomic: true, .. } => Some(config.clone()),
            Atom::List(list) => {
                let (before, after) = (live.as_array(), config.as_array());
                if before.is_none_or(Vec::is_empty) && after.is_none_or(Vec::is_empty) {
                    return Some(config.clone());
                }
                let items = self.merged_list(list, before.map_or(&[], Vec::as_slice), after.map_or(&[], Vec::as_slice));
                (!items.is_empty()).then_some(Value::Array(items))
            }
            Atom::Map { object, .. } => {
                let (before, after) = (live.as_object(), config.as_object());
                if before.is_none_or(Map::is_empty) && after.is_none_or(Map::is_empty) {
                    return Some(config.clone());
                }
                let map = self.merged_map(object, before, after);
                (!map.is_empty()).then_some(Value::Object(map))
            }
        }
    }

    fn merged_map(
        self,
        object: Option<&'s Object>,
        live: Option<&Map<String, Value>>,
        config: Option<&Map<String, Value>>,
    ) -> Map<String, Value> {
        let mut out = live.cloned().unwrap_or_default();
        for (name, change) in config.into_iter().flatten() {
            let before = live.and_then(|live| live.get(name));
            let merged = match member(object, name) {
                Some(ty) => self.merged(before, Some(change), ty),
                None => Some(change.clone()),
            };
            match merged {
                Some(merged) => {
                    out.insert(name.clone(), merged);
                }
                None => {
                    out.shift_remove(name);
                }
            }
        }
        out
    }

    /// Both orders are kept as far as they agree: elements that both have come in the order of `right`, those that only
    /// the left has stay where they were between them.
    fn merged_list(self, list: &'s List, left: &[Value], right: &[Value]) -> Vec<Value> {
        let index = |items: &[Value]| -> Vec<(PathElement, Value)> {
            items.iter().filter_map(|item| Some((self.element(list, item).ok()?, item.clone()))).collect()
        };
        let (left, right) = (index(left), index(right));
        let mut left_by_step: BTreeMap<&PathElement, &Value> = BTreeMap::new();
        for (step, item) in &left {
            // Elements of one identity are not merged with the new one.
            left_by_step.entry(step).and_modify(|item| *item = &NULL).or_insert(item);
        }
        let right_by_step: BTreeMap<&PathElement, &Value> = right.iter().map(|(step, item)| (step, item)).collect();
        let mut shared = right.iter().map(|(step, _)| step).filter(|step| left_by_step.contains_key(step));
        let mut next_shared = shared.next();
        let mut done: BTreeSet<&PathElement> = BTreeSet::new();
        let mut out = Vec::with_capacity(left.len().max(right.len()));
        let take = |step: &PathElement, out: &mut Vec<Value>| {
            let merged = self.merged(left_by_step.get(step).copied(), right_by_step.get(step).copied(), &list.items);
            out.extend(merged);
        };
        let (mut l, mut r) = (0, 0);
        while l < left.len() || r < right.len() {
            if l < left.len() && r < right.len() {
                let step = &left[l].0;
                if *step == right[r].0 {
                    done.insert(step);
                    take(step, &mut out);
                    l += 1;
                    r += 1;
                    next_shared = shared.next();
                    continue;
                }
                if right_by_step.contains_key(step) && next_shared.is_some_and(|next| next != step) {
                    // Shared, but its turn comes later.
                    l += 1;
                    continue;
                }
            }
            if l < left.len() {
                let (step, item) = &left[l];
                if !right_by_step.contains_key(step) {
                    out.push(item.clone());
                    l += 1;
                    continue;
                }
                if done.contains(step) {
                    l += 1;
                }
            }
            if r < right.len() {
                let step = &right[r].0;
                done.insert(step);
                take(step, &mut out);
                r += 1;
                if next_shared == Some(step) {
                    next_shared = shared.next();
                }
            }
        }
        out
    }

    /// `value` without the fields and elements of `paths`. A list or map that is left empty becomes `null`.
    pub(super) fn without(self, value: &Value, paths: &FieldSet, ty: &'s Type) -> Value {
        match (self.atom(ty, value), value) {
            (Atom::Scalar(_), _) => value.clone(),
            (Atom::List(list), Value::Array(items)) => {
                let mut kept = Vec::new();
                for item in items {
                    let Ok(step) = self.element(list, item) else { continue };
                    if paths.has_step(&step) {
                        continue;
                    }
                    kept.push(match paths.below(&step) {
                        Some(below) => self.without(item, below, &list.items),
                        None => item.clone(),
                    });
                }
                if kept.is_empty() { Value::Null } else { Value::Array(kept) }
            }
            (Atom::Map { object, atomic: false }, Value::Object(map)) => {
                let mut kept = Map::new();
                for (name, value) in map {
                    let step = PathElement::field(name);
                    if paths.has_step(&step) {
                        continue;
                    }
                    let left = match (paths.below(&step), member(object, name)) {
                        (Some(below), Some(ty)) => self.without(value, below, ty),
                        _ => value.clone(),
                    };
                    kept.insert(name.clone(), left);
                }
                if kept.is_empty() { Value::Null } else { Value::Object(kept) }
            }
            _ => Value::Null,
        }
    }
}

/// Drops the fields that [`Typed::without`] made `null`: an absent field says the same, and survives every decoder.
pub(super) fn drop_emptied(value: &mut Value, before: &Value) {
    match (value, before) {
        (Value::Object(map), Value::Object(before)) => {
            map.retain(|name, value| !value.is_null() || before.get(name).is_none_or(Value::is_null));
            for (name, value) in map.iter_mut() {
                if let Some(before) = before.get(name) {
                    drop_emptied(value, before);
                }
            }
        }
        (Value::Array(items), Value::Array(before)) if items.len() == before.len() => {
            items.iter_mut().zip(before).for_each(|(item, before)| drop_emptied(item, before));
        }
        _ => {}
    }
}
