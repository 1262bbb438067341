//! Reading JSON documents strictly: what is unknown or mistyped is refused, with the place where it stands.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why an input document was refused. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// Line of the input at which the document starts, counted from 1; 0 when a single document was given.
    pub line: usize,
    /// Path of the field, e.g. `spec.metrics[0].resource`; empty when the text is not JSON.
    pub path: String,
    pub message: String,
}

impl InputError {
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> InputError {
        InputError { line: 0, path: path.into(), message: message.into() }
    }

    #[must_use]
    pub fn at_line(mut self, line: usize) -> InputError {
        self.line = line;
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message.replace('\n', " "))
    }
}

impl std::error::Error for InputError {}

/// Deserialises a document; a field that the type does not know is an error.
///
/// # Errors
/// Names the field by its path.
pub fn strict<T: DeserializeOwned>(document: &Value) -> Result<T, InputError> {
    let read = strict_json::read(document);
    let value = read.value.map_err(|wrong| InputError::new(wrong.path(), wrong.error.to_string()))?;
    match read.unknown.into_iter().next() {
        Some(path) => Err(InputError::new(path, "unknown field")),
        None => Ok(value),
    }
}

/// Runs `each` on every document of the input, in order, and collects the lines that it answers.
///
/// # Errors
/// At the first document that is not JSON or that `each` refuses; with the line at which it stands.
pub fn documents(
    input: &str,
    mut each: impl FnMut(&Value) -> Result<Vec<String>, InputError>,
    mut emit: impl FnMut(String),
) -> Result<(), InputError> {
    let mut stream = serde_json::Deserializer::from_str(input).into_iter::<Value>();
    loop {
        let start = stream.byte_offset();
        let blank = input[start..].len() - input[start..].trim_start().len();
        let line = 1 + input[..start + blank].matches('\n').count();
        match stream.next() {
            None => return Ok(()),
            // serde_json's own message carries the line and column inside the whole input.
            Some(Err(error)) => return Err(InputError::new("", format!("not a JSON document: {error}"))),
            Some(Ok(document)) => each(&document).map_err(|error| error.at_line(line))?.into_iter().for_each(&mut emit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    struct Outer {
        #[allow(dead_code)]
        inner: Option<Inner>,
    }

    #[derive(Deserialize, Debug)]
    struct Inner {
        #[allow(dead_code)]
        count: u32,
    }

    fn check(input: &str, expected: &str) {
        let result = documents(input, |document| strict::<Outer>(document).map(|_| vec![]), |_| {});
        assert_eq!(result.unwrap_err().to_string(), expected, "{input}");
    }

    #[test]
    fn says_where_the_input_is_wrong() {
        check("{}\n{\"inner\": {\"count\": 1, \"cuont\": 2}}", "line 2: inner.cuont: unknown field");
        check("\n\n{\"inner\": {\"count\": \"x\"}}", "line 3: inner.count: invalid type: string \"x\", expected u32");
        check("{\"other\": 1}", "line 1: other: unknown field");
        check("{", "not a JSON document: EOF while parsing an object at line 1 column 1");
    }
}
