//! Resource ids: parsed, printed as they were written, compared without regard to case.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of a subscription, a resource group, a resource, or an extension resource on one of these.
///
/// Azure compares ids without regard to case and clients do vary it (`/resourcegroups/` and `/resourceGroups/`), so
/// equality, order and hash use [`ResourceId::key`]; printing keeps the case of the source.
#[derive(Clone, Debug)]
pub struct ResourceId {
    text: String,
    key: String,
    subscription: Option<String>,
    resource_group: Option<String>,
    /// Length in bytes of the scope that the last `/providers/` extends.
    scope_length: usize,
    namespace: Option<String>,
    types: Vec<String>,
    names: Vec<String>,
}

/// A text that is not a resource id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceIdError {
    pub text: String,
    pub reason: &'static str,
}

impl fmt::Display for ResourceIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a resource id: {}", self.text, self.reason)
    }
}

impl std::error::Error for ResourceIdError {}

impl ResourceId {
    /// # Errors
    /// When the text does not start with `/`, has an empty segment, or does not alternate types and names.
    pub fn parse(text: &str) -> Result<ResourceId, ResourceIdError> {
        let fail = |reason| ResourceIdError { text: text.chars().take(300).collect(), reason };
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let rest = trimmed.strip_prefix('/').ok_or_else(|| fail("it does not start with /"))?;
        let segments: Vec<&str> = rest.split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(fail("a segment is empty"));
        }
        let mut id = ResourceId {
            text: trimmed.to_owned(),
            key: trimmed.to_ascii_lowercase(),
            subscription: None,
            resource_group: None,
            scope_length: 0,
            namespace: None,
            types: Vec::new(),
            names: Vec::new(),
        };
        let last_provider = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"));
        let scope_end = last_provider.unwrap_or(segments.len());
        id.read_scope(&segments[..scope_end]).map_err(fail)?;
        id.scope_length = segments[..scope_end].iter().map(|segment| segment.len() + 1).sum();
        if let Some(position) = last_provider {
            id.read_provider(&segments[position + 1..]).map_err(fail)?;
        }
        Ok(id)
    }

    fn read_scope(&mut self, segments: &[&str]) -> Result<(), &'static str> {
        let mut rest = segments;
        if let [word, name, tail @ ..] = rest
            && word.eq_ignore_ascii_case("subscriptions")
        {
            self.subscription = Some((*name).to_owned());
            rest = tail;
            if let [word, name, tail @ ..] = rest
                && word.eq_ignore_ascii_case("resourceGroups")
            {
                self.resource_group = Some((*name).to_owned());
                rest = tail;
            }
        }
        match rest {
            [] => Ok(()),
            // An extension resource: what it extends is a resource id of its own, checked when it is asked for.
            [word, _, _, ..] if word.eq_ignore_ascii_case("providers") => Ok(()),
            _ => Err("expected /subscriptions/{id}[/resourceGroups/{name}][/providers/{namespace}/{type}/{name}…]"),
        }
    }

    fn read_provider(&mut self, segments: &[&str]) -> Result<(), &'static str> {
        let [namespace, pairs @ ..] = segments else {
            return Err("no namespace follows /providers/");
        };
        if pairs.len() % 2 != 0 {
            return Err("a type has no name");
        }
        self.namespace = Some((*namespace).to_owned());
        for pair in pairs.chunks(2) {
            self.types.push(pair[0].to_owned());
            self.names.push(pair[1].to_owned());
        }
        Ok(())
    }

    /// `/subscriptions/{subscription}`
    pub fn of_subscription(subscription: &str) -> ResourceId {
        Self::built(format!("/subscriptions/{subscription}"))
    }

    /// `/subscriptions/{subscription}/resourceGroups/{group}`
    pub fn of_group(subscription: &str, group: &str) -> ResourceId {
        Self::built(format!("/subscriptions/{subscription}/resourceGroups/{group}"))
    }

    /// A resource in a resource group. `names` has one name per segment of the type after the namespace.
    pub fn in_group(subscription: &str, group: &str, resource_type: &str, names: &[&str]) -> ResourceId {
        Self::of_group(subscription, group).extended(resource_type, names)
    }

    /// A resource in a subscription, or an extension resource of whatever this id names.
    pub fn extended(&self, resource_type: &str, names: &[&str]) -> ResourceId {
        let (namespace, types) = resource_type.split_once('/').unwrap_or((resource_type, ""));
        let mut text = format!("{}/providers/{namespace}", self.text);
        for (part, name) in types.split('/').zip(names) {
            text.push_str(&format!("/{part}/{name}"));
        }
        Self::built(text)
    }

    /// `{self}/{kind}/{name}`
    pub fn child(&self, kind: &str, name: &str) -> ResourceId {
        Self::built(format!("{}/{kind}/{name}", self.text))
    }

    /// For texts composed here; a hostile name makes an id that names nothing rather than a panic.
    fn built(text: String) -> ResourceId {
        Self::parse(&text).unwrap_or_else(|_| ResourceId {
            key: text.to_ascii_lowercase(),
            text,
            subscription: None,
            resource_group: None,
            scope_length: 0,
            namespace: None,
            types: Vec::new(),
            names: Vec::new(),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The lower-case form, which is what two ids are compared by.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn subscription(&self) -> Option<&str> {
        self.subscription.as_deref()
    }

    pub fn resource_group(&self) -> Option<&str> {
        self.resource_group.as_deref()
    }

    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// `Microsoft.Network/virtualNetworks/subnets`; resource groups and subscriptions are of `Microsoft.Resources`.
    pub fn resource_type(&self) -> String {
        match &self.namespace {
            Some(namespace) => {
                let mut text = namespace.clone();
                for part in &self.types {
                    text.push('/');
                    text.push_str(part);
                }
                text
            }
            None if self.resource_group.is_some() => "Microsoft.Resources/resourceGroups".to_owned(),
            None => "Microsoft.Resources/subscriptions".to_owned(),
        }
    }

    pub fn is_type(&self, resource_type: &str) -> bool {
        self.resource_type().eq_ignore_ascii_case(resource_type)
    }

    /// The last name: of the resource, else of the group, else of the subscription.
    pub fn name(&self) -> &str {
        self.names.last().or(self.resource_group.as_ref()).or(self.subscription.as_ref()).map_or("", String::as_str)
    }

    /// The names of the provider's types, outermost first.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names joined as a template writes them: `vnet/subnet`.
    pub fn template_name(&self) -> String {
        if self.names.is_empty() { self.name().to_owned() } else { self.names.join("/") }
    }

    /// What the resource is in or extends: a group, a subscription, or another resource. Empty for the tenant.
    pub fn scope(&self) -> &str {
        &self.text[..self.scope_length]
    }

    /// The resource that a child is part of, e.g. the virtual network of a subnet.
    pub fn parent(&self) -> Option<ResourceId> {
        if self.names.len() < 2 {
            return None;
        }
        let dropped = self.types.last()?.len() + self.names.last()?.len() + 2;
        Some(Self::built(self.text[..self.text.len() - dropped].to_owned()))
    }

    /// Whether this id is below the other: in its group, its child, or an extension of it.
    pub fn is_within(&self, other: &ResourceId) -> bool {
        self.key.strip_prefix(other.key.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &ResourceId) -> bool {
        self.key == other.key
    }
}

impl Eq for ResourceId {}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &ResourceId) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &ResourceId) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ResourceId {
    type Err = ResourceIdError;
    fn from_str(text: &str) -> Result<ResourceId, ResourceIdError> {
        ResourceId::parse(text)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ResourceId, D::Error> {
        let text = String::deserialize(deserializer)?;
        ResourceId::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, resource_type: &str, name: &str, scope: &str) {
        let id = ResourceId::parse(text).expect(text);
        assert_eq!(id.to_string(), text);
        assert_eq!(id.resource_type(), resource_type, "{text}");
        assert_eq!(id.template_name(), name, "{text}");
        assert_eq!(id.scope(), scope, "{text}");
    }

    #[test]
    fn reads_every_kind_of_id() {
        check("/subscriptions/s", "Microsoft.Resources/subscriptions", "s", "/subscriptions/s");
        check(
            "/subscriptions/s/resourcegroups/g",
            "Microsoft.Resources/resourceGroups",
            "g",
            "/subscriptions/s/resourcegroups/g",
        );
        check(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n",
            "Microsoft.Network/virtualNetworks/subnets",
            "v/n",
            "/subscriptions/s/resourceGroups/g",
        );
        check(
            "/subscriptions/s/providers/Microsoft.Resources/deploymentStacks/base",
            "Microsoft.Resources/deploymentStacks",
            "base",
            "/subscriptions/s",
        );
        check(
            "/subscriptions/s/resourceGroups/g/providers/A.B/c/d/providers/Microsoft.Authorization/roleAssignments/r",
            "Microsoft.Authorization/roleAssignments",
            "r",
            "/subscriptions/s/resourceGroups/g/providers/A.B/c/d",
        );
    }

    #[test]
    fn no_text_makes_it_panic_and_what_it_accepts_it_prints_back() {
        const PARTS: [&str; 14] = [
            "",
            "/",
            "subscriptions",
            "resourceGroups",
            "providers",
            "A.B",
            "x",
            "..",
            "é",
            "🜚",
            "\0",
            " ",
            "%2f",
            "PROVIDERS",
        ];
        let mut state = 1_u64;
        for _ in 0..200_000 {
            let mut text = String::new();
            for _ in 0..state % 12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(if state >> 63 == 0 { "/" } else { "" });
                text.push_str(PARTS[(state >> 33) as usize % PARTS.len()]);
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let Ok(id) = ResourceId::parse(&text) else { continue };
            let again = ResourceId::parse(&id.to_string()).expect("what was printed");
            assert_eq!((&again, again.resource_type()), (&id, id.resource_type()), "{text:?}");
            let (_, _, _, _) = (id.parent(), id.scope(), id.name(), id.child("kind", "name"));
        }
    }

    #[test]
    fn compares_without_case_and_knows_parents() {
        let subnet = ResourceId::in_group("s", "G", "Microsoft.Network/virtualNetworks/subnets", &["v", "n"]);
        let lower = ResourceId::parse(&subnet.to_string().to_lowercase()).expect("lower");
        assert_eq!(subnet, lower);
        let network = ResourceId::in_group("s", "g", "Microsoft.Network/virtualNetworks", &["v"]);
        assert_eq!(subnet.parent(), Some(network.clone()));
        assert!(subnet.is_within(&network) && subnet.is_within(&ResourceId::of_group("s", "g")));
        assert!(!network.is_within(&network));
    }

    #[test]
    fn refuses_what_is_no_id() {
        for text in [
            "",
            "x",
            "/",
            "//",
            "/subscriptions",
            "/subscriptions/s/x/y",
            "/providers/A.B/c",
            "/subscriptions/s//resourceGroups/g",
        ] {
            assert!(ResourceId::parse(text).is_err(), "{text}");
        }
    }
}
