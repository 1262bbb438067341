//! ARM's template expressions as Pulumi's interpolations.

use super::ExportError;

/// A resource of the program: symbolic name, type and name.
pub(super) struct Known {
    pub symbolic: String,
    pub resource_type: String,
    pub name: String,
}

/// A text of a template as Pulumi's YAML runtime has it. Only the functions that the stacks use are known.
pub(super) fn translate(text: &str, known: &[Known]) -> Result<String, ExportError> {
    let Some(expression) =
        text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|inner| !inner.starts_with('['))
    else {
        return Ok(text.to_owned());
    };
    let unknown = || ExportError(format!("`{text}`"));
    let (function, rest) = expression.split_once('(').ok_or_else(unknown)?;
    let (inside, path) = rest.rsplit_once(')').ok_or_else(unknown)?;
    let arguments: Vec<&str> = inside.split(',').map(|argument| argument.trim().trim_matches('\'')).collect();
    match (function, arguments.as_slice()) {
        ("parameters", [name]) => Ok(format!("${{{name}}}")),
        ("reference", [symbolic]) => Ok(format!("${{{symbolic}{path}}}")),
        ("subscriptionResourceId", [kind, name]) => Ok(format!("/providers/{kind}/{name}")),
        ("resourceId", [kind, name]) => id(kind, &[name], known).ok_or_else(unknown),
        ("resourceId", [kind, first, second]) => id(kind, &[first, second], known).ok_or_else(unknown),
        ("resourceId", [subscription, group, kind, name]) => {
            Ok(format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}"))
        }
        _ => Err(unknown()),
    }
}

/// The id of a resource of the program; of a subnet that its network declares inline, below the network's.
fn id(kind: &str, names: &[&str], known: &[Known]) -> Option<String> {
    let of =
        |kind: &str, name: &str| known.iter().find(|resource| resource.resource_type == kind && resource.name == name);
    if let Some(found) = of(kind, &names.join("/")) {
        return Some(format!("${{{}.id}}", found.symbolic));
    }
    let (parent, child) = kind.rsplit_once('/')?;
    let [first, second] = names else { return None };
    of(parent, first).map(|found| format!("${{{}.id}}/{child}/{second}", found.symbolic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let known = [Known {
            symbolic: "network".into(),
            resource_type: "Microsoft.Network/virtualNetworks".into(),
            name: "marea".into(),
        }];
        let found = translate(text, &known).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn the_stacks_expressions_are_known() {
        check("plain", Ok("plain"));
        check("[parameters('password')]", Ok("${password}"));
        check("[reference('cluster').oidcIssuerProfile.issuerURL]", Ok("${cluster.oidcIssuerProfile.issuerURL}"));
        check("[resourceId('Microsoft.Network/virtualNetworks', 'marea')]", Ok("${network.id}"));
        check(
            "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'marea', 'backend')]",
            Ok("${network.id}/subnets/backend"),
        );
        check(
            "[resourceId('Microsoft.Network/virtualNetworks', 'other')]",
            Err("the export cannot express `[resourceId('Microsoft.Network/virtualNetworks', 'other')]`"),
        );
        check("[concat('a', 'b')]", Err("the export cannot express `[concat('a', 'b')]`"));
    }
}
