//! Whatever a client sends: an answer in Azure's form, no panic, and nothing changed by what was refused.

use arm_engine::{Ids, Method, Principal, Request};
use serde_json::{Value, json};
use units::Timestamp;

use crate::support::{Cloud, GROUP_SCHEMA, SUBSCRIPTION};

const WORDS: [&str; 47] = [
    "[",
    "]",
    "(",
    ")",
    "'",
    "''",
    ",",
    ".",
    "[[",
    "1",
    "-1",
    "9223372036854775807",
    "'x'",
    "'{0}'",
    "parameters",
    "variables",
    "concat",
    "format",
    "resourceId",
    "reference",
    "copyIndex",
    "union",
    "createObject",
    "createArray",
    "json",
    "'{\"a\":[1]}'",
    "string",
    "int",
    "add",
    "div",
    "mod",
    "mul",
    "sub",
    "substring",
    "split",
    "range",
    "lambda",
    "map",
    "filter",
    "lambdaVariables",
    "cidrSubnet",
    "'10.0.0.0/8'",
    "dateTimeAdd",
    "uniqueString",
    "if",
    "true",
    "🜚",
];

struct Random(Ids);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_number() % bound as u64) as usize
    }

    fn expression(&mut self) -> String {
        let words = 1 + self.below(12);
        let inner: String = (0..words).map(|_| WORDS[self.below(WORDS.len())]).collect();
        match self.below(4) {
            0 => inner,
            1 => format!("[{}({inner})]", WORDS[14 + self.below(20)]),
            2 => format!("[{}('x',{inner},1)]", WORDS[14 + self.below(20)]),
            _ => format!("[{inner}]"),
        }
    }

    /// A path of likely and unlikely segments.
    fn path(&mut self) -> String {
        const SEGMENTS: [&str; 22] = [
            "subscriptions",
            SUBSCRIPTION,
            "resourceGroups",
            "g",
            "providers",
            "Microsoft.Network",
            "virtualNetworks",
            "x",
            "subnets",
            "",
            "..",
            "%2e",
            "Microsoft.Resources",
            "deployments",
            "deploymentStacks",
            "tags",
            "default",
            "locations",
            "operationResults",
            "\u{0}",
            "🜚",
            "Microsoft.ContainerService",
        ];
        let length = self.below(14);
        (0..length)
            .map(|at| {
                if at < 2 && self.below(3) > 0 {
                    format!("/{}", SEGMENTS[at])
                } else {
                    format!("/{}", SEGMENTS[self.below(SEGMENTS.len())])
                }
            })
            .collect()
    }
}

fn group() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g")
}

fn cloud() -> Cloud {
    let mut cloud = Cloud::new();
    cloud.request("PUT", &group(), json!({ "location": "eastus" }));
    cloud
}

#[track_caller]
fn is_azures(status: u16, body: Option<&Value>, what: &str) {
    if status < 400 {
        return;
    }
    assert!(status != 500, "{what}: {body:?}");
    let error = body.map(|body| &body["error"]);
    let (code, message) =
        (error.and_then(|error| error["code"].as_str()), error.and_then(|error| error["message"].as_str()));
    // HEAD has no body.
    assert!(
        body.is_none() && status == 404 || code.is_some_and(|code| !code.is_empty()) && message.is_some(),
        "{what}: {status} {body:?}"
    );
}

#[test]
fn expressions_of_any_kind() {
    let mut random = Random(Ids::new(11));
    let mut cloud = cloud();
    for at in 0..20_000 {
        let expression = random.expression();
        let template = json!({
            "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0", "parameters": { "p": { "type": "string", "defaultValue": "x" } }, "variables": { "v": random.expression() },
            "resources": [], "outputs": { "o": { "type": "object", "value": expression } },
        });
        let path = format!("{}/providers/Microsoft.Resources/deployments/d{}", group(), at % 20);
        let response =
            cloud.request("PUT", &path, json!({ "properties": { "mode": "Incremental", "template": template } }));
        is_azures(response.status, response.body.as_ref(), &expression);
    }
}

