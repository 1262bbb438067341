//! Headers on their way through a proxy.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;

/// Of this hop only (RFC 9110, 7.6.1), besides those that `Connection` itself names.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_SERVER: HeaderName = HeaderName::from_static("x-forwarded-server");
/// So many are added, at most: room for them is made once.
const FORWARDED_HEADERS: usize = 6;
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let asks = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
    };
    headers.contains_key(header::UPGRADE) && headers.get_all(header::CONNECTION).iter().any(asks)
}

/// Takes out what belongs to one hop; an upgrade stays one.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have one of them or none: looking at the names that are there costs less than looking each of these up.
    let mut names: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned().collect();
    if names.is_empty() {
        return;
    }
    names.extend(named_by_connection(headers));
    let upgrade = if is_upgrade(headers) { headers.get(header::UPGRADE).cloned() } else { None };
    for name in names {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// The headers that `Connection` says are of one hop, beside those that always are.
fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> + '_ {
    let is_option = |token: &&str| ["keep-alive", "close", "upgrade"].iter().any(|o| token.eq_ignore_ascii_case(o));
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let values = values.filter(move |value| !is_option(value));
    let tokens = values.flat_map(|value| value.split(',')).map(str::trim);
    tokens.filter(move |token| !is_option(token)).filter_map(|token| token.parse().ok())
}

/// Who asks over a connection, and where; written once for all its requests.
#[derive(Clone)]
pub struct Client {
    address: HeaderValue,
    local_port: HeaderValue,
}

impl Client {
    pub fn new(address: SocketAddr, local_port: u16) -> Client {
        let address = HeaderValue::from_str(&address.ip().to_string()).expect("addresses are printable ASCII");
        Client { address, local_port: HeaderValue::from(local_port) }
    }
}

/// What a request's headers become on the way to a pod.
pub fn pass_on(headers: &mut HeaderMap, client: &Client) {
    strip_hop_by_hop(headers);
    add_forwarded(headers, client);
}

/// Says who asked. What the client claims about this itself is not trusted and replaced, as Traefik does unless told
/// otherwise.
fn add_forwarded(headers: &mut HeaderMap, client: &Client) {
    headers.reserve(FORWARDED_HEADERS);
    headers.insert(FORWARDED_FOR, client.address.clone());
    headers.insert(REAL_IP, client.address.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(FORWARDED_SERVER, HeaderValue::from_static("marea-ingress"));
    let host = headers.get(header::HOST).cloned();
    let port = host.as_ref().and_then(|host| host.to_str().ok()?.rsplit_once(':')?.1.parse::<u16>().ok());
    match host {
        Some(host) => drop(headers.insert(FORWARDED_HOST, host)),
        None => drop(headers.remove(FORWARDED_HOST)),
    }
    headers.insert(FORWARDED_PORT, port.map_or_else(|| client.local_port.clone(), HeaderValue::from));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn headers_of_one_hop_stay_behind() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn an_upgrade_passes() {
        let mut map = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert!(is_upgrade(&map));
        strip_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("connection", "upgrade"), ("upgrade", "websocket")]));
    }

    #[test]
    fn what_a_client_claims_about_itself_is_replaced() {
        let mut map =
            headers(&[("x-forwarded-for", "1.2.3.4"), ("x-real-ip", "1.2.3.4"), ("host", "console.test:8080")]);
        add_forwarded(&mut map, &Client::new("127.0.0.7:4711".parse().expect("an address"), 8000));
        assert_eq!(
            (&map["x-forwarded-for"], &map["x-real-ip"]),
            (&HeaderValue::from_static("127.0.0.7"), &HeaderValue::from_static("127.0.0.7"))
        );
        assert_eq!(
            (&map["x-forwarded-host"], &map["x-forwarded-port"]),
            (&HeaderValue::from_static("console.test:8080"), &HeaderValue::from_static("8080"))
        );
    }
}
