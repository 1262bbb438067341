//! The network inside, with the kernel's own sockets. Where the kernel forbids namespaces the test says so and ends well.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test with a `main` of its own reports by itself")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use network::dial::Dialer;
use network::dns::NameServer;
use network::names::Names;
use network::plan;
use network::rules::{
    self, Access, Cidr, Direction, NodeNet, PodNet, PortRange, Protocol, SecurityRule, ServicePort, Subnet, View,
};
use network::sandbox::{self, Router};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NODES: [(&str, &str, &str); 2] =
    [("front", "10.224.1.4", "10.244.1.0/24"), ("back", "10.224.2.4", "10.244.2.0/24")];
const WEB: &str = "10.244.1.5";
const API: &str = "10.244.2.5";
const API_TWO: &str = "10.244.2.6";
const DATABASE: &str = "10.225.0.4";
const SERVICE: &str = "10.100.0.7";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, directory] = arguments.as_slice()
        && verb == "hold"
    {
        return match sandbox::hold(Path::new(directory)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprint!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    if arguments.iter().any(|argument| argument == "--list") {
        println!("sandbox: test");
        return ExitCode::SUCCESS;
    }
    let directory = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap();
    if !Path::new("/usr/sbin/nft").exists() {
        println!("skipped: nft is not installed");
        return ExitCode::SUCCESS;
    }
    let entered = match sandbox::enter(directory.path(), &[own.into(), "hold".into()]) {
        Ok(entered) => entered,
        Err(error) => {
            println!("skipped: {error}");
            return ExitCode::SUCCESS;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let router = Router::open(entered).await.unwrap();
        let outcome = tokio::spawn(everything(Arc::clone(&router))).await;
        router.dismiss();
        outcome.unwrap();
    });
    println!("sandbox: ok");
    ExitCode::SUCCESS
}

async fn everything(router: Arc<Router>) {
    for (_, address, _) in NODES {
        router.add_address(address.parse().unwrap()).await.unwrap();
    }
    let started = Instant::now();
    for (id, address) in [("web", WEB), ("api", API), ("api-two", API_TWO), ("database", DATABASE)] {
        router.attach(id, address.parse().unwrap(), None).await.unwrap();
    }
    println!("attached four namespaces in {:?}", started.elapsed());
    assert_eq!(router.attached(), ["api", "api-two", "database", "web"]);
    // Once more changes nothing: what a daemon finds after a restart.
    router.attach("web", WEB.parse().unwrap(), None).await.unwrap();

    let _servers = [
        serve(&router, "api", API, 8080, "one"),
        serve(&router, "api-two", API_TWO, 8080, "two"),
        serve(&router, "database", DATABASE, 5432, "rows"),
        serve(&router, "web", WEB, 80, "page"),
        echo(&router, "database", DATABASE),
    ];
    without_rules(&router).await;
    services(&router).await;
    both_fences(&router).await;
    cut_off(&router).await;
    edge(&router).await;
    names(&router).await;

    router.detach("web").await;
    assert_eq!(router.attached(), ["api", "api-two", "database"]);
    assert!(router.connect(at(WEB, 80), None).await.is_err());
}

fn at(address: &str, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address.parse().unwrap(), port)
}

/// A program that answers every connection with a word and the client's address, as a child in the namespace.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(router: &Router, id: &str, address: &str, port: u16, word: &str) -> Server {
    let script = format!(
        "import socket\ns=socket.create_server(('{address}',{port}),backlog=64)\nwhile True:\n c,p=s.accept()\n c.sendall(('{word} '+p[0]).encode())\n c.close()"
    );
    let mut command = std::process::Command::new("python3");
    Server(router.spawn_inside(id, command.args(["-c", &script])).unwrap())
}

/// A program that sends back what it gets, at port 7.
fn echo(router: &Router, id: &str, address: &str) -> Server {
    let script = format!(
        "import socket\ns=socket.create_server(('{address}',7))\nwhile True:\n c,p=s.accept()\n while d:=c.recv(9): c.sendall(d)"
    );
    let mut command = std::process::Command::new("python3");
    Server(router.spawn_inside(id, command.args(["-c", &script])).unwrap())
}

