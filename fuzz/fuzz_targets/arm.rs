#![no_main]
//! Requests to the embedded Resource Manager: any path, and any text as a template's expression or as a whole body.

use arm_engine::{Engine, Ids, Method, Principal, Request};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use units::Timestamp;

const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";
const TENANT: &str = "22222222-2222-4222-8222-222222222222";

fuzz_target!(|texts: (&str, &str)| {
    let mut engine = Engine::new(TENANT, SUBSCRIPTION);
    let mut ids = Ids::new(1);
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g");
    let mut ask = |method: Method, path: &str, body: Value| {
        let request = Request {
            method,
            path: path.to_owned(),
            query: vec![("api-version".to_owned(), "2025-04-01".to_owned())],
            headers: Vec::new(),
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
            principal: Principal::default(),
            base_url: "https://arm".to_owned(),
        };
        let answer = engine.handle(&request, Timestamp::from_secs(1_790_000_000), &mut ids);
        assert!(answer.status != 500, "{method:?} {path}: {:?}", answer.body);
    };
    ask(Method::Put, &group, json!({"location": "eastus"}));
    ask(Method::Get, texts.0, Value::Null);
    ask(Method::Put, texts.0, serde_json::from_str(texts.1).unwrap_or(Value::Null));
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": [],
        "outputs": {"a": {"type": "string", "value": format!("[{}]", texts.1)}, "b": {"type": "object", "value": texts.0}},
    });
    let deployment = json!({"properties": {"mode": "Incremental", "template": template}});
    ask(Method::Put, &format!("{group}/providers/Microsoft.Resources/deployments/d"), deployment);
});
