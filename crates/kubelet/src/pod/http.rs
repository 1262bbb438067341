//! One HTTP request of a probe or a hook, for its status only.

use std::net::SocketAddrV4;
use std::time::Duration;

use network::dial::Dialer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tls;

/// Upstream reads at most this much of an answer (pkg/probe/http).
const LONGEST_ANSWER_BYTES: usize = 10 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Get {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

/// The status code. A redirect counts as an answer and is not followed.
pub(crate) async fn get(request: &Get, dialer: &Dialer, timeout: Duration) -> Result<u16, String> {
    let scheme = if request.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}:{}{}", request.host, request.port, request.path);
    match tokio::time::timeout(timeout, exchange(request, dialer)).await {
        Ok(Ok(status)) => Ok(status),
        Ok(Err(error)) => Err(format!("Get {url:?}: {error}")),
        Err(_) => {
            Err(format!("Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))
        }
    }
}

/// A name is the host's to resolve; probes mean the pod's own address.
pub(crate) async fn connect(host: &str, port: u16, dialer: &Dialer) -> std::io::Result<TcpStream> {
    match host.parse() {
        Ok(address) => dialer.connect(SocketAddrV4::new(address, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    }
}

async fn exchange(request: &Get, dialer: &Dialer) -> std::io::Result<u16> {
    let mut stream = connect(&request.host, request.port, dialer).await?;
    if request.tls {
        talk(request, &mut tls::connect(stream, &request.host).await?).await
    } else {
        talk(request, &mut stream).await
    }
}

async fn talk(request: &Get, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<u16> {
    let mut head = format!("GET {} HTTP/1.1\r\n", request.path);
    let has = |name: &str| request.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if !has("host") {
        head.push_str(&format!("Host: {}:{}\r\n", request.host, request.port));
    }
    if !has("user-agent") {
        head.push_str("User-Agent: kube-probe/1.36\r\n");
    }
    if !has("accept") {
        head.push_str("Accept: */*\r\n");
    }
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    // The status line is all that counts, but a server should not see its answer broken off.
    while answer.len() < LONGEST_ANSWER_BYTES {
        match stream.read(&mut chunk).await {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(_) if !answer.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    status_of(&answer).ok_or_else(|| std::io::Error::other("malformed HTTP response"))
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?;
    text.strip_prefix("HTTP/1.")?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_status_line() {
        assert_eq!(super::status_of(b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n"), Some(204));
        assert_eq!(super::status_of(b"SSH-2.0-x\r\n"), None);
    }
}
