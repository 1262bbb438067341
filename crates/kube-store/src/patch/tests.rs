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
        Err("error in remove for path: '/b': Unable to remove nonexistent key: b: missing value"),
    );
    check_json(
        value!({"a": 1}),
        value!([{"op": "add", "path": "/b/c", "value": 1}]),
        Err("add operation does not apply: doc is missing path: \"/b/c\": missing value"),
    );
    check_json(
        value!({"a": {"b": 1}}),
        value!([{"op": "move", "from": "/a", "path": "/a/b"}]),
        Err("move operation does not apply: doc is missing destination path: /a/b: missing value"),
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

#[track_caller]
fn check_strategic(live: Value, patch: Value, expected: Result<Value, &str>) {
    let schema = crate::schema::Schema::builtin();
    let id = schema.type_named("io.k8s.api.core.v1.PodSpec").unwrap();
    let actual = strategic(&live, &patch, schema, id).map_err(|error| error.to_string());
    assert_eq!(actual, expected.map_err(str::to_owned));
}

#[test]
fn strategic_merges_lists_by_key() {
    check_strategic(
        value!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}),
        value!({"containers": [{"name": "a", "image": "2"}, {"name": "c"}]}),
        Ok(value!({"containers": [{"name": "a", "image": "2"}, {"name": "c"}, {"name": "b"}]})),
    );
    check_strategic(
        value!({"containers": [{"name": "a"}, {"name": "b"}]}),
        value!({"containers": [{"name": "a", "$patch": "delete"}]}),
        Ok(value!({"containers": [{"name": "b"}]})),
    );
    check_strategic(
        value!({"containers": [{"name": "a"}, {"name": "b"}]}),
        value!({"containers": [{"name": "c"}, {"$patch": "replace"}]}),
        Ok(value!({"containers": [{"name": "c"}]})),
    );
    check_strategic(
        value!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
        value!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "c", "image": "x"}]}),
        Ok(value!({"containers": [{"name": "b"}, {"name": "c", "image": "x"}, {"name": "a"}]})),
    );
    // A list without a merge strategy is replaced.
    check_strategic(
        value!({"tolerations": [{"key": "a"}]}),
        value!({"tolerations": [{"key": "b"}]}),
        Ok(value!({"tolerations": [{"key": "b"}]})),
    );
}

#[test]
fn strategic_directives() {
    check_strategic(
        value!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        value!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
        Ok(value!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]})),
    );
    check_strategic(
        value!({"nodeSelector": {"a": "b"}, "affinity": {"podAffinity": {}}}),
        value!({"nodeSelector": {"$patch": "replace", "c": "d"}, "affinity": {"$patch": "delete"}}),
        Ok(value!({"nodeSelector": {"c": "d"}, "affinity": {}})),
    );
    check_strategic(
        value!({"nodeSelector": {"a": "b", "c": "d"}}),
        value!({"nodeSelector": {"a": null}}),
        Ok(value!({"nodeSelector": {"c": "d"}})),
    );
    let schema = crate::schema::Schema::builtin();
    let meta = schema.type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
    let live = value!({"finalizers": ["a", "b", "c"]});
    let patch = value!({"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d"]});
    assert_eq!(strategic(&live, &patch, schema, meta), Ok(value!({"finalizers": ["d", "a", "c"]})));
}

#[test]
fn strategic_refusals() {
    check_strategic(
        value!({"containers": [{"name": "a"}]}),
        value!({"containers": [{"image": "x"}]}),
        Err("map: {\"image\":\"x\"} does not contain declared merge key: name"),
    );
    check_strategic(
        value!({"nodeSelector": {}}),
        value!({"nodeSelector": {"$patch": "swap"}}),
        Err("unknown patch type: swap in map: {}"),
    );
    check_strategic(
        value!({"volumes": [{"name": "v"}]}),
        value!({"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}),
        Err("invalid patch format of retainKeys"),
    );
}
