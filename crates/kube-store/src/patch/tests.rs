use serde_json::{Value, json as value};

use super::*;

#[track_caller]
fn check_json(live: Value, patch: Value, expected: Result<Value, &str>) {
    let actual = json(&live, &patch).map_err(|error| error.to_string());
    assert_eq!(actual, expected.map_err(str::to_owned));
}

#[track_caller]
fn check_merge(live: Value, patch: Value, expected: Value) {
    assert_eq!(merge(&live, &patch), expected);
}

#[test]
fn json_patch_operations() {
    check_json(value!({"a": 1}), value!([{"op": "add", "path": "/b", "value": 2}]), Ok(value!({"a": 1, "b": 2})));
    check_json(value!({"a": [1]}), value!([{"op": "add", "path": "/a/-", "value": 2}]), Ok(value!({"a": [1, 2]})));
    check_json(
        value!({"a": [1, 3]}),
        value!([{"op": "add", "path": "/a/1", "value": 2}]),
        Ok(value!({"a": [1, 2, 3]})),
    );
    check_json(value!({"a": [1, 3]}), value!([{"op": "remove", "path": "/a/-1"}]), Ok(value!({"a": [1]})));
    check_json(value!({"a/b": 1}), value!([{"op": "replace", "path": "/a~1b", "value": 2}]), Ok(value!({"a/b": 2})));
    check_json(value!({"a": 1}), value!([{"op": "move", "from": "/a", "path": "/b"}]), Ok(value!({"b": 1})));
    check_json(value!({"a": 1}), value!([{"op": "copy", "from": "/a", "path": "/b"}]), Ok(value!({"a": 1, "b": 1})));
    check_json(value!({"a": 1}), value!([{"op": "test", "path": "/a", "value": 1}]), Ok(value!({"a": 1})));
    check_json(value!({"a": 1}), value!([{"op": "test", "path": "/b", "value": null}]), Ok(value!({"a": 1})));
}

#[test]
fn json_patch_refusals() {
    check_json(
        value!({"a": 1}),
        value!([{"op": "test", "path": "/a", "value": 2}]),
        Err("testing value /a failed: test failed"),
    );
    check_json(
        value!({"a": 1}),
        value!([{"op": "remove", "path": "/b"}]),
        Err("remove operation does not apply: Unable to remove nonexistent key: b: missing value"),
    );
    check_json(
        value!({"a": 1}),
        value!([{"op": "add", "path": "/b/c", "value": 1}]),
        Err("add operation does not apply: doc is missing path: \"/b/c\": missing value"),
    );
    check_json(
        value!({"a": {"b": 1}}),
        value!([{"op": "move", "from": "/a", "path": "/a/b"}]),
        Err("move operation does not apply: cannot move \"/a/b\" into itself"),
    );
    check_json(value!({}), value!([{"op": "swap", "path": "/a"}]), Err("Unexpected kind: swap"));
    assert!(matches!(json(&value!({}), &value!({})), Err(PatchError::Invalid(_))));
}

#[test]
fn merge_patch_of_rfc_7386() {
    check_merge(value!({"a": "b"}), value!({"a": "c"}), value!({"a": "c"}));
    check_merge(value!({"a": "b", "b": "c"}), value!({"a": null}), value!({"b": "c"}));
    check_merge(value!({"a": ["b"]}), value!({"a": "c"}), value!({"a": "c"}));
    check_merge(value!({"a": {"b": "c"}}), value!({"a": {"b": "d", "c": null}}), value!({"a": {"b": "d"}}));
    check_merge(value!({"a": "foo"}), value!("bar"), value!("bar"));
    check_merge(value!({}), value!({"a": {"bb": {"ccc": null}}}), value!({"a": {"bb": {}}}));
}

#[test]
fn merge_diff_leads_from_before_to_after() {
    let before = value!({"a": 1, "b": {"c": [1, 2], "d": 2}, "e": {"f": 1}});
    let after = value!({"b": {"c": [1], "x": {"y": 1}}, "e": 5});
    let patch = merge_diff(&before, &after);
    assert_eq!(patch, value!({"a": null, "b": {"d": null, "c": [1], "x": {"y": 1}}, "e": 5}));
    assert_eq!(merge(&before, &patch), after);
}
