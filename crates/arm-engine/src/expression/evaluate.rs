//! Tree → value, and whole JSON trees with expressions in them.

use serde_json::{Map, Value};

use super::context::Context;
use super::functions;
use super::parse::{Expr, expression_in, parse};
use super::{Evaluated, ExpressionError};

/// Azure allows at most 800 turns of a copy loop.
pub(crate) const MAX_COPIES: i64 = 800;

/// Evaluates every expression in a JSON value, and property copy loops.
pub(crate) fn evaluate_value(value: &Value, context: &Context<'_>) -> Evaluated {
    match value {
        Value::String(text) => evaluate_string(text, context),
        Value::Array(items) => {
            items.iter().map(|item| evaluate_value(item, context)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        Value::Object(members) => evaluate_object(members, context),
        other => Ok(other.clone()),
    }
}

fn evaluate_object(members: &Map<String, Value>, context: &Context<'_>) -> Evaluated {
    let mut made = Map::new();
    for (name, value) in members {
        if name == "copy"
            && let Some(loops) = value.as_array().filter(|loops| loops.iter().all(|copy| copy.get("input").is_some()))
        {
            for copy in loops {
                let (name, items) = property_copy(copy, context)?;
                made.insert(name, items);
            }
            continue;
        }
        let name = match evaluate_string(name, context)? {
            Value::String(name) => name,
            other => other.to_string(),
        };
        made.insert(name, evaluate_value(value, context)?);
    }
    Ok(Value::Object(made))
}

fn property_copy(copy: &Value, context: &Context<'_>) -> Result<(String, Value), ExpressionError> {
    let name = copy["name"].as_str().ok_or_else(|| ExpressionError::new("The copy loop has no name."))?;
    let count = copy_count(copy, context)?;
    let input = copy.get("input").unwrap_or(&Value::Null);
    let items =
        (0..count).map(|index| evaluate_value(input, &context.in_copy(name, index))).collect::<Result<Vec<_>, _>>()?;
    Ok((name.to_owned(), Value::Array(items)))
}

/// The number of turns of a copy loop, 0 to 800.
pub(crate) fn copy_count(copy: &Value, context: &Context<'_>) -> Result<i64, ExpressionError> {
    let count = evaluate_value(copy.get("count").unwrap_or(&Value::Null), context)?;
    match count.as_i64() {
        Some(count) if (0..=MAX_COPIES).contains(&count) => Ok(count),
        _ => Err(ExpressionError::new(format!(
            "The copy count '{count}' must be an integer between 0 and {MAX_COPIES}."
        ))),
    }
}

pub(crate) fn evaluate_string(text: &str, context: &Context<'_>) -> Evaluated {
    match expression_in(text) {
        Some(inside) => evaluate(&parse(inside)?, context),
        None if text.starts_with("[[") => Ok(Value::String(text[1..].to_owned())),
        None => Ok(Value::String(text.to_owned())),
    }
}

pub(crate) fn evaluate(expr: &Expr, context: &Context<'_>) -> Evaluated {
    match expr {
        Expr::Literal(value) => Ok(value.clone()),
        Expr::Call(name, arguments) => functions::call(name, arguments, context),
        Expr::Access { of, index, safe } => {
            let of = evaluate(of, context)?;
            let index = evaluate(index, context)?;
            access(&of, &index, *safe)
        }
    }
}

fn access(of: &Value, index: &Value, safe: bool) -> Evaluated {
    let found = match (of, index) {
        (Value::Object(members), Value::String(name)) => member(members, name),
        (Value::Array(items), Value::Number(position)) => {
            position.as_u64().and_then(|position| items.get(position as usize))
        }
        (Value::Null, _) if safe => return Ok(Value::Null),
        _ => {
            return Err(ExpressionError::new(format!(
                "The language expression property '{}' can't be evaluated, its parent is not an object or array that has it.",
                text_of(index)
            )));
        }
    };
    match found {
        Some(value) => Ok(value.clone()),
        None if safe => Ok(Value::Null),
        None => {
            let available = match of {
                Value::Object(members) => members.keys().cloned().collect::<Vec<_>>().join(", "),
                _ => String::new(),
            };
            Err(ExpressionError::new(format!(
                "The language expression property '{}' doesn't exist, available properties are '{available}'.",
                text_of(index)
            )))
        }
    }
}

/// Members are found without regard to case, as in Azure; the exact name wins.
pub(crate) fn member<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    members.get(name).or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
