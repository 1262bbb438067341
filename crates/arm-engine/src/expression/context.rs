//! What an expression can see.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use units::Timestamp;

use super::{Evaluated, ExpressionError, evaluate::evaluate_value};

/// Where a deployment deploys to, and what the scope functions say about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeploymentScope {
    pub tenant_id: String,
    pub subscription_id: String,
    pub subscription_name: String,
    /// `resourceGroup()`; absent at subscription scope.
    pub group: Option<Value>,
    pub group_name: Option<String>,
    /// `deployment()`
    pub deployment: Value,
    pub principal_id: String,
}

/// The functions that need resources which exist. Absent while a template is only being laid out.
pub(crate) trait RunTime {
    fn reference(&self, target: &str, full: bool) -> Evaluated;
    fn list(&self, function: &str, target: &str) -> Evaluated;
}

pub(crate) struct Context<'a> {
    pub parameters: &'a BTreeMap<String, Value>,
    pub variables: &'a Map<String, Value>,
    pub scope: &'a DeploymentScope,
    /// Copy loops by lower-case name; the innermost under the empty name.
    pub copies: BTreeMap<String, i64>,
    pub run_time: Option<&'a dyn RunTime>,
    /// Only default values of parameters may use `utcNow` and `newGuid`.
    pub now: Option<Timestamp>,
    /// The names of variables being evaluated, to find cycles.
    pub evaluating: RefCell<Vec<String>>,
    /// Variables of lambdas, innermost last.
    pub locals: RefCell<Vec<(String, Value)>>,
}

impl<'a> Context<'a> {
    pub fn new(
        parameters: &'a BTreeMap<String, Value>,
        variables: &'a Map<String, Value>,
        scope: &'a DeploymentScope,
    ) -> Context<'a> {
        Context {
            parameters,
            variables,
            scope,
            copies: BTreeMap::new(),
            run_time: None,
            now: None,
            evaluating: RefCell::default(),
            locals: RefCell::default(),
        }
    }

    pub fn parameter(&self, name: &str) -> Evaluated {
        self.parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
            .ok_or_else(|| ExpressionError::new(format!("The template parameter '{name}' is not found.")))
    }

    pub fn variable(&self, name: &str) -> Evaluated {
        let unknown = || ExpressionError::new(format!("The template variable '{name}' is not found."));
        let key = name.to_ascii_lowercase();
        if self.evaluating.borrow().contains(&key) {
            return Err(ExpressionError::new(format!("The template variable '{name}' has a circular dependency.")));
        }
        let raw = match self.variables.iter().find(|(variable, _)| variable.eq_ignore_ascii_case(name)) {
            Some((_, raw)) => raw.clone(),
            None => {
                Value::Object(Map::from_iter([("copy".to_owned(), self.copied_variable(name).ok_or_else(unknown)?)]))
            }
        };
        self.evaluating.borrow_mut().push(key);
        let value = evaluate_value(&raw, self);
        self.evaluating.borrow_mut().pop();
        match (self.variables.contains_key(name), value?) {
            // A loop at the top of `variables` makes a variable of its own name.
            (false, Value::Object(mut made))
                if made.len() == 1 && made.keys().all(|made| made.eq_ignore_ascii_case(name)) =>
            {
                made.values_mut().next().map(Value::take).ok_or_else(unknown)
            }
            (_, value) => Ok(value),
        }
    }

    fn copied_variable(&self, name: &str) -> Option<Value> {
        let loops = self.variables.get("copy")?.as_array()?;
        let wanted =
            loops.iter().find(|copy| copy["name"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(name)))?;
        Some(Value::Array(vec![wanted.clone()]))
    }

    pub fn copy_index(&self, name: &str) -> Result<i64, ExpressionError> {
        self.copies.get(&name.to_ascii_lowercase()).copied().ok_or_else(|| {
            ExpressionError::new("The template function 'copyIndex' is not expected at this location. The function can only be used in a resource with copy specified.")
        })
    }

    /// A context for one turn of a copy loop.
    pub fn in_copy(&self, name: &str, index: i64) -> Context<'a> {
        let mut copies = self.copies.clone();
        copies.insert(name.to_ascii_lowercase(), index);
        copies.insert(String::new(), index);
        Context {
            copies,
            run_time: self.run_time,
            now: self.now,
            evaluating: self.evaluating.clone(),
            locals: self.locals.clone(),
            ..Context::new(self.parameters, self.variables, self.scope)
        }
    }
}
