//! Many clients at once against a running embedded ARM: what they read must be what was written, nothing may be lost, and no
//! answer may be one that Azure would not give.
//!
//! `parallel_clients CLIENTS SECONDS SERVER_PID`, with the variables of `marea local azure-env` in the environment. Prints one line of
//! JSON with counts, latencies and the server's memory; exit code 1 when something was wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Shared {
    http: reqwest::Client,
    endpoint: String,
    subscription: String,
    token: String,
    /// Successful additions to the counter that everybody shares.
    added: AtomicU64,
    conflicts: AtomicU64,
}

#[derive(Default)]
struct Seen {
    latencies_us: Vec<u64>,
    wrong: BTreeMap<String, u64>,
    first_wrong: Option<String>,
}

fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| format!("{name} is not set: eval \"$(marea local azure-env)\" first").into())
}

impl Shared {
    async fn connect() -> Result<Shared, Failure> {
        let endpoint = variable("MAREA_ARM_ENDPOINT")?;
        let pem = std::fs::read(variable("SSL_CERT_FILE")?)?;
        let http = reqwest::Client::builder().tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?).build()?;
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=x%2F.default",
            variable("AZURE_CLIENT_ID")?,
            variable("AZURE_CLIENT_SECRET")?
        );
        let url = format!("{endpoint}/{}/oauth2/v2.0/token", variable("AZURE_TENANT_ID")?);
        let answer: Value = http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await?
            .json()
            .await?;
        let token = answer["access_token"].as_str().ok_or("no token")?.to_owned();
        let subscription = variable("AZURE_SUBSCRIPTION_ID")?;
        Ok(Shared { http, endpoint, subscription, token, added: AtomicU64::new(0), conflicts: AtomicU64::new(0) })
    }

    async fn send(
        &self,
        seen: &mut Seen,
        method: &str,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Result<(u16, Value), Failure> {
        let version = if path.contains("privateDnsZones") { "2024-06-01" } else { "2025-04-01" };
        let url = format!("{}/subscriptions/{}{path}?api-version={version}", self.endpoint, self.subscription);
        let mut request = self.http.request(method.parse()?, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        let started = Instant::now();
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        seen.latencies_us.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}

fn group(client: usize) -> String {
    format!("/resourceGroups/parallel-{client}")
}

const COUNTER: &str =
    "/resourceGroups/parallel/providers/Microsoft.Network/privateDnsZones/parallel.example.com/TXT/counter";

/// One round of a client's own work, and one addition to what all share.
async fn round(shared: &Shared, seen: &mut Seen, client: usize, turn: u64) -> Result<(), Failure> {
    let network = format!("{}/providers/Microsoft.Network/virtualNetworks/v{}", group(client), turn % 5);
    let text = turn.to_string();
    let prefix = format!("10.{}.0.0/16", client % 250);
    let body = json!({ "location": "eastus", "tags": { "turn": text }, "properties": {
        "addressSpace": { "addressPrefixes": [prefix] }, "subnets": [{ "name": "s", "properties": { "addressPrefix": format!("10.{}.1.0/24", client % 250) } }] } });
    let (status, written) = shared.send(seen, "PUT", &network, Some(&body), None).await?;
    expect(seen, status == 200 || status == 201, "PUT network", status, &written);
    let (status, read) = shared.send(seen, "GET", &network, None, None).await?;
    expect(
        seen,
        status == 200 && read["tags"]["turn"].as_str() == Some(text.as_str()),
        "GET network reads another's write",
        status,
        &read,
    );
    let (status, list) = shared.send(seen, "GET", &format!("{}/resources", group(client)), None, None).await?;
    expect(
        seen,
        status == 200 && list["value"].as_array().is_some_and(|list| !list.is_empty()),
        "GET list",
        status,
        &list,
    );
    if turn % 7 == 6 {
        let (status, body) = shared.send(seen, "DELETE", &network, None, None).await?;
        expect(seen, status == 202, "DELETE network", status, &body);
        let (status, body) = shared.send(seen, "GET", &network, None, None).await?;
        expect(
            seen,
            status == 404 && body["error"]["code"] == "ResourceNotFound",
            "GET deleted network",
            status,
            &body,
        );
    }
    if turn.is_multiple_of(4) {
        add_one(shared, seen).await?;
    }
    Ok(())
}

/// Reads, adds, writes back if nobody wrote in between.
async fn add_one(shared: &Shared, seen: &mut Seen) -> Result<(), Failure> {
    let (status, record) = shared.send(seen, "GET", COUNTER, None, None).await?;
    expect(seen, status == 200, "GET counter", status, &record);
    let value: u64 = record["properties"]["txtRecords"][0]["value"][0].as_str().unwrap_or("0").parse()?;
    let next = json!({ "properties": { "ttl": 60, "txtRecords": [{ "value": [(value + 1).to_string()] }] } });
    let etag = record["etag"].as_str().unwrap_or_default().to_owned();
    let (status, body) = shared.send(seen, "PUT", COUNTER, Some(&next), Some(&etag)).await?;
    match status {
        200 => shared.added.fetch_add(1, Ordering::SeqCst),
        412 if body["error"]["code"] == "PreconditionFailed" => shared.conflicts.fetch_add(1, Ordering::SeqCst),
        _ => {
            expect(seen, false, "PUT counter", status, &body);
            0
        }
    };
    Ok(())
}

fn expect(seen: &mut Seen, right: bool, what: &str, status: u16, body: &Value) {
    if !right {
        *seen.wrong.entry(format!("{what}: {status} {}", body["error"]["code"])).or_default() += 1;
        seen.first_wrong.get_or_insert_with(|| body.to_string().chars().take(400).collect());
    }
}

fn memory_mib(pid: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[tokio::main]
async fn main() -> Result<std::process::ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [clients, seconds, pid] = arguments.as_slice() else {
        return Err("usage: parallel_clients CLIENTS SECONDS SERVER_PID".into());
    };
    let (clients, seconds): (usize, u64) = (clients.parse()?, seconds.parse()?);
    let shared = Arc::new(Shared::connect().await?);
    let mut setup = Seen::default();
    let place = json!({ "location": "eastus" });
    shared.send(&mut setup, "PUT", "/resourceGroups/parallel", Some(&place), None).await?;
    let zone = "/resourceGroups/parallel/providers/Microsoft.Network/privateDnsZones/parallel.example.com";
    shared.send(&mut setup, "PUT", zone, Some(&json!({ "location": "global" })), None).await?;
    let zero = json!({ "properties": { "ttl": 60, "txtRecords": [{ "value": ["0"] }] } });
    shared.send(&mut setup, "PUT", COUNTER, Some(&zero), None).await?;
    for client in 0..clients {
        shared.send(&mut setup, "PUT", &group(client), Some(&place), None).await?;
    }
    let before = memory_mib(pid);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for client in 0..clients {
        let shared = shared.clone();
        tasks.push(tokio::spawn(async move {
            let mut seen = Seen::default();
            let mut turn = 0;
            while Instant::now() < until {
                if let Err(error) = round(&shared, &mut seen, client, turn).await {
                    *seen.wrong.entry(format!("connection: {error}")).or_default() += 1;
                }
                turn += 1;
            }
            seen
        }));
    }
    let mut all = Seen::default();
    for task in tasks {
        let seen = task.await?;
        all.latencies_us.extend(seen.latencies_us);
        for (what, count) in seen.wrong {
            *all.wrong.entry(what).or_default() += count;
        }
        all.first_wrong = all.first_wrong.or(seen.first_wrong);
    }
    let (_, record) = shared.send(&mut setup, "GET", COUNTER, None, None).await?;
    let counted: u64 = record["properties"]["txtRecords"][0]["value"][0].as_str().unwrap_or_default().parse()?;
    let added = shared.added.load(Ordering::SeqCst);
    all.latencies_us.sort_unstable();
    let at = |share: f64| {
        let index = (all.latencies_us.len() as f64 * share) as usize;
        all.latencies_us.get(index).copied().unwrap_or_default() as f64 / 1000.0
    };
    let right = all.wrong.is_empty() && counted == added;
    let report = json!({
        "clients": clients, "seconds": seconds, "requests": all.latencies_us.len(), "p50_ms": at(0.5), "p99_ms": at(0.99),
        "counter": counted, "additions_acknowledged": added, "conflicts_412": shared.conflicts.load(Ordering::SeqCst),
        "memory_mib_before": before, "memory_mib_after": memory_mib(pid), "wrong": all.wrong, "first_wrong": all.first_wrong,
    });
    let mut line = report.to_string();
    line.push('\n');
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(if right { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE })
}
