//! The order of a merged list: the patch's order where it has one, the live order for the rest, interleaved as the live
//! list had them (upstream: `normalizeElementOrder` and `mergeSortedSlice` of strategicpatch).

use serde_json::Value;

use super::PatchError;
use super::strategic::no_merge_key;

/// `merged` with the elements that `order` names in that order, and the others, which only the server has, in the order
/// of `original`. Elements are compared by `key`, or as a whole without one.
pub(super) fn normalized(
    merged: Vec<Value>,
    order: &[Value],
    original: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    // Objects without a merge key cannot be told apart, so they cannot be ordered.
    let nameless = |element: &&Value| match key {
        Some(key) => element.get(key).is_none(),
        None => element.is_object(),
    };
    if let Some(element) = merged.iter().chain(order).chain(original).find(nameless) {
        return Err(no_merge_key(element, key.unwrap_or_default()));
    }
    let place = |list: &[Value], element: &Value| {
        let identity = |element: &Value| key.map_or_else(|| Some(element.clone()), |key| element.get(key).cloned());
        list.iter().position(|other| identity(other) == identity(element))
    };
    let (mut patched, mut server): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|element| place(order, element).is_some());
    patched.sort_by_key(|element| place(order, element));
    server.sort_by_key(|element| place(original, element));

    let mut result = Vec::with_capacity(patched.len() + server.len());
    let mut patched = patched.into_iter().peekable();
    for element in server {
        let here = place(original, &element);
        // A server element goes before the first patched one that the live list has behind it.
        while let Some(next) =
            patched.next_if(|next| !matches!((here, place(original, next)), (Some(l), Some(r)) if l < r))
        {
            result.push(next);
        }
        result.push(element);
    }
    result.extend(patched);
    Ok(result)
}
