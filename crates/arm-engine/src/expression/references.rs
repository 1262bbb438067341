//! Which other resources an expression waits for.

use serde_json::Value;

use super::context::Context;
use super::evaluate::{evaluate, text_of};
use super::parse::{Expr, expression_in, parse};

/// The targets of every `reference(…)` and `list…(…)` in a JSON value: symbolic names or ids. Targets that themselves
/// need run-time values are left out: what they need is found inside them.
pub(crate) fn referenced(value: &Value, context: &Context<'_>, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            if let Some(Ok(expr)) = expression_in(text).map(parse) {
                in_expression(&expr, context, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| referenced(item, context, found)),
        Value::Object(members) => members.values().for_each(|member| referenced(member, context, found)),
        _ => {}
    }
}

fn in_expression(expr: &Expr, context: &Context<'_>, found: &mut Vec<String>) {
    match expr {
        Expr::Literal(_) => {}
        Expr::Access { of, index, .. } => {
            in_expression(of, context, found);
            in_expression(index, context, found);
        }
        Expr::Call(name, arguments) => {
            let lower = name.to_ascii_lowercase();
            match arguments.first() {
                Some(first) if matches!(lower.as_str(), "reference" | "references") || lower.starts_with("list") => {
                    match evaluate(first, context) {
                        Ok(target) => found.push(text_of(&target)),
                        // Most often a copy loop's index, unknown here: every turn of that name is waited for.
                        Err(_) => found.extend(literal_prefix(first)),
                    }
                }
                Some(first) if lower == "variables" => {
                    if let Ok(Value::String(variable)) = evaluate(first, context)
                        && let Some((_, raw)) =
                            context.variables.iter().find(|(key, _)| key.eq_ignore_ascii_case(&variable))
                    {
                        referenced(raw, context, found);
                    }
                }
                _ => {}
            }
            arguments.iter().for_each(|argument| in_expression(argument, context, found));
        }
    }
}

/// `format('name[{0}]', copyIndex())` → `name`
fn literal_prefix(expr: &Expr) -> Option<String> {
    let Expr::Call(name, arguments) = expr else { return None };
    match arguments.first() {
        Some(Expr::Literal(Value::String(pattern))) if name.eq_ignore_ascii_case("format") => {
            pattern.split_once('[').map(|(name, _)| name.to_owned())
        }
        _ => None,
    }
}
