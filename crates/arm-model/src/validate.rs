//! Checks templates against Azure's published types (the JSON files of bicep-types-az). Only tests want this.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Where the types are looked for when the environment does not say: in a folder beside the repository.
const DEFAULT_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/azure-types");
const VARIABLE: &str = "MAREA_AZURE_TYPES";

const REQUIRED: u64 = 1;
const READ_ONLY: u64 = 2;

/// Keys of a template resource that belong to the template and not to the type.
const TEMPLATE_KEYS: [&str; 13] = [
    "id",
    "type",
    "apiVersion",
    "name",
    "condition",
    "existing",
    "dependsOn",
    "copy",
    "resourceGroup",
    "subscriptionId",
    "comments",
    "metadata",
    "resources",
];

/// A place in a template that Azure's types do not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The resource's type and name, then the path inside it.
    pub path: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The types of a folder.
pub struct AzureTypes {
    files: Vec<Vec<Value>>,
    /// Lower-case `type@version` → file and node.
    resources: BTreeMap<String, (usize, usize)>,
}

/// The folder with the types, or `None` where this machine has none; a test then says that it is skipped.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_FOLDER), PathBuf::from);
    folder.is_dir().then_some(folder)
}

impl AzureTypes {
    /// Reads every JSON file of a folder.
    ///
    /// # Errors
    /// When the folder or a file cannot be read, or a file is not an array of nodes; the message names it.
    pub fn load(folder: &Path) -> Result<AzureTypes, String> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            paths.push(entry.map_err(|error| error.to_string())?.path());
        }
        paths.sort();
        let mut types = AzureTypes { files: Vec::new(), resources: BTreeMap::new() };
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let nodes: Vec<Value> =
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            types.add(nodes);
        }
        Ok(types)
    }

    fn add(&mut self, nodes: Vec<Value>) {
        let file = self.files.len();
        for (index, node) in nodes.iter().enumerate() {
            if let (Some("ResourceType"), Some(name)) = (node["$type"].as_str(), node["name"].as_str()) {
                self.resources.insert(name.to_ascii_lowercase(), (file, index));
            }
        }
        self.files.push(nodes);
    }

    /// Every problem of a template's resources, nested deployments included.
    pub fn check_template(&self, template: &Value) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.template(template, "", &mut problems);
        problems
    }

    fn template(&self, template: &Value, prefix: &str, problems: &mut Vec<Problem>) {
        let resources: Vec<&Value> = match &template["resources"] {
            Value::Array(items) => items.iter().collect(),
            Value::Object(members) => members.values().collect(),
            _ => Vec::new(),
        };
        for resource in resources {
            let path = format!(
                "{prefix}{} {}",
                resource["type"].as_str().unwrap_or("?"),
                resource["name"].as_str().unwrap_or("?")
            );
            self.resource(resource, &path, problems);
            if resource["properties"]["template"].is_object() {
                self.template(&resource["properties"]["template"], &format!("{path} > "), problems);
            }
        }
    }

    fn resource(&self, resource: &Value, path: &str, problems: &mut Vec<Problem>) {
        let key = format!(
            "{}@{}",
            resource["type"].as_str().unwrap_or_default(),
            resource["apiVersion"].as_str().unwrap_or_default()
        )
        .to_ascii_lowercase();
        let Some(&(file, node)) = self.resources.get(&key) else {
            problems.push(Problem { path: path.to_owned(), message: format!("Azure's types have no {key}") });
            return;
        };
        let mut body = resource.as_object().cloned().unwrap_or_default();
        body.retain(|key, _| !TEMPLATE_KEYS.contains(&key.as_str()));
        let checker = Checker { nodes: &self.files[file] };
        let body_node = checker.deref(&self.files[file][node]["body"]);
        checker.object(body_node, &body, path, true, problems);
    }
}

struct Checker<'a> {
    nodes: &'a [Value],
}

