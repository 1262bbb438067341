//! Tokens of a label selector.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    Comma,
    Open,
    Close,
    End,
}

impl Token {
    pub(super) fn text(&self) -> &str {
        match self {
            Token::Word(word) => word,
            Token::Not => "!",
            Token::Equals => "=",
            Token::DoubleEquals => "==",
            Token::NotEquals => "!=",
            Token::Greater => ">",
            Token::Less => "<",
            Token::Comma => ",",
            Token::Open => "(",
            Token::Close => ")",
            Token::End => "",
        }
    }
}

/// The tokens of `text`, ending with [`Token::End`]. Anything that is not an operator or white space is part of a word;
/// words are checked when a requirement is made of them.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        let length = if is_operator(first) {
            // A negation, a bracket or a comma may follow any other token without a space.
            let run = rest.find(|c| !is_operator(c)).unwrap_or(rest.len());
            let (token, length) = operator(&rest[..run])?;
            found.push(token);
            length
        } else {
            let length = rest.find(|c: char| is_operator(c) || is_space(c)).unwrap_or(rest.len());
            found.push(Token::Word(rest[..length].to_owned()));
            length
        };
        rest = rest[length..].trim_start_matches(is_space);
    }
    found.push(Token::End);
    Ok(found)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_operator(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

/// The longest operator at the start of a run of operator characters.
fn operator(run: &str) -> Result<(Token, usize), String> {
    let known = [
        ("!=", Token::NotEquals),
        ("==", Token::DoubleEquals),
        ("=", Token::Equals),
        ("!", Token::Not),
        (">", Token::Greater),
        ("<", Token::Less),
        (",", Token::Comma),
        ("(", Token::Open),
        (")", Token::Close),
    ];
    known
        .into_iter()
        .find(|(text, _)| run.starts_with(text))
        .map(|(text, token)| (token, text.len()))
        .ok_or_else(|| format!("found '{run}', expected an operator"))
}
