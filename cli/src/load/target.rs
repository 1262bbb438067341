//! Where the load goes: the platform's own address on this machine, nothing else.

use std::net::IpAddr;

use hyper::Uri;

use super::LoadError;

/// The request's whole address. Only loopback is accepted, so that a typing error cannot burden somebody's server.
pub(super) fn resolve(url: Option<&str>, platform: Option<&str>, path: &str) -> Result<Uri, LoadError> {
    let base = url.or(platform).ok_or(LoadError::NoPlatform)?;
    let bad = |reason: String| LoadError::BadUrl { url: base.to_owned(), reason };
    let parsed: Uri = base.parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
    if parsed.scheme_str() != Some("http") {
        return Err(bad("only http is served on this machine".to_owned()));
    }
    let host = parsed.host().ok_or_else(|| bad("it names no host".to_owned()))?;
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_loopback {
        return Err(LoadError::NotOurs { url: base.to_owned() });
    }
    let authority = parsed.authority().map_or("", http::uri::Authority::as_str);
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("http://{authority}{slash}{path}").parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: Option<&str>, expected: Result<&str, &str>) {
        let seen =
            resolve(url, None, "/api/v1/work?units=2").map(|uri| uri.to_string()).map_err(|error| error.to_string());
        assert_eq!(seen, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn only_this_machine_is_a_target() {
        check(Some("http://127.0.0.1:8080"), Ok("http://127.0.0.1:8080/api/v1/work?units=2"));
        check(Some("http://[::1]:80/"), Ok("http://[::1]:80/api/v1/work?units=2"));
        let refusal =
            "http://10.0.0.1 is not a loopback address: marea load is aimed at the platform on this machine only";
        check(Some("http://10.0.0.1"), Err(refusal));
        let scheme =
            "https://localhost is not a URL such as http://127.0.0.1:8080: only http is served on this machine";
        check(Some("https://localhost"), Err(scheme));
        check(None, Err("the platform has no address on this machine yet"));
    }
}
