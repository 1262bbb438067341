//! The whole way against a server of this test, which answers as the API does: filters, pages, refusals.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

struct Quiet;

impl Reporter for Quiet {
    fn line(&self, _: &str) {}
    fn status(&self, _: &str) {}
}

/// What the server does before it answers properly.
#[derive(Clone, Default)]
struct Behaviour {
    /// Statuses of the first answers, each with its Retry-After.
    first: Vec<(u16, Option<&'static str>)>,
    /// A body for every request.
    body: Option<String>,
    /// In the place of every NextPageLink.
    next: Option<String>,
}

/// An item of the catalogue in eastus.
fn item(service: &str, product: &str, meter: &str, sku: &str, unit: &str, price: f64) -> Value {
    json!({"currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": price, "unitPrice": price, "armRegionName": "eastus", "location": "US East",
        "effectiveStartDate": "2025-01-01T00:00:00Z", "meterId": format!("id-{meter}"), "meterName": meter, "productId": "P", "skuId": "P/1",
        "productName": product, "skuName": meter, "serviceName": service, "serviceId": "S", "serviceFamily": "Compute", "unitOfMeasure": unit,
        "type": "Consumption", "isPrimaryMeterRegion": true, "armSkuName": sku})
}

fn with(mut item: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        item[key] = value.clone();
    }
    item
}

/// Everything that the platform needs, and things beside it that must not be taken.
fn catalogue() -> Vec<Value> {
    let machines = |product: &str, meter: &str, price: f64| {
        item("Virtual Machines", product, meter, "Standard_B2s", "1 Hour", price)
    };
    let balancer = |meter: &str, unit: &str, price: f64| {
        with(item("Load Balancer", "Load Balancer", meter, "", unit, price), json!({"armRegionName": "Global"}))
    };
    let postgres = |product: &str, meter: &str, sku: &str, unit: &str, price: f64| {
        item("Azure Database for PostgreSQL", product, meter, sku, unit, price)
    };
    let network =
        |product: &str, meter: &str, unit: &str, price: f64| item("Virtual Network", product, meter, "", unit, price);
    let names = |meter: &str, unit: &str, price: f64| {
        with(item("Azure DNS", "Azure DNS", meter, "", unit, price), json!({"armRegionName": "Zone 1"}))
    };
    let out = |from: f64, price: f64| {
        let item = item("Bandwidth", "Rtn Preference: MGN", "Standard Data Transfer Out", "", "1 GB", price);
        with(item, json!({"tierMinimumUnits": from}))
    };
    vec![
        machines("Virtual Machines BS Series", "B2s", 0.0416),
        machines("Virtual Machines BS Series", "B2s Spot", 0.01),
        machines("Virtual Machines BS Series Windows", "B2s", 0.0496),
        item("Storage", "Premium SSD Managed Disks", "P10 LRS Disk", "", "1/Month", 19.71),
        item("Storage", "Premium SSD Managed Disks", "P10 LRS Disk Mount", "", "1/Month", 5.0),
        item("Azure Kubernetes Service", "Azure Kubernetes Service", "Standard Uptime SLA", "", "1 Hour", 0.1),
        balancer("Standard Included LB Rules and Outbound Rules", "1 Hour", 0.025),
        balancer("Standard Overage LB Rules and Outbound Rules", "1/Hour", 0.01),
        balancer("Standard Data Processed", "1 GB", 0.005),
        network("IP Addresses", "Standard IPv4 Static Public IP", "1 Hour", 0.005),
        network("Virtual Network Peering", "Intra-Region Ingress", "1 GB", 0.01),
        network("Virtual Network Peering", "Intra-Region Egress", "1 GB", 0.01),
        postgres(
            "Azure Database for PostgreSQL Flexible Server Burstable\u{a0}BS Series Compute",
            "B1MS",
            "B1MS",
            "1 Hour",
            0.017,
        ),
        postgres("Az DB for PostgreSQL Flexible Server Storage", "Storage Data Stored", "", "1 GB/Month", 0.115),
        postgres(
            "Az DB for PostgreSQL Flexible Server Backup Storage",
            "Backup Storage LRS Data Stored",
            "",
            "1 GB/Month",
            0.095,
        ),
        names("Private Zone", "1", 0.5),
        names("Private Queries", "1M", 0.4),
        out(0.0, 0.0),
        out(100.0, 0.087),
    ]
}

