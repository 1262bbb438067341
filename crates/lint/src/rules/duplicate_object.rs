//! An object that is declared twice.

use std::collections::BTreeMap;

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "duplicate-object",
    severity: Severity::Error,
    why: "Of two objects with one name the last that is applied wins, and which one that is depends on file names.",
    example: "two Services platform/backend in two files",
    advice: "Delete or rename one of them.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for (index, object) in context.platform.objects.iter().enumerate() {
        let text = |pointer: &str| object.pointer(pointer).and_then(serde_json::Value::as_str);
        let (Some(kind), Some(name)) = (text("/kind"), text("/metadata/name")) else { continue };
        // Versions of a group are views of one object.
        let group = text("/apiVersion").unwrap_or_default().rsplit_once('/').map_or("", |(group, _)| group);
        let key = (group, kind, text("/metadata/namespace").unwrap_or_default(), name);
        if let Some(first) = seen.insert(key, index) {
            let message = match report.file_of(first) {
                Some(file) => format!("is declared a second time; it is also in {file}"),
                None => "is declared a second time".to_owned(),
            };
            report.add(At::object(index, "/metadata/name"), message);
        }
    }
}