#[test]
fn paths_of_any_kind() {
    let mut random = Random(Ids::new(12));
    let mut cloud = cloud();
    let before = cloud.resource_states();
    for _ in 0..20_000 {
        let path = random.path();
        for method in ["GET", "HEAD", "POST", "PATCH", "DELETE"] {
            // A deletion of the group itself is a right request.
            if path.eq_ignore_ascii_case(&group()) {
                continue;
            }
            let response = cloud.request(method, &path, json!({}));
            is_azures(response.status, response.body.as_ref(), &format!("{method} {path}"));
        }
    }
    assert_eq!(cloud.resource_states(), before);
}

#[test]
fn bodies_of_any_kind() {
    let mut random = Random(Ids::new(13));
    let mut cloud = cloud();
    let good = json!({ "location": "eastus", "tags": { "a": "b" }, "identity": { "type": "SystemAssigned" }, "sku": { "name": "Standard" }, "properties": {
        "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] }, "subnets": [{ "name": "s", "properties": { "addressPrefix": "10.0.0.0/24" } }], "securityRules": [],
        "dnsPrefix": "x", "agentPoolProfiles": [{ "name": "p", "mode": "System", "count": 1 }], "administratorLogin": "a", "storage": { "storageSizeGB": 32 } } });
    let types = [
        "Microsoft.Network/virtualNetworks",
        "Microsoft.Network/networkSecurityGroups",
        "Microsoft.ContainerService/managedClusters",
        "Microsoft.DBforPostgreSQL/flexibleServers",
        "Microsoft.Network/publicIPAddresses",
    ];
    for _ in 0..20_000 {
        let mut text = good.to_string().into_bytes();
        for _ in 0..1 + random.below(4) {
            let at = random.below(text.len());
            match random.below(3) {
                0 => text[at] = b"{}[]\",:0-an\\ "[random.below(13)],
                1 => drop(text.remove(at)),
                _ => text.insert(at, (random.below(256)) as u8),
            }
        }
        let path = format!("{}/providers/{}/x", group(), types[random.below(types.len())]);
        let request = Request {
            method: if random.below(2) == 0 { Method::Put } else { Method::Patch },
            path: path.clone(),
            query: vec![("api-version".into(), "2026-05-01".into())],
            headers: Vec::new(),
            body: text.clone(),
            principal: Principal::default(),
            base_url: "https://arm".into(),
        };
        let response = cloud.engine.handle(&request, Timestamp::from_secs(1_790_000_000), &mut random.0);
        is_azures(response.status, response.body.as_ref(), &format!("{path}: {}", String::from_utf8_lossy(&text)));
    }
}

#[test]
fn deep_and_wide_templates() {
    let mut cloud = cloud();
    let mut refused = |template: Value, code: &str| {
        let path = format!("{}/providers/Microsoft.Resources/deployments/deep", group());
        let response =
            cloud.request("PUT", &path, json!({ "properties": { "mode": "Incremental", "template": template } }));
        let found =
            response.body.as_ref().and_then(|body| body["error"]["code"].as_str()).unwrap_or_default().to_owned();
        assert_eq!((response.status, found.as_str()), (400, code), "{:?}", response.body);
    };
    let template =
        |resources: Value| json!({ "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0", "resources": resources });
    let network = |name: String| json!({ "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2025-09-01", "name": name, "location": "eastus", "properties": { "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] } } });
    refused(template((0..801).map(|at| network(format!("n{at}"))).collect()), "InvalidTemplate");
    let mut many = network("c".to_owned());
    many["name"] = "[format('c{0}', copyIndex())]".into();
    many["copy"] = json!({ "name": "loop", "count": 1_000_000_000_i64 });
    refused(template(json!([many])), "InvalidTemplate");
    let deep = format!("[{}1{}]", "add(1,".repeat(5_000), ")".repeat(5_000));
    refused(template(json!([network(deep)])), "InvalidTemplate");
    refused(template(json!([network(format!("[range(0, {})]", i64::MAX))])), "InvalidTemplate");
}
