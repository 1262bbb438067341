use super::*;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::convert::Infallible;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const DEADLINE: Duration = Duration::from_secs(20);

fn open(idle_limit: Duration) -> (DuplexStream, watch::Sender<Signal>, JoinHandle<()>) {
    let (client, server) = tokio::io::duplex(4096);
    let (sender, signals) = watch::channel(Signal::Look);
    let service =
        service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(ResponseBody::text("answered"))) });
    (client, sender, tokio::spawn(carry(server, service, idle_limit, signals)))
}

async fn ask(client: &mut DuplexStream) {
    client.write_all(REQUEST).await.expect("the connection is open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"answered") {
        assert_ne!(client.read_buf(&mut answer).await.expect("the connection is open"), 0, "the connection was closed");
    }
}

async fn ends(carried: JoinHandle<()>) {
    tokio::time::timeout(DEADLINE, carried).await.expect("the connection ends").expect("it does not panic");
}

#[tokio::test]
async fn a_connection_that_waits_for_too_long_is_closed_when_it_looks() {
    for part in [0, 20] {
        let (mut client, signals, carried) = open(Duration::from_millis(20));
        client.write_all(&REQUEST[..part]).await.expect("the connection is open");
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let looking = async {
            while !carried.is_finished() {
                looks.tick().await;
                signals.send_replace(Signal::Look);
            }
        };
        tokio::time::timeout(DEADLINE, looking).await.expect("the connection ends");
    }
}

#[tokio::test]
async fn looking_does_not_hurry_those_that_have_time() {
    let (mut client, signals, carried) = open(Duration::from_secs(3600));
    for _ in 0..3 {
        ask(&mut client).await;
        signals.send_replace(Signal::Look);
        tokio::task::yield_now().await;
    }
    ask(&mut client).await;
    assert!(!carried.is_finished());
    drop(client);
    ends(carried).await;
}

#[tokio::test]
async fn closing_ends_an_idle_connection_and_lets_a_request_be_answered() {
    let (mut client, signals, carried) = open(Duration::from_secs(3600));
    ask(&mut client).await;
    signals.send_replace(Signal::Look);
    tokio::task::yield_now().await;
    signals.send_replace(Signal::Close);
    ends(carried).await;
    let (mut client, signals, carried) = open(Duration::from_secs(3600));
    client.write_all(&REQUEST[..20]).await.expect("the connection is open");
    tokio::task::yield_now().await;
    signals.send_replace(Signal::Close);
    tokio::task::yield_now().await;
    client.write_all(&REQUEST[20..]).await.expect("the connection is open");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("the connection is closed in order");
    assert!(answer.ends_with(b"answered"), "{}", String::from_utf8_lossy(&answer));
    ends(carried).await;
}

#[tokio::test]
async fn a_connection_without_a_server_ends() {
    let (mut client, signals, carried) = open(Duration::from_secs(3600));
    ask(&mut client).await;
    drop(signals);
    ends(carried).await;
}
