//! One table: an expression and what it gives.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use units::Timestamp;

use crate::expression::{Context, DeploymentScope, evaluate_string};

fn evaluated(expression: &str) -> Result<Value, String> {
    let parameters = BTreeMap::from([
        ("env".to_owned(), json!("prod")),
        ("pools".to_owned(), json!([{ "name": "a", "n": 2 }, { "name": "b", "n": 1 }])),
    ]);
    let variables = json!({ "joined": "[concat(parameters('env'), '-x')]", "loop": "[variables('loop')]", "copy": [{ "name": "squares", "count": 3, "input": "[mul(copyIndex('squares'), copyIndex('squares'))]" }] });
    let variables: Map<String, Value> = variables.as_object().cloned().unwrap_or_default();
    let scope = DeploymentScope {
        subscription_id: "s".to_owned(),
        group_name: Some("g".to_owned()),
        group: Some(json!({ "name": "g", "location": "eastus" })),
        ..DeploymentScope::default()
    };
    let context =
        Context { now: Some(Timestamp::from_secs(1_790_000_000)), ..Context::new(&parameters, &variables, &scope) };
    evaluate_string(&format!("[{expression}]"), &context).map_err(|error| error.0)
}

#[track_caller]
fn check(expression: &str, expected: Value) {
    assert_eq!(evaluated(expression), Ok(expected), "{expression}");
}

#[track_caller]
fn check_error(expression: &str, part: &str) {
    let message = evaluated(expression).expect_err(expression);
    assert!(message.contains(part), "{expression}: {message}");
}

#[test]
fn text() {
    check("format('{0}-{1:D3} {{x}}', 'a', 7)", json!("a-007 {x}"));
    check("concat('a', 1, true())", json!("a1true"));
    check("split('a,b;c', createArray(',', ';'))", json!(["a", "b", "c"]));
    check("substring('héllo', 1, 3)", json!("éll"));
    check("padLeft(7, 3, '0')", json!("007"));
    check("base64ToString(base64('tide ñ'))", json!("tide ñ"));
    check("uriComponentToString(uriComponent('a b/ñ'))", json!("a b/ñ"));
    check("indexOf('Hello', 'L')", json!(2));
    check_error("substring('abc', 2, 5)", "outside the string");
}

#[test]
fn arrays_and_objects() {
    check(
        "union(createObject('a', createObject('x', 1)), createObject('a', createObject('y', 2)))",
        json!({ "a": { "x": 1, "y": 2 } }),
    );
    check("items(createObject('b', 2, 'a', 1))", json!([{ "key": "a", "value": 1 }, { "key": "b", "value": 2 }]));
    check("intersection(createArray(1, 2, 3), createArray(3, 2))", json!([2, 3]));
    check("range(3, 2)", json!([3, 4]));
    check("first(skip(createArray(1, 2, 3), 1))", json!(2));
    check("tryGet(createObject('a', createArray(5)), 'a', 0)", json!(5));
    check("tryGet(createObject('a', 1), 'b', 'c')", json!(null));
    check("empty(createObject())", json!(true));
    check("length(parameters('pools'))", json!(2));
}

#[test]
fn lambdas() {
    check("map(parameters('pools'), lambda('p', toUpper(lambdaVariables('p').name)))", json!(["A", "B"]));
    check("filter(range(0, 5), lambda('i', greater(lambdaVariables('i'), 2)))", json!([3, 4]));
    check(
        "reduce(range(1, 4), 0, lambda('total', 'i', add(lambdaVariables('total'), lambdaVariables('i'))))",
        json!(10),
    );
    check(
        "map(sort(parameters('pools'), lambda('a', 'b', less(lambdaVariables('a').n, lambdaVariables('b').n))), lambda('p', lambdaVariables('p').name))",
        json!(["b", "a"]),
    );
    check(
        "toObject(parameters('pools'), lambda('p', lambdaVariables('p').name), lambda('p', lambdaVariables('p').n))",
        json!({ "a": 2, "b": 1 }),
    );
}

#[test]
fn logic_and_numbers() {
    check("if(equals(parameters('env'), 'prod'), 1, div(1, 0))", json!(1));
    check("or(true(), bool('x'))", json!(true));
    check("coalesce(null(), tryGet(createObject(), 'a'), 'z')", json!("z"));
    check("max(createArray(1, 9, 3))", json!(9));
    check("int('42')", json!(42));
    check_error("div(1, 0)", "divides by zero");
    check_error("copyIndex()", "not expected");
}

#[test]
fn scopes() {
    check("resourceId('A.B/c/d', 'x', 'y')", json!("/subscriptions/s/resourceGroups/g/providers/A.B/c/x/d/y"));
    check("resourceId('other', 'A.B/c', 'x')", json!("/subscriptions/s/resourceGroups/other/providers/A.B/c/x"));
    check("subscriptionResourceId('A.B/c', 'x')", json!("/subscriptions/s/providers/A.B/c/x"));
    check("extensionResourceId('/subscriptions/s', 'A.B/c', 'x')", json!("/subscriptions/s/providers/A.B/c/x"));
    check("variables('joined')", json!("prod-x"));
    check("variables('squares')", json!([0, 1, 4]));
    check("resourceGroup().location", json!("eastus"));
    check_error("variables('loop')", "circular");
    check_error("parameters('missing')", "not found");
    check_error("nonsense(1)", "not valid");
    check_error("resourceId('A.B/c/d', 'x')", "1 names");
    check_error("reference('x').y", "run time");
}

#[test]
fn addresses_and_dates() {
    check("cidrSubnet('10.224.0.0/16', 24, 2)", json!("10.224.2.0/24"));
    check("cidrHost('10.224.0.0/24', 4)", json!("10.224.0.5"));
    check("parseCidr('10.0.0.0/30').broadcast", json!("10.0.0.3"));
    check("dateTimeAdd('2026-11-23T10:00:00Z', 'P1DT2H')", json!("2026-11-24T12:00:00Z"));
    check("dateTimeToEpoch(utcNow())", json!(1_790_000_000));
    check("utcNow('yyyy-MM-dd')", json!("2026-09-21"));
}
