//! Functions that take a lambda: `map`, `filter`, `reduce`, `sort`, `toObject`, `mapValues`, `groupBy`.

use serde_json::{Map, Value};

use crate::expression::context::Context;
use crate::expression::evaluate::{evaluate, text_of};
use crate::expression::parse::Expr;
use crate::expression::{Evaluated, ExpressionError};

pub(super) fn call(name: &str, arguments: &[Expr], context: &Context<'_>) -> Option<Evaluated> {
    Some(match name {
        "lambdavariables" => variable(arguments, context),
        "map" => over_items(arguments, context, |items, lambda| {
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| lambda.apply(&[item, index.into()]))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array)
        }),
        "filter" => over_items(arguments, context, |items, lambda| {
            let mut kept = Vec::new();
            for (index, item) in items.into_iter().enumerate() {
                if lambda.apply(&[item.clone(), index.into()])? == Value::Bool(true) {
                    kept.push(item);
                }
            }
            Ok(Value::Array(kept))
        }),
        "sort" => over_items(arguments, context, sort),
        "groupby" => over_items(arguments, context, |items, lambda| {
            let mut groups = Map::new();
            for item in items {
                let key = text_of(&lambda.apply(std::slice::from_ref(&item))?);
                if let Value::Array(group) = groups.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
                    group.push(item);
                }
            }
            Ok(Value::Object(groups))
        }),
        "toobject" => to_object(arguments, context),
        "mapvalues" => map_values(arguments, context),
        "reduce" => reduce(arguments, context),
        _ => return None,
    })
}

struct Lambda<'a> {
    names: Vec<String>,
    body: &'a Expr,
    context: &'a Context<'a>,
}

impl<'a> Lambda<'a> {
    fn read(expr: Option<&'a Expr>, context: &'a Context<'a>) -> Result<Lambda<'a>, ExpressionError> {
        let fail = || ExpressionError::new("The template language function expects a lambda.");
        let Some(Expr::Call(name, parts)) = expr else { return Err(fail()) };
        let (body, names) = parts.split_last().filter(|_| name.eq_ignore_ascii_case("lambda")).ok_or_else(fail)?;
        let names =
            names.iter().map(|name| evaluate(name, context).map(|name| text_of(&name))).collect::<Result<_, _>>()?;
        Ok(Lambda { names, body, context })
    }

    /// A lambda may take fewer arguments than it is given.
    fn apply(&self, values: &[Value]) -> Evaluated {
        let bound = self.names.len().min(values.len());
        for (name, value) in self.names.iter().zip(values) {
            self.context.locals.borrow_mut().push((name.clone(), value.clone()));
        }
        let result = evaluate(self.body, self.context);
        let mut locals = self.context.locals.borrow_mut();
        let kept = locals.len() - bound;
        locals.truncate(kept);
        result
    }
}

fn variable(arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    let name = match arguments.first() {
        Some(name) => text_of(&evaluate(name, context)?),
        None => String::new(),
    };
    let locals = context.locals.borrow();
    locals
        .iter()
        .rev()
        .find(|(local, _)| local.eq_ignore_ascii_case(&name))
        .map(|(_, value)| value.clone())
        .ok_or_else(|| ExpressionError::new(format!("The lambda variable '{name}' is not found.")))
}

fn items_of(arguments: &[Expr], context: &Context<'_>) -> Result<Vec<Value>, ExpressionError> {
    match arguments.first().map(|items| evaluate(items, context)) {
        Some(Ok(Value::Array(items))) => Ok(items),
        Some(Err(error)) => Err(error),
        _ => Err(ExpressionError::new("The template language function expects an array as its first argument.")),
    }
}

fn over_items(arguments: &[Expr], context: &Context<'_>, of: fn(Vec<Value>, &Lambda<'_>) -> Evaluated) -> Evaluated {
    of(items_of(arguments, context)?, &Lambda::read(arguments.get(1), context)?)
}

/// A stable merge of single items by the lambda's "is less than".
fn sort(items: Vec<Value>, lambda: &Lambda<'_>) -> Evaluated {
    let mut sorted: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        let mut at = sorted.len();
        while at > 0 && lambda.apply(&[item.clone(), sorted[at - 1].clone()])? == Value::Bool(true) {
            at -= 1;
        }
        sorted.insert(at, item);
    }
    Ok(Value::Array(sorted))
}

fn to_object(arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    let key = Lambda::read(arguments.get(1), context)?;
    let mut made = Map::new();
    for item in items_of(arguments, context)? {
        let name = text_of(&key.apply(std::slice::from_ref(&item))?);
        let value = match arguments.get(2) {
            Some(_) => Lambda::read(arguments.get(2), context)?.apply(&[item])?,
            None => item,
        };
        made.insert(name, value);
    }
    Ok(Value::Object(made))
}

fn map_values(arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    let lambda = Lambda::read(arguments.get(1), context)?;
    match arguments.first().map(|of| evaluate(of, context)) {
        Some(Ok(Value::Object(members))) => members
            .into_iter()
            .map(|(key, value)| Ok((key, lambda.apply(&[value])?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        Some(Err(error)) => Err(error),
        _ => Err(ExpressionError::new("The template language function 'mapValues' expects an object.")),
    }
}

fn reduce(arguments: &[Expr], context: &Context<'_>) -> Evaluated {
    let lambda = Lambda::read(arguments.get(2), context)?;
    let mut total = match arguments.get(1) {
        Some(start) => evaluate(start, context)?,
        None => Value::Null,
    };
    for (index, item) in items_of(arguments, context)?.into_iter().enumerate() {
        total = lambda.apply(&[total, item, index.into()])?;
    }
    Ok(total)
}
