//! The embedded ARM behind a transport that fails by a seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arm_client::{ArmClient, ArmClientError};
use arm_engine::effect::{Effect, Outcome};
use arm_engine::{Engine, Ids, Method, Principal, Request, Response};
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, HttpClient, Request as HttpRequest, StatusCode};
use azure_core::time::OffsetDateTime;
use serde_json::Value;
use units::{Millis, Timestamp};

pub const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const TENANT: &str = "00000000-0000-0000-0000-000000000002";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    None,
    Storm,
}

#[derive(Debug)]
struct Arm {
    engine: Engine,
    ids: Ids,
    now: Timestamp,
    random: Ids,
    faults: Faults,
    /// Work outside that fails; bounded, so that re-runs end.
    failures_left: u32,
    /// Identities of clusters and servers when they were first seen: another one would be a second creation.
    first_seen: BTreeMap<String, Value>,
    remade: Vec<String>,
}

#[derive(Debug)]
pub struct World {
    arm: Mutex<Arm>,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    ResetBefore,
    ResetAfter,
    Throttled { told_when: bool },
    Fails { status: u16, after: bool },
    Delayed,
}

impl World {
    pub fn new(seed: u64, faults: Faults) -> Arc<World> {
        let arm = Arm {
            engine: Engine::new(TENANT, SUBSCRIPTION),
            ids: Ids::new(7),
            now: Timestamp::from_secs(1_790_000_000),
            random: Ids::new(seed.wrapping_mul(0x9E37_79B9) ^ 0xA5A5),
            faults,
            failures_left: if faults == Faults::Storm { (seed % 4) as u32 } else { 0 },
            first_seen: BTreeMap::new(),
            remade: Vec::new(),
        };
        Arc::new(World { arm: Mutex::new(arm) })
    }

    fn arm(&self) -> MutexGuard<'_, Arm> {
        self.arm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn client(self: &Arc<World>) -> ArmClient {
        ArmClient::with_transport("https://arm", SUBSCRIPTION, self.clone(), Arc::new(Token))
    }

    /// The cloud's clock goes on to `at`.
    pub fn pass_until(&self, at: Timestamp) {
        let mut arm = self.arm();
        assert!(arm.now <= at, "the clock only goes forward");
        arm.now = at;
    }

    pub fn roll(&self) -> u64 {
        self.arm().random.next_number()
    }

    /// What a storm may bring a run to: the retries are used up, or work outside failed.
    pub fn is_expected(&self, error: &ArmClientError) -> bool {
        let stormy = self.arm().faults == Faults::Storm;
        stormy
            && match error {
                ArmClientError::Unreachable { .. } | ArmClientError::Failed { .. } => true,
                ArmClientError::Refused { status, .. } => matches!(status, 429 | 500 | 503),
                _ => false,
            }
    }

    /// Every resource as it is read, without what differs between two creations.
    pub fn state(&self) -> BTreeMap<String, Value> {
        let mut arm = self.arm();
        while arm.run_effect() {}
        let list = arm.plain(&format!("/subscriptions/{SUBSCRIPTION}/resources"));
        let ids: Vec<String> = list["value"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["id"].as_str().map(str::to_owned))
            .collect();
        ids.into_iter()
            .map(|id| {
                let mut body = arm.plain(&id);
                scrub(&mut body);
                (id, body)
            })
            .collect()
    }

    pub fn assert_made_once(&self, seed: u64) {
        assert_eq!(self.arm().remade, Vec::<String>::new(), "seed {seed}: made twice");
    }
}

impl Arm {
    fn fate(&mut self) -> Fate {
        if self.faults == Faults::None {
            return Fate::Passes;
        }
        match self.random.next_number() % 100 {
            0..4 => Fate::ResetBefore,
            4..8 => Fate::ResetAfter,
            8..12 => Fate::Throttled { told_when: true },
            12..15 => Fate::Throttled { told_when: false },
            15..18 => Fate::Fails { status: 500, after: false },
            18..21 => Fate::Fails { status: 503, after: false },
            21..24 => Fate::Fails { status: 500, after: true },
            24..30 => Fate::Delayed,
            _ => Fate::Passes,
        }
    }

    fn handle(&mut self, request: &Request) -> Response {
        self.now = self.now + Millis(10);
        // Work outside takes some calls' time: it is done now and then.
        if self.faults == Faults::None || self.random.next_number().is_multiple_of(3) {
            self.run_effect();
        }
        self.engine.handle(request, self.now, &mut self.ids)
    }

    fn run_effect(&mut self) -> bool {
        let mut effects = self.engine.take_effects();
        if effects.is_empty() {
            return false;
        }
        // All that were handed out are done; the first may fail.
        let fails = self.failures_left > 0 && self.random.next_number().is_multiple_of(3);
        if fails {
            self.failures_left -= 1;
        }
        for (at, (id, effect)) in effects.drain(..).enumerate() {
            let outcome = if fails
                && at == 0
                && !matches!(effect, Effect::DeleteCluster { .. } | Effect::DeletePostgres { .. })
            {
                Outcome::Failed { code: "InternalServerError".into(), message: "The storm hit the data centre.".into() }
            } else {
                self.outcome(&effect)
            };
            self.engine.complete(id, outcome, self.now);
        }
        true
    }

