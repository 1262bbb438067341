//! Conditions and comparison.

use serde_json::Value;

use super::Call;
use crate::expression::context::Context;
use crate::expression::evaluate::evaluate;
use crate::expression::parse::Expr;
use crate::expression::{Evaluated, ExpressionError};

/// `if`, `and`, `or` and `coalesce` evaluate only what they need.
pub(super) fn lazy(name: &str, arguments: &[Expr], context: &Context<'_>) -> Option<Evaluated> {
    match name {
        "if" => Some(choose(arguments, context)),
        "and" => Some(all(arguments, context)),
        "or" => Some(any(arguments, context)),
        "coalesce" => Some(coalesce(arguments, context)),
        _ => None,
    }
}

fn choose(arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    let [condition, yes, no] = arguments else {
        return Err(ExpressionError::new("The template language function 'if' expects three arguments."));
    };
    if truth(&evaluate(condition, context)?, "if")? { evaluate(yes, context) } else { evaluate(no, context) }
}

fn all(arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    for argument in arguments {
        if !truth(&evaluate(argument, context)?, "and")? {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn any(arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    for argument in arguments {
        if truth(&evaluate(argument, context)?, "or")? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn coalesce(arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    for argument in arguments {
        let value = evaluate(argument, context)?;
        if !value.is_null() {
            return Ok(value);
        }
    }
    Ok(Value::Null)
}

fn truth(value: &Value, function: &str) -> Result<bool, ExpressionError> {
    value.as_bool().ok_or_else(|| {
        ExpressionError::new(format!(
            "The template language function '{function}' expects its condition to be a boolean."
        ))
    })
}

pub(super) fn call(name: &str, call: &Call<'_>) -> Option<Evaluated> {
    Some(match name {
        "not" => call.value(0).and_then(|value| truth(value, "not")).map(|value| Value::Bool(!value)),
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        "null" => Ok(Value::Null),
        "bool" => boolean(call),
        "equals" => equals(call),
        "less" => compare(call, std::cmp::Ordering::is_lt),
        "lessorequals" => compare(call, std::cmp::Ordering::is_le),
        "greater" => compare(call, std::cmp::Ordering::is_gt),
        "greaterorequals" => compare(call, std::cmp::Ordering::is_ge),
        "fail" => call.text(0).and_then(|message| Err(ExpressionError::new(message))),
        _ => return None,
    })
}

fn boolean(call: &Call<'_>) -> Evaluated {
    match call.value(0)? {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        Value::Number(number) => Ok(Value::Bool(number.as_i64() != Some(0))),
        Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(Value::Bool(true)),
        Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(Value::Bool(false)),
        _ => call.fail("cannot convert its argument to a boolean"),
    }
}

/// Strings compare with their case: Bicep's `=~` lowers both sides itself.
fn equals(call: &Call<'_>) -> Evaluated {
    call.count(2..=2)?;
    Ok(Value::Bool(call.values[0] == call.values[1]))
}

fn compare(call: &Call<'_>, wanted: fn(std::cmp::Ordering) -> bool) -> Evaluated {
    call.count(2..=2)?;
    let ordering = match (&call.values[0], &call.values[1]) {
        (Value::String(one), Value::String(two)) => one.cmp(two),
        _ => call.integer(0)?.cmp(&call.integer(1)?),
    };
    Ok(Value::Bool(wanted(ordering)))
}
