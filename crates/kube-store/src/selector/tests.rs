use serde_json::{Value, json};

use super::*;

#[track_caller]
fn check_labels(selector: &str, labels: Value, expected: bool) {
    let parsed = LabelSelector::parse(selector).unwrap();
    assert_eq!(parsed.matches(&json!({"metadata": {"labels": labels}})), expected, "{selector}");
    assert_eq!(LabelSelector::parse(&parsed.to_string()), Ok(parsed), "the printed form parses to the same");
}

#[track_caller]
fn check_fields(selector: &str, object: Value, expected: bool) {
    let parsed = FieldSelector::parse(selector).unwrap();
    assert_eq!(parsed.matches(&object), expected, "{selector}");
    assert_eq!(FieldSelector::parse(&parsed.to_string()), Ok(parsed), "the printed form parses to the same");
}

#[test]
fn label_selectors() {
    let labels = json!({"a": "b", "tier": "web", "n": "5", "empty": "", "example.com/x": "y"});
    for (selector, expected) in [
        ("", true),
        ("a=b", true),
        ("a==b", true),
        ("a = b , tier=web", true),
        ("a=c", false),
        ("a!=c", true),
        ("missing!=c", true),
        ("a", true),
        ("!a", false),
        ("!missing", true),
        ("! missing", true),
        ("tier in (web,db)", true),
        ("tier in (db)", false),
        ("tier notin (db),a=b", true),
        ("missing notin (db)", true),
        ("empty=", true),
        ("empty=,a=b", true),
        ("empty in (,x)", true),
        ("empty in ()", true),
        ("example.com/x=y", true),
        ("n>4", true),
        ("n<4", false),
        ("a>4", false),
        ("in in (in)", false),
    ] {
        check_labels(selector, labels.clone(), expected);
    }
}

#[test]
fn label_selectors_that_do_not_parse() {
    for selector in [
        "a=b,", ",a=b", "a in", "a in (b", "a in b", "=b", "a==b==c", "a b", "!", "a=b c", "-a=b", "a=-", "a>x",
        "a/b/c", "A_.B.=1",
    ] {
        assert!(LabelSelector::parse(selector).is_err(), "{selector}");
    }
    let error = LabelSelector::parse("a in b").unwrap_err();
    assert_eq!(error.to_string(), "unable to parse requirement: found 'b' expected: '('");
}

#[test]
fn selectors_of_objects() {
    let selector = json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    });
    let selector = LabelSelector::from_value(&selector).unwrap();
    assert_eq!(selector.to_string(), "app=web,!old,tier in (a,b)");
    assert!(selector.matches(&json!({"metadata": {"labels": {"app": "web", "tier": "b"}}})));
    assert!(!selector.matches(&json!({"metadata": {"labels": {"app": "web", "tier": "b", "old": ""}}})));
    assert!(LabelSelector::from_value(&json!({})).unwrap().matches(&json!({})));
    assert!(!LabelSelector::from_value(&Value::Null).unwrap().matches(&json!({})));
    let bad = json!({"matchExpressions": [{"key": "a", "operator": "Like"}]});
    assert_eq!(
        LabelSelector::from_value(&bad).unwrap_err().to_string(),
        "\"Like\" is not a valid label selector operator"
    );
}

#[test]
fn field_selectors() {
    let pod = json!({
        "metadata": {"name": "web-1", "namespace": "platform"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running"},
    });
    for (selector, expected) in [
        ("", true),
        ("metadata.name=web-1", true),
        ("metadata.name==web-1,status.phase!=Failed", true),
        ("spec.nodeName!=n1", false),
        ("spec.nodeName=", false),
        ("status.nominatedNodeName=", true),
        ("spec.hostNetwork=false", true),
        ("metadata.name=a\\,b", false),
    ] {
        check_fields(selector, pod.clone(), expected);
    }
    check_fields("status.successful=3", json!({"status": {"succeeded": 3}}), true);
    check_fields("status.successful=0", json!({}), true);
    assert!(FieldSelector::parse("metadata.name").is_err());
    assert!(FieldSelector::parse("a=b\\x").is_err());
    assert!(FieldSelector::parse("a=b=c").is_err());
}

#[test]
fn unknown_field_labels_are_refused() {
    let selector = FieldSelector::parse("metadata.name=a,spec.foo=b").unwrap();
    assert_eq!(selector.check_supported("pods").unwrap_err().to_string(), "field label not supported: spec.foo");
    assert!(selector.check_supported("configmaps").is_err());
    assert!(FieldSelector::parse("spec.nodeName=n").unwrap().check_supported("pods").is_ok());
}
