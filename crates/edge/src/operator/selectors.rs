//! Label selectors as they stand in the operator's objects.

use serde_json::Value;
use std::collections::BTreeMap;

pub type Labels = BTreeMap<String, String>;

/// A selector that is absent selects nothing; an empty one everything.
///
/// # Errors
/// When it holds an operator that does not exist.
pub fn matches(selector: Option<&Value>, labels: &Labels) -> Result<bool, String> {
    let Some(selector) = selector.filter(|selector| !selector.is_null()) else { return Ok(false) };
    let equal = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    if !equal {
        return Ok(false);
    }
    for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        if !expression_holds(expression, labels)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn expression_holds(expression: &Value, labels: &Labels) -> Result<bool, String> {
    let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
    let label = labels.get(text("key"));
    let among = || {
        expression
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .any(|value| value.as_str() == label.map(String::as_str))
    };
    match text("operator") {
        "In" => Ok(label.is_some() && among()),
        "NotIn" => Ok(label.is_none() || !among()),
        "Exists" => Ok(label.is_some()),
        "DoesNotExist" => Ok(label.is_none()),
        other => Err(format!("a selector's operator {other:?} does not exist")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(selector: Value, expected: bool) {
        let labels = [("app".to_owned(), "backend".to_owned())].into();
        assert_eq!(matches(Some(&selector), &labels), Ok(expected), "{selector}");
    }

    #[test]
    fn selectors_hold_as_the_api_says() {
        check(json!({}), true);
        check(json!(null), false);
        check(json!({"matchLabels": {"app": "backend"}}), true);
        check(json!({"matchLabels": {"app": "backend", "tier": "x"}}), false);
        check(json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "backend"]}]}), true);
        check(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["backend"]}]}), false);
        check(
            json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}, {"key": "app", "operator": "Exists"}]}),
            true,
        );
        check(json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), false);
        assert!(
            matches(Some(&json!({"matchExpressions": [{"key": "a", "operator": "Like"}]})), &Labels::new()).is_err()
        );
        assert_eq!(matches(None, &Labels::new()), Ok(false));
    }
}
