//! `$(VAR)` in commands, arguments and values (third_party/forked/golang/expansion of Kubernetes 1.36).

/// Replaces references that `lookup` knows; unknown ones stay as they are, and `$$` is a plain dollar sign.
pub(crate) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => expanded.push_str(&value),
                None => expanded.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    #[test]
    fn expands_as_upstream() {
        let check = |text: &str, expected: &str| {
            let lookup = |name: &str| (name == "VAR").then(|| "value".to_owned());
            assert_eq!(super::expand(text, lookup), expected, "{text}");
        };
        check("$(VAR):80", "value:80");
        check("$$(VAR)", "$(VAR)");
        check("$(OTHER) $VAR $(open", "$(OTHER) $VAR $(open");
        check("100$", "100$");
    }
}
