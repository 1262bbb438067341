//! Label selectors (upstream: apimachinery `labels/selector.go`, v0.36.3).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::SelectorError;
use super::lexer::{Token, tokens};
use super::names::{label_value_problem, qualified_name_problem};
use crate::path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    /// Also true where the label is absent.
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: BTreeSet<String>,
}

/// Conditions that must all hold. The default has none and selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    /// Selects nothing at all, which no requirement can say.
    nothing: bool,
}

impl Default for LabelSelector {
    fn default() -> Self {
        LabelSelector::everything()
    }
}

impl LabelSelector {
    pub fn everything() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), nothing: false }
    }

    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    /// Parses `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1`.
    ///
    /// # Errors
    /// On a syntax error, or a key or value that no label can have.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        let tokens = tokens(text).map_err(|problem| unparsable(&problem))?;
        Parser { tokens, at: 0 }.selector()
    }

    /// Of a `metav1.LabelSelector`: `matchLabels` and `matchExpressions`. As upstream, `null` selects nothing and `{}`
    /// everything.
    ///
    /// # Errors
    /// On an unknown operator, or a key or value that no label can have.
    pub fn from_value(value: &Value) -> Result<LabelSelector, SelectorError> {
        if value.is_null() {
            return Ok(LabelSelector::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in value.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            requirements.push(Requirement::new(key, Operator::In, [value.to_owned()])?);
        }
        for expression in value.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            requirements.push(expression_requirement(expression)?);
        }
        Ok(LabelSelector::of(requirements))
    }

    /// Of plain equalities, as a Service's or ReplicationController's selector has them.
    ///
    /// # Errors
    /// On a key or value that no label can have.
    pub fn from_map(labels: &Map<String, Value>) -> Result<LabelSelector, SelectorError> {
        let of = |(key, value): (&String, &Value)| {
            Requirement::new(key, Operator::In, [value.as_str().unwrap_or_default().to_owned()])
        };
        Ok(LabelSelector::of(labels.iter().map(of).collect::<Result<_, _>>()?))
    }

    fn of(mut requirements: Vec<Requirement>) -> LabelSelector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements, nothing: false }
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// True when everything is selected.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Does `object.metadata.labels` match?
    pub fn matches(&self, object: &Value) -> bool {
        self.is_empty() || {
            let labels = path::get(object, &["metadata", "labels"]).and_then(Value::as_object);
            self.matches_with(|key| labels?.get(key)?.as_str())
        }
    }

    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    /// Matches labels wherever they are kept.
    pub fn matches_with<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl Requirement {
    /// # Errors
    /// When the key or a value can be no label, or the number of values does not fit the operator.
    pub fn new(
        key: &str,
        operator: Operator,
        values: impl IntoIterator<Item = String>,
    ) -> Result<Requirement, SelectorError> {
        check_key(key)?;
        let values: BTreeSet<String> = values.into_iter().collect();
        let problem = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            Operator::GreaterThan | Operator::LessThan if values.iter().any(|value| value.parse::<i64>().is_err()) => {
                Some("for 'Gt', 'Lt' operators, the value must be an integer")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            let listed: Vec<&str> = values.iter().map(String::as_str).collect();
            return Err(SelectorError(format!("values: Invalid value: [{}]: {problem}", listed.join(","))));
        }
        for value in &values {
            if let Some(problem) = label_value_problem(value) {
                return Err(SelectorError(format!("values[0][{key}]: Invalid value: \"{value}\": {problem}")));
            }
        }
        Ok(Requirement { key: key.to_owned(), operator, values })
    }

    pub fn matches(&self, label: Option<&str>) -> bool {
        match self.operator {
            Operator::In => label.is_some_and(|label| self.values.contains(label)),
            Operator::NotIn => label.is_none_or(|label| !self.values.contains(label)),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => self.compares(label, |label, bound| label > bound),
            Operator::LessThan => self.compares(label, |label, bound| label < bound),
        }
    }

    fn compares(&self, label: Option<&str>, holds: impl Fn(i64, i64) -> bool) -> bool {
        let label = label.and_then(|label| label.parse().ok());
        let bound = self.values.first().and_then(|value| value.parse().ok());
        label.zip(bound).is_some_and(|(label, bound)| holds(label, bound))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = || self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let key = &self.key;
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(f, "{key}={}", values()),
            Operator::In => write!(f, "{key} in ({})", values()),
            Operator::NotIn if self.values.len() == 1 => write!(f, "{key}!={}", values()),
            Operator::NotIn => write!(f, "{key} notin ({})", values()),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{}", values()),
            Operator::LessThan => write!(f, "{key}<{}", values()),
        }
    }
}

