//! A label selector as Go's `%+v` prints it, which upstream's event messages contain.

use serde_json::Value;

/// `&LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}`, or `nil`.
pub(super) fn go_selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut labels: Vec<(String, String)> = selector["matchLabels"]
        .as_object()
        .map(|labels| labels.iter().map(|(key, value)| (key.clone(), text(value))).collect())
        .unwrap_or_default();
    labels.sort();
    let labels: String = labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions: String = selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|expression| {
            let values: Vec<String> = expression["values"].as_array().into_iter().flatten().map(text).collect();
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                text(&expression["key"]),
                text(&expression["operator"]),
                values.join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}
