//! Builders of template expressions, so that quoting is done in one place.

use std::fmt;

/// An expression without its brackets. `Display` and [`Expression::text`] put them around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(String);

impl Expression {
    /// An expression written by hand, without brackets.
    pub fn raw(inside: impl Into<String>) -> Expression {
        Expression(inside.into())
    }

    /// A string literal; quotes are doubled.
    pub fn literal(text: &str) -> Expression {
        Expression(format!("'{}'", text.replace('\'', "''")))
    }

    pub fn parameter(name: &str) -> Expression {
        Self::call("parameters", &[Self::literal(name)])
    }

    pub fn call(function: &str, arguments: &[Expression]) -> Expression {
        let arguments: Vec<&str> = arguments.iter().map(|argument| argument.0.as_str()).collect();
        Expression(format!("{function}({})", arguments.join(", ")))
    }

    /// `resourceId('Type', 'name', …)`: a resource in the deployment's own group.
    pub fn resource_id(resource_type: &str, names: &[&str]) -> Expression {
        let arguments: Vec<Expression> =
            std::iter::once(&resource_type).chain(names).map(|text| Self::literal(text)).collect();
        Self::call("resourceId", &arguments)
    }

    /// `resourceId(subscription, group, 'Type', 'name', …)` with everything spelled out.
    pub fn resource_id_in(subscription: &str, group: &str, resource_type: &str, names: &[&str]) -> Expression {
        let arguments: Vec<Expression> =
            [subscription, group, resource_type].iter().chain(names).map(|text| Self::literal(text)).collect();
        Self::call("resourceId", &arguments)
    }

    /// `reference(…)`: the run-time properties of a symbolic name or of an id.
    pub fn reference(of: Expression) -> Expression {
        Self::call("reference", &[of])
    }

    /// `{self}.name`
    pub fn get(self, name: &str) -> Expression {
        Expression(format!("{}.{name}", self.0))
    }

    /// `{self}['name']`, for names that are no identifiers.
    pub fn index(self, name: &str) -> Expression {
        Expression(format!("{}[{}]", self.0, Self::literal(name).0))
    }

    /// The expression as it stands in a template: `[…]`.
    pub fn text(&self) -> String {
        format!("[{}]", self.0)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> String {
        expression.text()
    }
}

/// A plain string as a template holds it: a leading bracket would start an expression and is doubled.
pub fn escape(text: &str) -> String {
    if text.starts_with('[') { format!("[{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_expressions_with_their_quotes() {
        let id = Expression::resource_id("Microsoft.Network/virtualNetworks/subnets", &["v", "it's"]);
        assert_eq!(id.text(), "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'v', 'it''s')]");
        let fqdn = Expression::reference(Expression::literal("server")).get("fullyQualifiedDomainName");
        assert_eq!(fqdn.to_string(), "[reference('server').fullyQualifiedDomainName]");
        assert_eq!(escape("[x"), "[[x");
    }
}