/// Answers two items a page, of the service that the filter names. Returns the address and the number of requests so far.
async fn serve(items: Vec<Value>, behaviour: Behaviour) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/api/retail/prices", listener.local_addr().unwrap());
    let (requests, address) = (Arc::new(Mutex::new(Vec::new())), endpoint.clone());
    let log = requests.clone();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let target = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            let number = {
                let mut log = log.lock().unwrap();
                log.push(target.clone());
                log.len() - 1
            };
            let answer = answer(&items, &behaviour, &address, &target, number);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (endpoint, requests)
}

fn answer(items: &[Value], behaviour: &Behaviour, address: &str, target: &str, number: usize) -> String {
    if let Some((status, retry_after)) = behaviour.first.get(number) {
        let header = retry_after.map(|wait| format!("Retry-After: {wait}\r\n")).unwrap_or_default();
        return format!("HTTP/1.1 {status} Refused\r\n{header}Content-Length: 7\r\nConnection: close\r\n\r\nrefused");
    }
    let url = reqwest::Url::parse(&format!("http://x{target}")).unwrap();
    let query = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let filter = query("$filter").unwrap_or_default();
    let service = filter.split('\'').nth(1).unwrap_or_default().to_owned();
    let skip: usize = query("$skip").and_then(|skip| skip.parse().ok()).unwrap_or(0);
    let matching: Vec<&Value> = items.iter().filter(|item| item["serviceName"] == service.as_str()).collect();
    let page: Vec<&&Value> = matching.iter().skip(skip).take(2).collect();
    let mut next = reqwest::Url::parse(address).unwrap();
    next.query_pairs_mut().append_pair("$filter", &filter).append_pair("$skip", &(skip + 2).to_string());
    let next = (skip + 2 < matching.len()).then(|| behaviour.next.clone().unwrap_or_else(|| next.to_string()));
    let body = json!({"BillingCurrency": "USD", "CustomerEntityId": "Default", "CustomerEntityType": "Retail", "Items": page, "NextPageLink": next, "Count": page.len()});
    let body = behaviour.body.clone().unwrap_or_else(|| body.to_string());
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn arguments(endpoint: &str) -> Refresh {
    Refresh {
        region: vec!["eastus".to_owned()],
        vm_size: Vec::new(),
        currency: "USD".to_owned(),
        out: None,
        endpoint: endpoint.to_owned(),
    }
}

async fn try_fetch(args: &Refresh) -> Result<SheetFile> {
    let patience = Patience { attempts: 3, pause: Duration::from_millis(1), timeout: Duration::from_secs(20) };
    fetch(args, "2026-11-25", patience, &Quiet).await
}

async fn check(items: Vec<Value>, behaviour: Behaviour, expected: &str) {
    let (endpoint, _) = serve(items, behaviour).await;
    let error = try_fetch(&arguments(&endpoint)).await.err().unwrap().to_string();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn every_meter_is_read_page_by_page() {
    let (endpoint, requests) = serve(catalogue(), Behaviour::default()).await;
    let file = try_fetch(&arguments(&endpoint)).await.unwrap();
    let sheet = PriceSheet::parse(&file.to_text()).unwrap();
    assert_eq!(sheet.missing_meters("eastus"), []);
    let committed = PriceSheet::committed().unwrap();
    for (meter, region, sku, price) in sheet.prices() {
        let known = committed.price(meter, if region == price::GLOBAL { "eastus" } else { region }, sku).unwrap();
        assert_eq!((price.unit, &price.steps), (known.unit, &known.steps), "{meter} {sku}");
    }
    let (requests, filters) = (requests.lock().unwrap().clone(), retail::filters("eastus", &[]).len());
    assert_eq!(requests.len(), filters + 4, "two of machines, balancers, PostgreSQL and networks: {requests:#?}");
    assert!(
        requests[0]
            .starts_with("/api/retail/prices?api-version=2023-01-01-preview&currencyCode=USD&%24filter=serviceName+eq")
    );
}

#[tokio::test]
async fn throttled_and_failing_answers_are_asked_again() {
    let behaviour = Behaviour { first: vec![(429, Some("0")), (503, None)], ..Behaviour::default() };
    let (endpoint, requests) = serve(catalogue(), behaviour).await;
    try_fetch(&arguments(&endpoint)).await.unwrap();
    let first: Vec<String> = requests.lock().unwrap().iter().take(3).cloned().collect();
    assert_eq!((&first[0], &first[1]), (&first[1], &first[2]));
    let always = Behaviour { first: vec![(500, None); 3], ..Behaviour::default() };
    check(catalogue(), always, "127.0.0.1 answers 500 Internal Server Error (3 attempts)").await;
    let long = Behaviour { first: vec![(429, Some("3600"))], ..Behaviour::default() };
    check(catalogue(), long, "127.0.0.1 answers 429 Too Many Requests (1 attempts)").await;
}

#[tokio::test]
async fn answers_that_are_no_price_list_are_refused() {
    let refused = Behaviour { first: vec![(400, None)], ..Behaviour::default() };
    check(catalogue(), refused, "127.0.0.1 answers 400 Bad Request: refused").await;
    let page = Behaviour { body: Some("<html>sign in</html>".into()), ..Behaviour::default() };
    check(catalogue(), page, "answers with no price list: expected value at line 1").await;
    let away = Behaviour { next: Some("https://example.org/prices".into()), ..Behaviour::default() };
    check(catalogue(), away, "NextPageLink `https://example.org/prices` leads away from http://127.0.0.1").await;
}

#[tokio::test]
async fn pages_that_do_not_end_are_refused() {
    let (endpoint, _) = serve(Vec::new(), Behaviour::default()).await;
    let page = |next: &str| json!({"Items": [], "NextPageLink": next}).to_string();
    let behaviour = Behaviour { body: Some(page(&endpoint)), ..Behaviour::default() };
    let (second, _) = serve(Vec::new(), Behaviour { body: Some(page("/nowhere")), ..behaviour.clone() }).await;
    let error = try_fetch(&arguments(&second)).await.err().unwrap().to_string();
    assert!(error.contains("NextPageLink `/nowhere` is not an address"), "{error}");
    let (looping, _) = serve_looping().await;
    let error = try_fetch(&arguments(&looping)).await.err().unwrap().to_string();
    assert!(error.contains("its pages do not end"), "{error}");
}

/// Every page names itself as the next.
async fn serve_looping() -> (String, Arc<Mutex<Vec<String>>>) {
    let mut items = catalogue();
    items.truncate(3);
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let endpoint = format!("http://{}/api/retail/prices", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let next = endpoint.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let body = json!({"Items": [], "NextPageLink": next}).to_string();
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (endpoint, requests)
}

#[tokio::test]
async fn sheets_that_cannot_be_are_refused() {
    let without =
        |meter: &str| -> Vec<Value> { catalogue().into_iter().filter(|item| item["meterName"] != meter).collect() };
    check(
        without("Standard IPv4 Static Public IP"),
        Behaviour::default(),
        "the answer for eastus is refused: it has no price of public-ip",
    )
    .await;
    check(without("Standard Uptime SLA"), Behaviour::default(), "no price of control-plane Standard").await;
    let priced = |price: f64| -> Vec<Value> {
        let mut items = catalogue();
        items[0]["retailPrice"] = json!(price);
        items
    };
    check(priced(-0.04), Behaviour::default(), "(vm eastus Standard_B2s): price `-0.04` is not a decimal").await;
    check(priced(416.0), Behaviour::default(), "(vm eastus Standard_B2s): a price of 416.00 per hour is above 150")
        .await;
    check(priced(0.0), Behaviour::default(), "vm eastus Standard_B2s: the price is zero").await;
    let mut items = catalogue();
    items[3]["currencyCode"] = json!("EUR");
    check(items, Behaviour::default(), "(os-disk eastus P10): is in EUR, the sheet in USD").await;
}

#[tokio::test]
async fn bad_arguments_and_unreachable_servers_are_told() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let tell = |change: &dyn Fn(&mut Refresh)| {
        let mut args = arguments(&format!("http://127.0.0.1:{port}/"));
        change(&mut args);
        async move { try_fetch(&args).await.err().unwrap() }
    };
    let error = tell(&|_| {}).await;
    assert!(error.message.contains("127.0.0.1 cannot be reached: Connection refused"), "{error}");
    assert_eq!(error.exit, crate::error::Exit::Failed);
    let error = tell(&|args| args.region = vec!["east' or 1 eq 1".into()]).await;
    assert_eq!(
        (error.exit, error.message.contains("is not the name of a region")),
        (crate::error::Exit::BadInput, true)
    );
    let error = tell(&|args| args.endpoint = "ftp://prices".into()).await;
    assert!(error.message.contains("`ftp://prices` is not an http or https address"), "{error}");
}

#[test]
fn a_sheet_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/prices.json");
    write(&path, "one").unwrap();
    write(&path, "two").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let error = write(&path.join("below/a/file.json"), "three").err().unwrap();
    assert!(error.message.contains("cannot be written"), "{error}");
}
