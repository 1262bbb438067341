//! Service account tokens: JWTs signed with ECDSA P-256.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use units::Timestamp;

use crate::json;

pub struct Signer {
    key: EcdsaKeyPair,
    key_id: String,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub namespace: String,
    pub account: String,
    pub account_uid: String,
    /// Name and uid of the pod that the token is bound to.
    pub pod: Option<(String, String)>,
    pub audiences: Vec<String>,
    pub expires: Timestamp,
}

impl Signer {
    /// From a PKCS#8 PEM with an ECDSA P-256 key.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the key.
    pub fn from_pem(pem: &str) -> Result<Signer, String> {
        let wrong = || {
            "the service account signing key must be a PKCS#8 PEM (BEGIN PRIVATE KEY) with an ECDSA P-256 key"
                .to_owned()
        };
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = STANDARD.decode(body).map_err(|_| wrong())?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(|_| wrong())?;
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(key.public_key().as_ref()));
        Ok(Signer { key, key_id })
    }

    /// # Errors
    /// When the random source fails.
    pub fn sign(&self, claims: &Claims, issuer: &str, now: Timestamp) -> Result<String, String> {
        let mut bound = json!({"namespace": claims.namespace, "serviceaccount": {"name": claims.account, "uid": claims.account_uid}});
        if let Some((name, uid)) = &claims.pod {
            bound["pod"] = json!({"name": name, "uid": uid});
        }
        let payload = json!({
            "aud": claims.audiences, "exp": claims.expires.secs(), "iat": now.secs(), "iss": issuer,
            "jti": uuid::Uuid::new_v4().to_string(), "kubernetes.io": bound, "nbf": now.secs(),
            "sub": format!("system:serviceaccount:{}:{}", claims.namespace, claims.account),
        });
        let header = json!({"alg": "ES256", "kid": self.key_id, "typ": "JWT"});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&payload));
        let signature =
            self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| "cannot sign a token".to_owned())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The claims of a token that this server signed and that holds now.
    pub fn verify(&self, token: &str, issuer: &str, now: Timestamp) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).ok()?;
        let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()?;
        let expires = Timestamp::from_secs(json::integer(&payload, "/exp")?);
        let not_before = Timestamp::from_secs(json::integer(&payload, "/nbf")?);
        if json::text(&payload, "/iss")? != issuer || now >= expires || now < not_before {
            return None;
        }
        let bound = &payload["kubernetes.io"];
        let text = |pointer: &str| json::text(bound, pointer).map(str::to_owned);
        Some(Claims {
            namespace: text("/namespace")?,
            account: text("/serviceaccount/name")?,
            account_uid: text("/serviceaccount/uid")?,
            pod: text("/pod/name").zip(text("/pod/uid")),
            audiences: json::items(&payload, "/aud").iter().filter_map(|a| a.as_str().map(str::to_owned)).collect(),
            expires,
        })
    }

    /// The public key as a JSON Web Key Set.
    pub fn key_set(&self) -> Value {
        // Uncompressed point: one marker byte, then both coordinates of 32 bytes.
        let point = self.key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}]})
    }
}
