//! Reading `stack.<env>.yaml`: strict, with errors that say where and what was meant.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// What is wrong with a configuration file. One line of text; see its `Display`.
#[derive(Debug)]
pub struct ConfigError {
    pub file: PathBuf,
    /// 1-based; absent when the file as a whole is at fault.
    pub line: Option<u64>,
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.problem),
            None => write!(f, "{}: {}", self.file.display(), self.problem),
        }
    }
}

impl std::error::Error for ConfigError {}

/// # Errors
/// When the file cannot be read, is not YAML, or has an unknown, missing or mistyped key.
pub fn load<T: DeserializeOwned>(file: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
        file: file.to_owned(),
        line: None,
        problem: format!("cannot be read: {error}"),
    })?;
    parse(file, &text)
}

/// As [`load`], from text already read.
///
/// # Errors
/// When the text is not YAML, or has an unknown, missing or mistyped key.
pub fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| describe(file, text, &error))
}

/// Every document of a YAML stream.
///
/// # Errors
/// When the text is not YAML.
pub fn parse_documents(file: &Path, text: &str) -> Result<Vec<serde_json::Value>, ConfigError> {
    serde_saphyr::from_multiple(text).map_err(|error| describe(file, text, &error))
}

fn describe(file: &Path, text: &str, error: &serde_saphyr::Error) -> ConfigError {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
    let key = error.location().and_then(|location| key_at(text, location.line(), location.column()));
    let of_key = |sentence: String| key.map_or(sentence.clone(), |key| format!("`{key}`: {sentence}"));
    let problem = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key `{field}`{}", suggestion(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            of_key(format!("unknown value `{variant}`{}", suggestion(variant, expected)))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            of_key(format!("expected {expected}, found {unexpected}"))
        }
        other => of_key(sentence(&other.to_string()).to_owned()),
    };
    ConfigError { file: file.to_owned(), line, problem }
}

/// The first line of a message, without the position that is printed in front of it anyway.
fn sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or(text);
    line.split_once(" at line ").map_or(line, |(before, _)| before)
}

/// The key whose value stands at a position, for errors that name none.
fn key_at(text: &str, line: u64, column: u64) -> Option<&str> {
    let line = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let end =
        line.char_indices().nth(usize::try_from(column).ok()?.saturating_sub(1)).map_or(line.len(), |(index, _)| index);
    let before = line.get(..end)?.trim_end();
    // At a key the position is its start, at a value it is after the key's colon.
    let key = match before.strip_suffix(':') {
        Some(key) => key.rsplit(['{', ',', ' ']).next()?,
        None => line.trim_start().trim_start_matches("- ").split_once(':')?.0,
    };
    Some(key.trim()).filter(|key| !key.is_empty() && !key.starts_with('#'))
}

/// `; did you mean …?`, or the list of what is possible.
pub fn suggestion(given: &str, expected: &[&str]) -> String {
    let close = expected
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given.to_lowercase(), &candidate.to_lowercase()), candidate))
        .min();
    match close {
        Some((distance, candidate)) if distance <= 1 + given.len() / 4 => format!("; did you mean `{candidate}`?"),
        Some(_) => {
            format!("; known are {}", expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Sample {
        location: String,
        #[serde(default)]
        replicas: Option<Bounds>,
        #[serde(default)]
        color: Option<Color>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Bounds {
        min: u32,
        max: u32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Color {
        Green,
        Blue,
    }

    fn check(text: &str, expected: &str) {
        let error = parse::<Sample>(Path::new("stack.local.yaml"), text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn errors_name_file_line_field_and_what_was_meant() {
        check(
            "location: eastus\nreplicas:\n  min: 1\n  maxx: 2\n",
            "stack.local.yaml:4: unknown key `maxx`; did you mean `max`?",
        );
        check(
            "location: eastus\nwibble: 1\n",
            "stack.local.yaml:2: unknown key `wibble`; known are `location`, `replicas`, `color`",
        );
        check(
            "location: eastus\ncolor: gren\n",
            "stack.local.yaml:2: `color`: unknown value `gren`; did you mean `green`?",
        );
    }

    #[test]
    fn a_good_file_is_read() {
        let sample: Sample =
            parse(Path::new("s.yaml"), "location: eastus\nreplicas: {min: 1, max: 2}\ncolor: blue\n").unwrap();
        let expected =
            Sample { location: "eastus".into(), replicas: Some(Bounds { min: 1, max: 2 }), color: Some(Color::Blue) };
        assert_eq!(sample, expected);
        let sample: Sample = parse(Path::new("s.yaml"), "location: eastus\ncolor: green\n").unwrap();
        assert_eq!(sample.color, Some(Color::Green));
    }

    #[test]
    fn a_mistyped_value_names_its_key() {
        let error = parse::<Sample>(Path::new("s.yaml"), "location: eastus\nreplicas:\n  min: many\n  max: 2\n")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("s.yaml:3: `min`: "), "{error}");
        let error = parse::<Sample>(Path::new("s.yaml"), "location: [\n").unwrap_err();
        assert!(error.line.is_some(), "{error}");
        let error = parse::<Sample>(Path::new("s.yaml"), "replicas: {min: 1, max: 2}\n").unwrap_err().to_string();
        assert!(error.contains("the key `location` is missing"), "{error}");
    }
}