fn expression_requirement(expression: &Value) -> Result<Requirement, SelectorError> {
    let key = path::text(expression, &["key"]).unwrap_or_default();
    let operator = match path::text(expression, &["operator"]).unwrap_or_default() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            return Err(SelectorError(format!("\"{other}\" is not a valid label selector operator")));
        }
    };
    let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
    Requirement::new(key, operator, values.filter_map(|value| value.as_str().map(str::to_owned)))
}

fn unparsable(problem: &str) -> SelectorError {
    SelectorError(format!("unable to parse requirement: {problem}"))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn selector(mut self) -> Result<LabelSelector, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) | Token::Not => {}
                Token::End => return Ok(LabelSelector::of(requirements)),
                other => return Err(unexpected(other, "!, identifier, or 'end of string'")),
            }
            requirements.push(self.requirement().map_err(|error| unparsable(&error.0))?);
            match self.next() {
                Token::End => return Ok(LabelSelector::of(requirements)),
                Token::Comma if matches!(self.peek(), Token::Word(_) | Token::Not) => {}
                Token::Comma => return Err(unexpected(self.peek(), "identifier after ','")),
                other => return Err(unexpected(&other, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let negated = *self.peek() == Token::Not;
        if negated {
            self.next();
        }
        let key = match self.next() {
            Token::Word(word) => word,
            other => return Err(unexpected(&other, "identifier")),
        };
        check_key(&key)?;
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, []);
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, []);
        }
        let operator = match self.next() {
            Token::Equals | Token::DoubleEquals => Operator::In,
            Token::NotEquals => Operator::NotIn,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            Token::Word(word) if word == "in" => return Requirement::new(&key, Operator::In, self.set()?),
            Token::Word(word) if word == "notin" => return Requirement::new(&key, Operator::NotIn, self.set()?),
            other => return Err(unexpected(&other, "in, notin, =, ==, !=, gt, lt")),
        };
        Requirement::new(&key, operator, [self.value()?])
    }

    /// The value after `=`: nothing at all means the empty value.
    fn value(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Word(word) => Ok(word),
            other => Err(unexpected(&other, "identifier")),
        }
    }

    /// `(x,y)`, where nothing between brackets and commas is the empty value.
    fn set(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        match self.next() {
            Token::Open => {}
            other => return Err(SelectorError(format!("found '{}' expected: '('", other.text()))),
        }
        if !matches!(self.peek(), Token::Word(_) | Token::Comma | Token::Close) {
            return Err(unexpected(self.peek(), "',', ')' or identifier"));
        }
        let mut values = BTreeSet::new();
        let mut after_comma = true;
        loop {
            match self.next() {
                Token::Word(word) => {
                    values.insert(word);
                    after_comma = false;
                    if !matches!(self.peek(), Token::Comma | Token::Close) {
                        return Err(unexpected(self.peek(), "',' or ')'"));
                    }
                }
                Token::Comma => {
                    if after_comma {
                        values.insert(String::new());
                    }
                    after_comma = true;
                }
                Token::Close => {
                    if after_comma {
                        values.insert(String::new());
                    }
                    return Ok(values);
                }
                other => return Err(unexpected(&other, "',', or identifier")),
            }
        }
    }
}

fn unexpected(token: &Token, expected: &str) -> SelectorError {
    SelectorError(format!("found '{}', expected: {expected}", token.text()))
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    match qualified_name_problem(key) {
        Some(problem) => Err(SelectorError(format!("key: Invalid value: \"{key}\": {problem}"))),
        None => Ok(()),
    }
}