    fn outcome(&mut self, effect: &Effect) -> Outcome {
        match effect {
            Effect::EnsureCluster { cluster_id, body, .. } => {
                self.notice(cluster_id, &body["properties"]["resourceUID"]);
                Outcome::Cluster {
                    fqdn: "marea.hcp.eastus.azmk8s.io".into(),
                    admin_kubeconfig: "admin".into(),
                    user_kubeconfig: "user".into(),
                    oidc_issuer_url: "https://issuer/".into(),
                }
            }
            Effect::EnsurePostgres { server_id, body, .. } => {
                self.notice(server_id, &body["name"]);
                Outcome::Postgres { host_address: "10.225.0.4".into(), state: "Ready".into() }
            }
            Effect::StopCluster { .. } | Effect::StopPostgres { .. } => Outcome::Stopped,
            Effect::DeleteCluster { .. } | Effect::DeletePostgres { .. } => Outcome::Deleted,
        }
    }

    fn notice(&mut self, id: &str, identity: &Value) {
        let first = self.first_seen.entry(id.to_ascii_lowercase()).or_insert_with(|| identity.clone());
        if first != identity {
            self.remade.push(id.to_owned());
        }
    }

    fn plain(&mut self, path: &str) -> Value {
        let request = Request {
            method: Method::Get,
            path: path.to_owned(),
            query: vec![("api-version".into(), "2025-04-01".into())],
            headers: Vec::new(),
            body: Vec::new(),
            principal: Principal::default(),
            base_url: "https://arm".into(),
        };
        self.engine.handle(&request, self.now, &mut self.ids).body.unwrap_or_default()
    }
}

fn scrub(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| {
                ![
                    "etag",
                    "eTag",
                    "resourceGuid",
                    "resourceUID",
                    "principalId",
                    "clientId",
                    "objectId",
                    "internalId",
                    "systemData",
                    "earliestRestoreDate",
                    "fqdn",
                    "azurePortalFQDN",
                ]
                .contains(&key.as_str())
            });
            members.values_mut().for_each(scrub);
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        _ => {}
    }
}

#[async_trait::async_trait]
impl HttpClient for World {
    async fn execute_request(&self, request: &HttpRequest) -> azure_core::Result<AsyncRawResponse> {
        let url = request.url();
        let asked = Request {
            method: match request.method() {
                azure_core::http::Method::Put => Method::Put,
                azure_core::http::Method::Post => Method::Post,
                azure_core::http::Method::Delete => Method::Delete,
                azure_core::http::Method::Patch => Method::Patch,
                _ => Method::Get,
            },
            path: url.path().to_owned(),
            query: url.query_pairs().into_owned().collect(),
            headers: Vec::new(),
            body: azure_core::Bytes::from(request.body()).to_vec(),
            principal: Principal::default(),
            base_url: "https://arm".into(),
        };
        let fate = self.arm().fate();
        if fate == Fate::Delayed {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        let before = matches!(fate, Fate::ResetBefore | Fate::Throttled { .. } | Fate::Fails { after: false, .. });
        let answer = if before { None } else { Some(self.arm().handle(&asked)) };
        match (fate, answer) {
            (Fate::ResetBefore | Fate::ResetAfter, _) => {
                Err(azure_core::Error::with_message(ErrorKind::Io, "connection reset by peer"))
            }
            (Fate::Throttled { told_when }, _) => {
                let mut headers = Headers::new();
                if told_when {
                    headers.insert(HeaderName::from_static("retry-after"), "3");
                }
                Ok(raw(
                    429,
                    headers,
                    r#"{"error":{"code":"TooManyRequests","message":"The request is being throttled."}}"#,
                ))
            }
            (Fate::Fails { status, .. }, _) => Ok(raw(
                status,
                Headers::new(),
                r#"{"error":{"code":"InternalServerError","message":"Encountered internal server error."}}"#,
            )),
            (_, Some(answer)) => {
                let mut headers = Headers::new();
                for (name, value) in &answer.headers {
                    headers.insert(HeaderName::from(name.to_ascii_lowercase()), value.clone());
                }
                Ok(raw(answer.status, headers, &answer.body.map(|body| body.to_string()).unwrap_or_default()))
            }
            (_, None) => unreachable!("a call that is not failed before it is handled has an answer"),
        }
    }
}

fn raw(status: u16, headers: Headers, body: &str) -> AsyncRawResponse {
    AsyncRawResponse::from_bytes(StatusCode::from(status), headers, body.as_bytes().to_vec())
}

#[derive(Debug)]
struct Token;

#[async_trait::async_trait]
impl TokenCredential for Token {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new("storm", OffsetDateTime::now_utc() + azure_core::time::Duration::hours(24)))
    }
}
