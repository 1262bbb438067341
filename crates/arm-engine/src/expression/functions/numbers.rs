//! Arithmetic on 64-bit integers.

use serde_json::Value;

use super::Call;
use crate::expression::Evaluated;

pub(super) fn call(name: &str, call: &Call<'_>) -> Option<Evaluated> {
    Some(match name {
        "add" => binary(call, i64::checked_add),
        "sub" => binary(call, i64::checked_sub),
        "mul" => binary(call, i64::checked_mul),
        "div" => binary(call, i64::checked_div),
        "mod" => binary(call, i64::checked_rem),
        "min" => extreme(call, |numbers| numbers.into_iter().min()),
        "max" => extreme(call, |numbers| numbers.into_iter().max()),
        "int" => int(call),
        "float" => float(call),
        "copyindex" => copy_index(call),
        _ => return None,
    })
}

fn binary(call: &Call<'_>, of: fn(i64, i64) -> Option<i64>) -> Evaluated {
    call.count(2..=2)?;
    match of(call.integer(0)?, call.integer(1)?) {
        Some(number) => Ok(number.into()),
        None => call.fail("overflows or divides by zero"),
    }
}

fn extreme(call: &Call<'_>, of: fn(Vec<i64>) -> Option<i64>) -> Evaluated {
    let values = match call.values {
        [Value::Array(items)] => items.as_slice(),
        values => values,
    };
    match values.iter().map(Value::as_i64).collect::<Option<Vec<_>>>().and_then(of) {
        Some(number) => Ok(number.into()),
        None => call.fail("expects integers"),
    }
}

fn int(call: &Call<'_>) -> Evaluated {
    let number = match call.value(0)? {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)),
        _ => None,
    };
    number.map_or_else(|| call.fail("cannot convert its argument to an integer"), |number| Ok(number.into()))
}

fn float(call: &Call<'_>) -> Evaluated {
    let number = match call.value(0)? {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    number.map_or_else(|| call.fail("cannot convert its argument to a number"), |number| Ok(number.into()))
}

/// `copyIndex()`, `copyIndex(offset)`, `copyIndex('loop')`, `copyIndex('loop', offset)`
fn copy_index(call: &Call<'_>) -> Evaluated {
    call.count(0..=2)?;
    let (name, offset) = match call.values.first() {
        Some(Value::String(name)) => (name.as_str(), if call.values.len() > 1 { call.integer(1)? } else { 0 }),
        Some(_) => ("", call.integer(0)?),
        None => ("", 0),
    };
    Ok(call.context.copy_index(name)?.saturating_add(offset).into())
}
