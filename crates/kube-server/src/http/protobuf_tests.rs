use std::io::Read;

use super::*;

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let types = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), field(1, &types), field(2, raw)].concat()
}

#[test]
fn what_is_empty_in_go_is_absent_and_pointers_to_it_are_not() {
    let metadata = [field(1, b"m"), field(3, b""), field(8, b""), vec![7 << 3, 0]].concat();
    let data = [field(1, b"k"), field(2, &[0xff])].concat();
    let raw = [field(1, &metadata), field(2, &data), field(3, b"Opaque")].concat();
    let expected = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "m"}, "data": {"k": "/w=="}, "type": "Opaque"});
    assert_eq!(decode(&body("v1", "Secret", &raw)).unwrap(), expected);
    // spec.replicas is a pointer, spec.minReadySeconds is none.
    let spec = [vec![1 << 3, 0], vec![5 << 3, 0]].concat();
    let found = decode(&body("apps/v1", "Deployment", &field(2, &spec))).unwrap();
    assert_eq!(found["spec"], json!({"replicas": 0}));
    // volumes[0].emptyDir is inline in JSON, and a message in a message here.
    let volume = field(2, &field(2, b""));
    let found = decode(&body("v1", "Pod", &field(2, &field(1, &volume)))).unwrap();
    assert_eq!(found["spec"]["volumes"], json!([{"emptyDir": {}}]));
}

/// Differs (Kubernetes API): Bodies in protobuf are read for the kinds and fields that the genuine clients send and
/// refused by name otherwise; answers are JSON, which every client of upstream's takes.
#[test]
fn what_is_not_understood_is_refused_by_name() {
    let refused = |body: &[u8]| decode(body).unwrap_err();
    assert!(refused(&body("apps/v9", "Deployment", &[])).contains("Deployment of apps/v9"));
    assert!(refused(&body("v1", "ServiceAccount", &field(9, b"x"))).contains("field 9 of ServiceAccount"));
    assert!(refused(b"{}").contains("does not begin"));
    let whole = body("v1", "Namespace", &field(1, &field(1, b"n")));
    assert!(refused(&whole[..whole.len() - 1]).contains("cut off"));
    assert!(refused(&[MAGIC, &[0xff; 12]].concat()).contains("damaged"));
    let nested = (0..40).fold(Vec::new(), |inner, _| field(4, &inner));
    let schema = body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &nested);
    assert!(decode(&schema).is_err());
}

/// Without what Go leaves out or writes empty: JSON and protobuf differ there, and neither means anything.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().map(|(name, inner)| (name.clone(), pruned(inner)));
            Value::Object(kept.filter(|(_, inner)| !is_zero(inner)).collect())
        }
        Value::Array(items) => items.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

/// The same instant and amount in the one spelling that both sides have.
fn spelt(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(spelt),
        Value::Array(items) => items.iter_mut().for_each(spelt),
        Value::String(text) => {
            if let Ok(instant) = Timestamp::parse(text) {
                *text = instant.rfc3339();
            }
        }
        _ => {}
    }
}

fn vectors() -> impl Iterator<Item = Value> {
    let packed = include_bytes!("../../../../conformance/vectors/wire.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>().into_iter()
}

#[test]
fn reads_what_the_genuine_serializer_writes() {
    let mut read = std::collections::BTreeSet::new();
    for vector in vectors() {
        let mut expected = vector["json"].clone();
        let (api_version, kind) = (expected["apiVersion"].as_str().unwrap(), expected["kind"].as_str().unwrap());
        let name = format!("{api_version} {kind}");
        let bytes = STANDARD.decode(vector["protobuf"].as_str().unwrap()).unwrap();
        let mut found = match decode(&bytes) {
            Ok(found) => found,
            // Types that are not part of a stable API here.
            Err(why) if why.ends_with("is not read as protobuf, send JSON") && why.starts_with(kind) => continue,
            Err(why) => panic!("{name}: {why}"),
        };
        spelt(&mut expected);
        spelt(&mut found);
        assert_eq!(pruned(&found), pruned(&expected), "{name}");
        read.insert(name);
    }
    assert!(read.len() > 50, "{read:?}");
    for known in
        ["apps/v1 Deployment", "v1 Pod", "rbac.authorization.k8s.io/v1 ClusterRole", "policy/v1 PodDisruptionBudget"]
    {
        assert!(read.contains(known), "{known}");
    }
}

/// Any bytes are refused or read, and never a panic.
#[test]
fn damaged_bodies_do_no_harm() {
    for (number, vector) in vectors().enumerate().filter(|(number, _)| number % 7 == 0) {
        let mut bytes = STANDARD.decode(vector["protobuf"].as_str().unwrap()).unwrap();
        for step in 0..40 {
            let at = (number * 31 + step * 97) % bytes.len();
            bytes[at] ^= 1 << (step % 8);
            let _ = decode(&bytes);
        }
    }
}
