//! Text → tree.

use serde_json::Value;

use super::ExpressionError;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Literal(Value),
    Call(String, Vec<Expr>),
    /// `of.name` or `of[index]`; a safe access gives null where there is nothing.
    Access {
        of: Box<Expr>,
        index: Box<Expr>,
        safe: bool,
    },
}

/// Limits of Azure's parser: an expression has at most 24,576 characters. The depth bounds our own recursion.
const MAX_LENGTH: usize = 24_576;
const MAX_DEPTH: usize = 64;
const MAX_ACCESSES: usize = 128;

/// The expression inside a string, if it is one: `[…]` but not `[[…`.
pub(crate) fn expression_in(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    if inside.starts_with('[') {
        return None;
    }
    inside.strip_suffix(']')
}

pub(crate) fn parse(text: &str) -> Result<Expr, ExpressionError> {
    if text.len() > MAX_LENGTH {
        return Err(ExpressionError::new(format!("The expression is longer than {MAX_LENGTH} characters.")));
    }
    let mut parser = Parser { text, position: 0, depth: 0 };
    let expr = parser.expression()?;
    parser.skip_space();
    if parser.position < text.len() {
        return Err(parser.unexpected());
    }
    Ok(expr)
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn skip_space(&mut self) {
        while let Some(c) = self.peek().filter(|c| c.is_whitespace()) {
            self.position += c.len_utf8();
        }
    }

    fn accept(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.position += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), ExpressionError> {
        self.skip_space();
        if self.accept(wanted) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> ExpressionError {
        let found = self.peek().map_or("EndOfData".to_owned(), |c| c.to_string());
        ExpressionError::new(format!(
            "The template language expression '{}' is not valid: unexpected token '{found}' at position {}.",
            self.text.chars().take(200).collect::<String>(),
            self.position
        ))
    }

    fn expression(&mut self) -> Result<Expr, ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExpressionError::new(format!("The expression is nested deeper than {MAX_DEPTH} levels.")));
        }
        self.skip_space();
        let mut expr = match self.peek() {
            Some('\'') => Expr::Literal(Value::String(self.string()?)),
            Some(c) if c.is_ascii_digit() || c == '-' || c == '+' => self.number()?,
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.call()?,
            _ => return Err(self.unexpected()),
        };
        let mut accesses = 0;
        loop {
            self.skip_space();
            // Each access is a level of the tree, whose evaluation is recursive.
            accesses += 1;
            if accesses > MAX_ACCESSES {
                return Err(ExpressionError::new(format!(
                    "The expression has more than {MAX_ACCESSES} accesses in a row."
                )));
            }
            if self.accept('.') {
                let safe = self.accept('?');
                let name = self.identifier()?;
                expr = Expr::Access { of: Box::new(expr), index: Box::new(Expr::Literal(Value::String(name))), safe };
            } else if self.accept('[') {
                let safe = self.accept('?');
                let index = self.expression()?;
                self.expect(']')?;
                expr = Expr::Access { of: Box::new(expr), index: Box::new(index), safe };
            } else {
                break;
            }
        }
        self.depth -= 1;
        Ok(expr)
    }

    fn identifier(&mut self) -> Result<String, ExpressionError> {
        let rest = &self.text[self.position..];
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if length == 0 {
            return Err(self.unexpected());
        }
        self.position += length;
        Ok(rest[..length].to_owned())
    }

    fn call(&mut self) -> Result<Expr, ExpressionError> {
        let mut name = self.identifier()?;
        // User-defined functions have a namespace: `contoso.uniqueName(…)`.
        if self.accept('.') {
            name = format!("{name}.{}", self.identifier()?);
        }
        self.expect('(')?;
        let mut arguments = Vec::new();
        self.skip_space();
        if !self.accept(')') {
            loop {
                arguments.push(self.expression()?);
                self.skip_space();
                if self.accept(')') {
                    break;
                }
                self.expect(',')?;
            }
        }
        Ok(Expr::Call(name, arguments))
    }

    fn string(&mut self) -> Result<String, ExpressionError> {
        self.position += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                Some('\'') => {
                    self.position += 1;
                    if !self.accept('\'') {
                        return Ok(text);
                    }
                    text.push('\'');
                }
                Some(c) => {
                    self.position += c.len_utf8();
                    text.push(c);
                }
                None => return Err(self.unexpected()),
            }
        }
    }

    fn number(&mut self) -> Result<Expr, ExpressionError> {
        let rest = &self.text[self.position..];
        let length = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| end + 1);
        let number: i64 = rest[..length].parse().map_err(|_| self.unexpected())?;
        self.position += length;
        Ok(Expr::Literal(Value::from(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_calls_literals_and_accesses() {
        let parsed = parse("format('it''s {0}', reference('a').b.?c[?-1])").expect("parses");
        let Expr::Call(name, arguments) = parsed else { panic!("not a call") };
        assert_eq!((name.as_str(), arguments.len()), ("format", 2));
        assert_eq!(arguments[0], Expr::Literal(Value::from("it's {0}")));
    }

    #[test]
    fn refuses_what_is_no_expression_without_panicking() {
        for text in ["", "a", "a(", "a(1,", "'x", "a()b", "a().", "é()", "a(1)[", "- ", "a().?", "99999999999999999999"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"a(".repeat(5000)).is_err());
        assert!(parse(&format!("a(){}", ".b".repeat(10_000))).is_err());
        assert_eq!((expression_in("[a()]"), expression_in("[[a()]"), expression_in("a")), (Some("a()"), None, None));
    }
}