/// What a client in `from` hears: the word and the client's address as the server sees it.
async fn hear(router: &Router, from: &str, to: SocketAddrV4) -> Result<(String, Ipv4Addr), ErrorKind> {
    let attempt = tokio::time::timeout(Duration::from_secs(3), router.connect_inside(from, to)).await;
    let mut stream = attempt.map_err(|_| ErrorKind::TimedOut)?.map_err(|error| error.kind())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.map_err(|error| error.kind())?;
    let (word, seen) = text.split_once(' ').unwrap();
    Ok((word.to_owned(), seen.parse().unwrap()))
}

async fn until_served(router: &Router, from: &str, to: SocketAddrV4) -> (String, Ipv4Addr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match hear(router, from, to).await {
            Ok(heard) => return heard,
            Err(kind) => assert!(Instant::now() < deadline, "nobody listens on {to}: {kind:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn view() -> View {
    let pod = |name: &str, address: &str| PodNet {
        namespace: "shop".into(),
        name: name.into(),
        labels: BTreeMap::from([("app".into(), name.into())]),
        address: Some(address.parse().unwrap()),
        ports: Vec::new(),
    };
    let node = |(name, address, pods): &(&str, &str, &str)| NodeNet {
        name: (*name).into(),
        address: address.parse().unwrap(),
        pods: cidr(pods),
    };
    View {
        nodes: NODES.iter().map(node).collect(),
        pods: vec![pod("web", WEB), pod("api", API), pod("api", API_TWO)],
        namespaces: BTreeMap::from([("shop".into(), BTreeMap::new()), ("kube-system".into(), BTreeMap::new())]),
        ..View::default()
    }
}

fn apply(router: &Router, view: &View) {
    router.apply_rules(&rules::compile(view)).unwrap();
}

async fn without_rules(router: &Router) {
    let own: Ipv4Addr = WEB.parse().unwrap();
    assert_eq!(until_served(router, "web", at(API, 8080)).await, ("one".into(), own));
    until_served(router, "web", at(API_TWO, 8080)).await;
    until_served(router, "api", at(WEB, 80)).await;
    // Towards another network a pod is its node.
    apply(router, &view());
    let node: Ipv4Addr = NODES[0].1.parse().unwrap();
    assert_eq!(until_served(router, "web", at(DATABASE, 5432)).await, ("rows".into(), node));
    assert_eq!(until_served(router, "web", at(API, 8080)).await.1, own);
    assert_eq!(hear(router, "web", at(API, 81)).await, Err(ErrorKind::ConnectionRefused));
}

async fn services(router: &Router) {
    let mut view = view();
    let address: Ipv4Addr = SERVICE.parse().unwrap();
    let service = SocketAddrV4::new(address, 80);
    view.services = vec![ServicePort {
        address,
        protocol: "tcp".into(),
        port: 80,
        endpoints: vec![at(API, 8080), at(API_TWO, 8080)],
        by_client: false,
    }];
    apply(router, &view);
    let mut heard = std::collections::BTreeSet::new();
    for _ in 0..40 {
        heard.insert(hear(router, "web", service).await.unwrap().0);
    }
    assert_eq!(heard.into_iter().collect::<Vec<_>>(), ["one", "two"]);
    // A pod may be its own Service's endpoint.
    for _ in 0..10 {
        hear(router, "api", service).await.unwrap();
    }
    view.services[0].by_client = true;
    apply(router, &view);
    let first = hear(router, "web", service).await.unwrap();
    for _ in 0..10 {
        assert_eq!(hear(router, "web", service).await.unwrap(), first);
    }
    view.services[0].endpoints.clear();
    apply(router, &view);
    assert_eq!(hear(router, "web", service).await, Err(ErrorKind::ConnectionRefused));
}

/// Nothing in and out, but for the backend to the database.
fn with_policies(mut view: View) -> View {
    let policies = [
        json!({"metadata": {"name": "closed", "namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}),
        json!({"metadata": {"name": "api", "namespace": "shop"}, "spec": {
            "podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.225.0.0/28"}}], "ports": [{"port": 5432}]}]}}),
    ];
    view.policies = policies.map(|value| serde_json::from_value(value).unwrap()).to_vec();
    view
}

fn group() -> Subnet {
    let rule = |name: &str, priority, access, source: &str| SecurityRule {
        name: name.into(),
        priority,
        direction: Direction::Inbound,
        access,
        protocol: Protocol::Any,
        sources: vec![cidr(source)],
        source_ports: vec![PortRange::ALL],
        destinations: vec![Cidr::ALL],
        destination_ports: vec![PortRange::ALL],
    };
    Subnet {
        name: "db-postgres".into(),
        range: cidr("10.225.0.0/28"),
        rules: vec![
            rule("backend", 100, Access::Allow, "10.224.2.0/24"),
            rule("nobody-else", 4000, Access::Deny, "0.0.0.0/0"),
        ],
        cut: false,
    }
}