impl<'a> Checker<'a> {
    fn deref(&self, reference: &Value) -> &'a Value {
        let index = reference["$ref"]
            .as_str()
            .and_then(|text| text.strip_prefix("#/"))
            .and_then(|text| text.parse::<usize>().ok());
        index.and_then(|index| self.nodes.get(index)).unwrap_or(&Value::Null)
    }

    fn value(&self, node: &'a Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        // An expression has its type only at run time.
        if value.as_str().is_some_and(|text| text.starts_with('[') && !text.starts_with("[[")) {
            return;
        }
        let mut fail = |message: String| problems.push(Problem { path: path.to_owned(), message });
        match node["$type"].as_str().unwrap_or_default() {
            "StringLiteralType" if value != &node["value"] => fail(format!("{value} is not {}", node["value"])),
            "StringType" => match value.as_str() {
                None => fail(format!("{value} is not a string")),
                Some(text) => string_problems(node, text).into_iter().for_each(fail),
            },
            "IntegerType" => match value.as_i64() {
                None => fail(format!("{value} is not an integer")),
                Some(number)
                    if node["minValue"].as_i64().is_some_and(|least| number < least)
                        || node["maxValue"].as_i64().is_some_and(|most| number > most) =>
                {
                    fail(format!("{number} is not between {} and {}", node["minValue"], node["maxValue"]));
                }
                Some(_) => {}
            },
            "BooleanType" if !value.is_boolean() => fail(format!("{value} is not a boolean")),
            "ArrayType" => match value.as_array() {
                None => fail(format!("{value} is not an array")),
                Some(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.value(self.deref(&node["itemType"]), item, &format!("{path}[{index}]"), problems);
                    }
                }
            },
            "UnionType" => self.union(node, value, path, problems),
            "ObjectType" | "DiscriminatedObjectType" => match value.as_object() {
                None => fail(format!("{value} is not an object")),
                Some(members) => self.object(node, members, path, false, problems),
            },
            _ => {}
        }
    }

    fn union(&self, node: &'a Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        let mut nearest: Option<Vec<Problem>> = None;
        let elements = node["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
        for element in elements {
            let mut found = Vec::new();
            self.value(self.deref(element), value, path, &mut found);
            if found.is_empty() {
                return;
            }
            nearest = nearest.filter(|best| best.len() <= found.len()).or(Some(found));
        }
        let literals: Vec<&str> = elements.iter().filter_map(|element| self.deref(element)["value"].as_str()).collect();
        if literals.len() == elements.len() && !literals.is_empty() {
            problems.push(Problem {
                path: path.to_owned(),
                message: format!("{value} is not one of {}", literals.join(", ")),
            });
        } else {
            problems.extend(nearest.unwrap_or_default());
        }
    }

    /// At the root of a resource, what only the template says is not missed.
    fn object(
        &self,
        node: &'a Value,
        members: &Map<String, Value>,
        path: &str,
        root: bool,
        problems: &mut Vec<Problem>,
    ) {
        let empty = Map::new();
        let mut properties: Vec<(&String, &Value)> = Vec::new();
        for section in ["properties", "baseProperties"] {
            properties.extend(node[section].as_object().unwrap_or(&empty));
        }
        if let Some(discriminator) = node["discriminator"].as_str() {
            let variant =
                members.get(discriminator).and_then(Value::as_str).map(|name| self.deref(&node["elements"][name]));
            properties.extend(variant.and_then(|variant| variant["properties"].as_object()).unwrap_or(&empty));
        }
        for (name, property) in &properties {
            let flags = property["flags"].as_u64().unwrap_or(0);
            match members.get(*name) {
                None if flags & REQUIRED != 0
                    && flags & READ_ONLY == 0
                    && !(root && TEMPLATE_KEYS.contains(&name.as_str())) =>
                {
                    problems.push(Problem { path: format!("{path}.{name}"), message: "is required".to_owned() });
                }
                Some(value) if flags & READ_ONLY == 0 => {
                    self.value(self.deref(&property["type"]), value, &format!("{path}.{name}"), problems)
                }
                _ => {}
            }
        }
        let additional = node.get("additionalProperties").map(|reference| self.deref(reference));
        for (name, value) in members.iter().filter(|(name, _)| !properties.iter().any(|(known, _)| known == name)) {
            match additional {
                Some(additional) => self.value(additional, value, &format!("{path}.{name}"), problems),
                None if root && name == "scope" => {}
                None => problems.push(Problem {
                    path: format!("{path}.{name}"),
                    message: "is not a property of this type".to_owned(),
                }),
            }
        }
    }
}

fn string_problems(node: &Value, text: &str) -> Vec<String> {
    let length = text.chars().count() as u64;
    let mut found = Vec::new();
    if node["minLength"].as_u64().is_some_and(|least| length < least)
        || node["maxLength"].as_u64().is_some_and(|most| length > most)
    {
        found.push(format!("the length of '{text}' is not between {} and {}", node["minLength"], node["maxLength"]));
    }
    // Patterns with look-around are beyond the regular expressions of this library; they are left unchecked.
    if let Some(pattern) = node["pattern"].as_str().and_then(|pattern| regex::Regex::new(pattern).ok())
        && !pattern.is_match(text)
    {
        found.push(format!("'{text}' does not match {}", pattern.as_str()));
    }
    found
}
