//! The functions of the template language, by family.

mod arrays;
mod cidr;
mod dates;
mod hashing;
mod lambdas;
mod logic;
mod numbers;
mod scopes;
mod strings;

pub(crate) use hashing::unique_string;
pub(crate) use strings::encode_base64;

use serde_json::Value;

use super::context::Context;
use super::evaluate::evaluate;
use super::parse::Expr;
use super::{Evaluated, ExpressionError};

pub(crate) fn call(name: &str, arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    let lower = name.to_ascii_lowercase();
    // These decide themselves which arguments have a value.
    if let Some(result) = logic::lazy(&lower, arguments, context).or_else(|| lambdas::call(&lower, arguments, context))
    {
        return result;
    }
    let values = arguments.iter().map(|argument| evaluate(argument, context)).collect::<Result<Vec<_>, _>>()?;
    let call = Call { name, values: &values, context };
    for family in
        [logic::call, strings::call, arrays::call, numbers::call, hashing::call, dates::call, cidr::call, scopes::call]
    {
        if let Some(result) = family(&lower, &call) {
            return result;
        }
    }
    Err(ExpressionError::new(format!("The template function '{name}' is not valid.")))
}

/// A call whose arguments have been evaluated.
pub(super) struct Call<'a> {
    pub name: &'a str,
    pub values: &'a [Value],
    pub context: &'a Context<'a>,
}

impl Call<'_> {
    pub fn fail<T>(&self, why: impl std::fmt::Display) -> Result<T, ExpressionError> {
        Err(ExpressionError::new(format!("The template language function '{}' {why}.", self.name)))
    }

    pub fn count(&self, allowed: std::ops::RangeInclusive<usize>) -> Result<(), ExpressionError> {
        if allowed.contains(&self.values.len()) {
            return Ok(());
        }
        self.fail(format!("has {} arguments, expected {} to {}", self.values.len(), allowed.start(), allowed.end()))
    }

    pub fn value(&self, index: usize) -> Result<&Value, ExpressionError> {
        match self.values.get(index) {
            Some(value) => Ok(value),
            None => self.fail(format!("lacks argument {}", index + 1)),
        }
    }

    pub fn text(&self, index: usize) -> Result<&str, ExpressionError> {
        match self.value(index)? {
            Value::String(text) => Ok(text),
            other => self.fail(format!("expects a string as argument {}, not '{}'", index + 1, kind_of(other))),
        }
    }

    pub fn integer(&self, index: usize) -> Result<i64, ExpressionError> {
        match self.value(index)?.as_i64() {
            Some(number) => Ok(number),
            None => self.fail(format!("expects an integer as argument {}", index + 1)),
        }
    }

    pub fn array(&self, index: usize) -> Result<&Vec<Value>, ExpressionError> {
        match self.value(index)? {
            Value::Array(items) => Ok(items),
            other => self.fail(format!("expects an array as argument {}, not '{}'", index + 1, kind_of(other))),
        }
    }

    pub fn object(&self, index: usize) -> Result<&serde_json::Map<String, Value>, ExpressionError> {
        match self.value(index)? {
            Value::Object(members) => Ok(members),
            other => self.fail(format!("expects an object as argument {}, not '{}'", index + 1, kind_of(other))),
        }
    }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Number(_) => "Integer",
        Value::String(_) => "String",
        Value::Array(_) => "Array",
        Value::Object(_) => "Object",
    }
}

#[cfg(test)]
mod tests;
