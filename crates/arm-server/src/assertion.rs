//! Signed proofs of an application: a JWT of its own, under the key of a certificate that the directory knows.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Clocks of clients may be off by this much, as Entra allows.
const SKEW_SECONDS: i64 = 300;

pub(crate) struct Expected<'a> {
    pub client_id: &'a str,
    /// The token endpoint's names.
    pub audiences: &'a [String],
}

const MALFORMED: &str = "AADSTS50027: JWT token is invalid or malformed.";
const SIGNATURE: &str = "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on application, or the signature is invalid.";
const TIME: &str = "AADSTS700024: Client assertion is not within its valid time range.";
const SUBJECT: &str = "AADSTS700021: Client assertion application identifier doesn't match 'client_id' parameter.";
const AUDIENCE: &str = "AADSTS700023: Client assertion audience claim does not match Realm issuer.";

/// `certificates` are DER in base64; the error is Entra's description.
pub(crate) fn check(
    proof: &str,
    certificates: &[String],
    expected: &Expected<'_>,
    now_seconds: i64,
) -> Result<(), &'static str> {
    let (message, signature) = proof.rsplit_once('.').ok_or(MALFORMED)?;
    let (header, claims) = message.split_once('.').ok_or(MALFORMED)?;
    let (header, claims) = (part(header)?, part(claims)?);
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| MALFORMED)?;
    let algorithm = match header["alg"].as_str() {
        Some("PS256") => &RSA_PSS_2048_8192_SHA256,
        Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(MALFORMED),
    };
    let signed = certificates.iter().any(|text| {
        let Ok(der) = STANDARD.decode(text.trim()) else { return false };
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
        let key = UnparsedPublicKey::new(algorithm, &certificate.public_key().subject_public_key.data);
        is_named(&header, &der)
            && certificate.validity().not_after.timestamp() > now_seconds
            && key.verify(message.as_bytes(), &signature).is_ok()
    });
    if !signed {
        return Err(SIGNATURE);
    }
    let within = claims["exp"].as_i64().is_some_and(|end| end + SKEW_SECONDS > now_seconds)
        && claims["nbf"].as_i64().is_none_or(|start| start - SKEW_SECONDS < now_seconds);
    let is = |name: &str| claims[name].as_str().is_some_and(|id| id.eq_ignore_ascii_case(expected.client_id));
    match () {
        () if !within => Err(TIME),
        () if !is("iss") || !is("sub") => Err(SUBJECT),
        () if !expected.audiences.iter().any(|audience| claims["aud"] == audience.as_str()) => Err(AUDIENCE),
        () => Ok(()),
    }
}

fn part(text: &str) -> Result<Value, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| MALFORMED)?;
    serde_json::from_slice(&bytes).map_err(|_| MALFORMED)
}

/// By its SHA-256, or by its SHA-1 as older clients do.
fn is_named(header: &Value, der: &[u8]) -> bool {
    let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, der));
    match (header["x5t#S256"].as_str(), header["x5t"].as_str()) {
        (Some(given), _) => given.trim_end_matches('=') == thumbprint(&digest::SHA256),
        (None, Some(given)) => given.trim_end_matches('=') == thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        (None, None) => false,
    }
}
