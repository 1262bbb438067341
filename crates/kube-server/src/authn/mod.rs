//! Who is calling: client certificates, service account tokens, static tokens.

pub mod certificates;
pub mod tokens;

use std::collections::BTreeMap;
use std::path::Path;

use crate::api::{Api, Caller};
use crate::error::ApiError;
use crate::json;
use tokens::Claims;

pub const AUTHENTICATED: &str = "system:authenticated";

/// Tokens that an operator handed out: `token,user,uid,"group1,group2"` a line, as upstream's `--token-auth-file`.
#[derive(Clone, Default)]
pub struct StaticTokens(BTreeMap<String, Caller>);

impl StaticTokens {
    /// # Errors
    /// Names the file and the line that does not parse, never the token.
    pub fn read(path: &Path) -> Result<StaticTokens, ApiError> {
        let fail = |why: String| ApiError::internal(format!("static tokens {}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let mut tokens = BTreeMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.splitn(4, ',').map(str::trim).collect();
            let [token, user, uid, rest @ ..] = fields.as_slice() else {
                return Err(fail(format!("line {} needs token,user,uid and optionally groups", index + 1)));
            };
            let groups = rest
                .first()
                .map(|g| g.trim_matches('"').split(',').map(|g| g.trim().to_owned()).collect())
                .unwrap_or_default();
            tokens.insert((*token).to_owned(), caller(user, uid, groups));
        }
        Ok(StaticTokens(tokens))
    }
}

fn caller(name: &str, uid: &str, mut groups: Vec<String>) -> Caller {
    groups.retain(|group| !group.is_empty());
    groups.push(AUTHENTICATED.to_owned());
    Caller { name: name.to_owned(), uid: uid.to_owned(), groups, ..Caller::default() }
}

pub fn from_certificate(user: &str, groups: Vec<String>) -> Caller {
    caller(user, "", groups)
}

/// # Errors
/// 401 for a token that nobody issued, that is over, or whose objects are gone.
pub fn from_token(api: &Api, known: &StaticTokens, token: &str) -> Result<Caller, ApiError> {
    if let Some(caller) = known.0.get(token) {
        return Ok(caller.clone());
    }
    let claims = api
        .settings()
        .signer
        .verify(token, &api.settings().issuer, crate::clock::now())
        .ok_or_else(ApiError::unauthorized)?;
    service_account(api, &claims).ok_or_else(ApiError::unauthorized)
}

/// A token is worth nothing once its account, or the pod it is bound to, is gone or is another one of the same name.
fn service_account(api: &Api, claims: &Claims) -> Option<Caller> {
    let account = api.cache().get("serviceaccounts", Some(&claims.namespace), &claims.account)?;
    if json::uid(&account) != claims.account_uid {
        return None;
    }
    let mut extra = BTreeMap::new();
    if let Some((pod, uid)) = &claims.pod {
        let stored = api.cache().get("pods", Some(&claims.namespace), pod)?;
        if json::uid(&stored) != uid {
            return None;
        }
        extra.insert("authentication.kubernetes.io/pod-name".to_owned(), vec![pod.clone()]);
        extra.insert("authentication.kubernetes.io/pod-uid".to_owned(), vec![uid.clone()]);
    }
    let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{}", claims.namespace)];
    let name = format!("system:serviceaccount:{}:{}", claims.namespace, claims.account);
    Some(Caller { extra, ..caller(&name, &claims.account_uid, groups) })
}
