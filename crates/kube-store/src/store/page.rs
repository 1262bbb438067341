//! Pages of a list that all show the state of the first page.
//!
//! The state at an earlier revision is the present one with the later changes undone, newest first; the log has what
//! each change replaced.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use super::{Change, Objects, Slot, StoreError};
use crate::selector::Selector;

/// Part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub items: Vec<Arc<Value>>,
    /// The revision that the whole list shows: the list's `metadata.resourceVersion`.
    pub revision: u64,
    /// Asks for the next page; absent on the last one.
    pub continue_token: Option<String>,
    /// How many more items there are. As upstream, unknown (absent) when a selector filters.
    pub remaining: Option<u64>,
}

/// Where a page begins.
pub(super) struct Start {
    pub revision: u64,
    /// The last item of the page before.
    pub after: Option<Slot>,
}

impl Start {
    /// `<revision>:<namespace>/<name>`; a name has no `/`, and a cluster-scoped object no namespace.
    pub(super) fn parse(token: &str) -> Result<Start, StoreError> {
        let bad = || StoreError::BadContinue(token.to_owned());
        let (revision, slot) = token.split_once(':').ok_or_else(bad)?;
        let (namespace, name) = slot.split_once('/').ok_or_else(bad)?;
        let revision = revision.parse().map_err(|_| bad())?;
        let namespace = Some(namespace).filter(|text| !text.is_empty()).map(Arc::from);
        Ok(Start { revision, after: Some((namespace, Arc::from(name))) })
    }
}

fn token(revision: u64, last: &Slot) -> String {
    format!("{revision}:{}/{}", last.0.as_deref().unwrap_or_default(), last.1)
}

/// What differs from the present at the revision before these changes: absent objects are `None`.
pub(super) fn undo<'c>(changes: impl DoubleEndedIterator<Item = &'c Change>) -> BTreeMap<Slot, Option<Arc<Value>>> {
    changes.rev().map(|change| (change.key.slot(), change.previous.clone())).collect()
}

pub(super) fn in_namespace<'o>(
    objects: &'o Objects,
    namespace: Option<&str>,
) -> impl Iterator<Item = (&'o Slot, &'o Arc<Value>)> + use<'o> {
    from(objects, namespace, None)
}

fn from<'m, V>(
    map: &'m BTreeMap<Slot, V>,
    namespace: Option<&str>,
    after: Option<&Slot>,
) -> impl Iterator<Item = (&'m Slot, &'m V)> + use<'m, V> {
    let namespace: Option<Arc<str>> = namespace.map(Arc::from);
    let lower = match (after, &namespace) {
        (Some(slot), _) => Bound::Excluded(slot.clone()),
        (None, Some(_)) => Bound::Included((namespace.clone(), Arc::from(""))),
        (None, None) => Bound::Unbounded,
    };
    map.range((lower, Bound::Unbounded)).take_while(move |(slot, _)| namespace.is_none() || slot.0 == namespace)
}

pub(super) fn collect(
    objects: &Objects,
    undone: &BTreeMap<Slot, Option<Arc<Value>>>,
    namespace: Option<&str>,
    selector: &Selector,
    limit: Option<usize>,
    start: Start,
) -> Page {
    let after = start.after.as_ref();
    let present = from(objects, namespace, after).filter(|(slot, _)| !undone.contains_key(*slot));
    let past = from(undone, namespace, after).filter_map(|(slot, object)| Some((slot, object.as_ref()?)));
    let mut found = merged(present, past).filter(|(_, object)| selector.matches(object));

    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut last = None;
    for (slot, object) in found.by_ref().take(limit) {
        items.push(object.clone());
        last = Some(slot);
    }
    let rest = found.next();
    let continue_token = match (&rest, last) {
        (Some(_), Some(last)) => Some(token(start.revision, last)),
        _ => None,
    };
    let remaining = (rest.is_some() && selector.is_empty()).then(|| 1 + found.count() as u64);
    Page { items, revision: start.revision, continue_token, remaining }
}

/// Two ordered sequences without a common key, as one ordered sequence.
fn merged<'o>(
    left: impl Iterator<Item = (&'o Slot, &'o Arc<Value>)>,
    right: impl Iterator<Item = (&'o Slot, &'o Arc<Value>)>,
) -> impl Iterator<Item = (&'o Slot, &'o Arc<Value>)> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some((a, _)), Some((b, _))) if b < a => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}
