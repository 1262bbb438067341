//! `grpc.health.v1.Health/Check` as a probe asks it: one call over HTTP/2 without TLS (RFC 9113, gRPC's protocol-http2).
//!
//! Only the answer's message counts, so headers are not decoded: a server that has no answer ends the stream without one.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// What a peer may send that was told nothing else.
const LONGEST_FRAME: usize = 16 * 1024;
/// The answer is two bytes; a server that sends much more is none.
const LONGEST_ANSWER: usize = 64 * 1024;
/// The one stream.
const STREAM: u32 = 1;
const SERVING: u64 = 1;

/// # Errors
/// In upstream's words (pkg/probe/grpc) what the service is instead of serving, or why there is no answer.
pub(crate) async fn check(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    authority: &str,
    service: &str,
) -> Result<(), String> {
    let answer =
        call(stream, authority, service).await.map_err(|error| format!("error: health rpc probe failed: {error}"))?;
    match status_of(&answer) {
        Some(SERVING) => Ok(()),
        Some(other) => {
            let name = match other {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                _ => "SERVICE_UNKNOWN",
            };
            Err(format!("service unhealthy (responded with {name:?})"))
        }
        None => Err(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health), or does not know service {service:?}"
        )),
    }
}

async fn call(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    authority: &str,
    service: &str,
) -> io::Result<Vec<u8>> {
    let mut request = PREFACE.to_vec();
    request.extend(frame(SETTINGS, 0, 0, &[]));
    request.extend(frame(HEADERS, END_HEADERS, STREAM, &headers(authority)));
    request.extend(frame(DATA, END_STREAM, STREAM, &message(service)));
    stream.write_all(&request).await?;
    let (mut answer, mut read) = (Vec::new(), 0);
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        read += length;
        if length > LONGEST_FRAME || read > LONGEST_ANSWER {
            return Err(io::Error::other("the answer is not one of HTTP/2, or is too long"));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        match kind {
            // A server that has answered may be gone already; what it sent is still to be read.
            SETTINGS if flags & ACK == 0 => drop(stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await),
            PING if flags & ACK == 0 => drop(stream.write_all(&frame(PING, ACK, 0, &payload)).await),
            DATA if id == STREAM => answer.extend_from_slice(unpadded(&payload, flags)),
            RESET if id == STREAM => return Err(io::Error::other("the server reset the stream")),
            GOAWAY => return Err(io::Error::other("the server went away")),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && id == STREAM && flags & END_STREAM != 0 {
            return Ok(answer);
        }
    }
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(id.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn unpadded(payload: &[u8], flags: u8) -> &[u8] {
    if flags & PADDED == 0 {
        return payload;
    }
    let padding = payload.first().map_or(0, |length| usize::from(*length));
    payload.get(1..payload.len().saturating_sub(padding)).unwrap_or_default()
}

/// HPACK (RFC 7541) with names of its static table and values in plain letters.
fn headers(authority: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // :method POST, :scheme http
    let mut literal = |name: &[u8], value: &str| {
        block.extend_from_slice(name);
        // Longer ones would need a length of several bytes.
        let value = &value.as_bytes()[..value.len().min(126)];
        block.push(value.len() as u8);
        block.extend_from_slice(value);
    };
    literal(&[0x04], "/grpc.health.v1.Health/Check"); // :path
    literal(&[0x01], authority); // :authority
    literal(&[0x0f, 0x10], "application/grpc"); // content-type
    literal(&[0x0f, 0x2b], "kube-probe/1.36"); // user-agent
    literal(b"\x00\x02te", "trailers");
    block
}

/// A HealthCheckRequest behind gRPC's own length.
fn message(service: &str) -> Vec<u8> {
    let mut inner = Vec::new();
    if !service.is_empty() {
        inner.push(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            inner.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        inner.push(length as u8);
        inner.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend(u32::try_from(inner.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend(inner);
    message
}

/// Field 1 of a HealthCheckResponse, zero when it is left out; none when there is no message.
fn status_of(answer: &[u8]) -> Option<u64> {
    let [0, a, b, c, d, inner @ ..] = answer else { return None };
    let inner = inner.get(..u32::from_be_bytes([*a, *b, *c, *d]) as usize)?;
    match inner {
        [] => Some(0),
        [0x08, status, ..] if status & 0x80 == 0 => Some(u64::from(*status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that reads the request and sends these frames.
    async fn check_against(frames: Vec<Vec<u8>>, expected: Result<(), &str>) {
        let (mut client, mut server) = tokio::io::duplex(1 << 16);
        let answering = tokio::spawn(async move {
            let mut preface = [0; 24];
            server.read_exact(&mut preface).await.unwrap();
            assert_eq!(preface, PREFACE);
            let mut kinds = Vec::new();
            while kinds.last() != Some(&DATA) {
                let mut head = [0; 9];
                server.read_exact(&mut head).await.unwrap();
                let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
                server.read_exact(&mut payload).await.unwrap();
                kinds.push(head[3]);
                if head[3] == DATA {
                    assert_eq!(payload, b"\0\0\0\0\x05\x0a\x03web");
                }
            }
            assert_eq!(kinds, [SETTINGS, HEADERS, DATA]);
            for frame in frames {
                server.write_all(&frame).await.unwrap();
            }
        });
        let outcome = check(&mut client, "10.0.0.1:80", "web").await;
        answering.await.unwrap();
        match (outcome, expected) {
            (Err(found), Err(part)) => assert!(found.contains(part), "`{found}` does not say `{part}`"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
        }
    }

    fn answer(status: u8) -> Vec<Vec<u8>> {
        vec![
            frame(SETTINGS, 0, 0, &[]),
            frame(SETTINGS, ACK, 0, &[]),
            frame(PING, 0, 0, &[7; 8]),
            frame(HEADERS, END_HEADERS, STREAM, &[0x88]),
            frame(DATA, 0, STREAM, &[0, 0, 0, 0, 2, 8, status]),
            frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0x88]),
        ]
    }

    #[tokio::test]
    async fn only_a_service_that_serves_is_healthy() {
        check_against(answer(1), Ok(())).await;
        check_against(answer(2), Err("responded with \"NOT_SERVING\"")).await;
        let padded = vec![frame(DATA, PADDED | END_STREAM, STREAM, &[2, 0, 0, 0, 0, 2, 8, 1, 0, 0])];
        check_against(padded, Ok(())).await;
        let without = vec![frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0x88])];
        check_against(without, Err("does not implement the grpc health protocol")).await;
        check_against(vec![frame(RESET, 0, STREAM, &[0; 4])], Err("reset the stream")).await;
        check_against(vec![b"HTTP/1.1 400 Bad Request\r\n".to_vec()], Err("not one of HTTP/2")).await;
        check_against(Vec::new(), Err("health rpc probe failed")).await;
    }

    #[test]
    fn an_empty_answer_is_an_unknown_status() {
        assert_eq!(status_of(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(status_of(&[0, 0, 0, 0, 9, 8]), None);
        assert_eq!(status_of(&[1, 0, 0, 0, 0]), None);
    }
}