/// A subnet that is cut off answers nobody outside, not even on a connection that was there before, and goes on inside.
async fn cut_off(router: &Router) {
    let nodes = |range: &str| Subnet { name: "base-nodes".into(), range: cidr(range), rules: Vec::new(), cut: true };
    let mut open = view();
    open.subnets = vec![Subnet { cut: false, ..group() }];
    apply(router, &open);
    let mut stream = router.connect_inside("api", at(DATABASE, 7)).await.unwrap();
    let mut word = [0; 1];
    stream.write_all(b"a").await.unwrap();
    stream.read_exact(&mut word).await.unwrap();

    let mut cut = open.clone();
    cut.subnets = vec![Subnet { cut: true, ..group() }];
    apply(router, &cut);
    assert_eq!(hear(router, "api", at(DATABASE, 5432)).await, Err(ErrorKind::TimedOut));
    stream.write_all(b"b").await.unwrap();
    let answer = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut word)).await;
    assert!(answer.is_err(), "what was connected is cut off too");
    assert!(hear(router, "web", at(API, 8080)).await.is_ok(), "others go on");
    // Healed, what was sent meanwhile arrives.
    apply(router, &open);
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"b");

    // A node's pods are in its subnet.
    cut.subnets = vec![nodes("10.224.2.0/24")];
    apply(router, &cut);
    assert_eq!(hear(router, "web", at(API, 8080)).await, Err(ErrorKind::TimedOut));
    apply(router, &open);
}

/// Each fence alone keeps the frontend from the database; neither keeps the backend.
async fn both_fences(router: &Router) {
    for (policies, fence) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut view = if policies { with_policies(view()) } else { view() };
        if fence {
            view.subnets = vec![group()];
        }
        apply(router, &view);
        let case = format!("policies {policies}, group {fence}");
        assert!(hear(router, "api", at(DATABASE, 5432)).await.is_ok(), "{case}: the backend is kept out");
        let expected = |kept: bool| if kept { Err(ErrorKind::ConnectionRefused) } else { Ok(()) };
        let web = hear(router, "web", at(DATABASE, 5432)).await;
        assert_eq!(web.map(drop), expected(policies || fence), "{case}: frontend to database");
        let between = hear(router, "web", at(API, 8080)).await;
        assert_eq!(between.map(drop), expected(policies), "{case}: frontend to backend");
    }
}

/// The kubelet reaches every pod; the Internet only what policies let in; the host nothing.
async fn edge(router: &Arc<Router>) {
    apply(router, &with_policies(view()));
    assert!(router.connect(at(WEB, 80), None).await.is_ok());
    let public = Dialer::Inside { router: Arc::clone(router), from: Some(plan::INTERNET) };
    assert_eq!(public.connect(at(WEB, 80)).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    apply(router, &view());
    assert!(public.connect(at(WEB, 80)).await.is_ok());
    // Some networks answer for every address, so what counts is who answers.
    let from_host = async {
        let mut stream = tokio::net::TcpStream::connect(at(DATABASE, 5432)).await.ok()?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.ok()?;
        Some(word)
    };
    let heard = tokio::time::timeout(Duration::from_secs(1), from_host).await.ok().flatten();
    assert_ne!(heard, Some(*b"rows"), "the host reaches the database");
}

async fn names(router: &Arc<Router>) {
    let names = Names::default();
    names.insert("db.private.example", DATABASE.parse().unwrap());
    let _server = NameServer::start(router, names).unwrap();
    let dns = SocketAddrV4::new(plan::DNS, 53);
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x02db\x07private\x07example\0\0\x01\0\x01";
    let mut view = with_policies(view());
    apply(router, &view);
    let refused = router.connect_inside("api", dns).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let allowed = json!({"metadata": {"name": "dns", "namespace": "shop"}, "spec": {
        "podSelector": {}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": [{"port": 53}]}]}});
    view.policies.push(serde_json::from_value(allowed).unwrap());
    apply(router, &view);
    let mut stream = router.connect_inside("api", dns).await.unwrap();
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], question].concat()).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.ends_with(&[10, 225, 0, 4]), "{answer:?}");
}
