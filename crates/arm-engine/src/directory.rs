//! The tenant's directory, as far as `az ad sp create-for-rbac` needs it: applications, their service principals and secrets.
//!
//! Paths and bodies are Microsoft Graph's (v1.0). Only the subscription's owner may change or read it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use units::Timestamp;

use crate::engine::Engine;
use crate::fault::Fault;
use crate::ids::Ids;
use crate::request::{Method, Request, Response};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Secret {
    key_id: String,
    /// Never returned after it was made.
    text: String,
    name: Option<String>,
    from: Timestamp,
    until: Timestamp,
}

/// A certificate's public half; who has its key signs in with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    key_id: String,
    /// DER in base64, as it was given.
    der: String,
    name: Option<String>,
    from: Timestamp,
    until: Timestamp,
}

/// What an application proves itself with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignIn {
    /// Of its service principal.
    pub object_id: String,
    pub secrets: Vec<String>,
    /// DER in base64.
    pub certificates: Vec<String>,
}

/// An application with its service principal; its key is its application id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Application {
    app_id: String,
    object_id: String,
    /// `None` until the service principal is made.
    principal_id: Option<String>,
    name: String,
    created: Timestamp,
    secrets: Vec<Secret>,
    #[serde(default)]
    certificates: Vec<Certificate>,
}

/// Graph gives secrets two years where the request says nothing.
const SECRET_YEARS: i64 = 2;
const YEAR_SECONDS: i64 = 365 * 24 * 3600;

impl Engine {
    /// Answers a request to the directory.
    pub fn directory(&mut self, request: &Request, now: Timestamp, ids: &mut Ids) -> Response {
        self.now = now;
        let number = ids.next_number();
        self.meta().ids.stir(number);
        self.directory_request(request).unwrap_or_else(Response::from)
    }

    /// What an application with a service principal may sign in with now.
    pub fn sign_in_of(&self, app_id: &str, now: Timestamp) -> Option<SignIn> {
        let application = self.applications.get(&app_id.to_ascii_lowercase())?;
        let secrets = application.secrets.iter().filter(|secret| secret.until > now);
        let certificates = application.certificates.iter().filter(|one| one.until > now);
        Some(SignIn {
            object_id: application.principal_id.clone()?,
            secrets: secrets.map(|secret| secret.text.clone()).collect(),
            certificates: certificates.map(|one| one.der.clone()).collect(),
        })
    }

    fn directory_request(&mut self, request: &Request) -> Result<Response, Fault> {
        if request.principal.object_id != self.settings.owner_object_id {
            return Err(Fault::new(
                403,
                "Authorization_RequestDenied",
                "Insufficient privileges to complete the operation.",
            ));
        }
        let path = request.path.trim_matches('/').to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (request.method, parts.as_slice()) {
            (Method::Get, ["applications"]) => {
                Ok(self.found(request, |application| Some(application_body(application))))
            }
            (Method::Get, ["servicePrincipals"]) => Ok(self.found(request, principal_body)),
            (Method::Post, ["applications"]) => self.make_application(&request.json()?),
            (Method::Post, ["servicePrincipals"]) => self.make_principal(&request.json()?),
            (Method::Post, ["directoryObjects", "getByIds"]) => self.by_ids(&request.json()?),
            (Method::Get, ["applications", id]) => {
                self.application(id).map(|application| Response::json(200, application_body(application)))
            }
            (Method::Get, ["servicePrincipals", id]) => self
                .application(id)
                .ok()
                .and_then(principal_body)
                .map(|body| Response::json(200, body))
                .ok_or_else(|| missing(id)),
            (Method::Patch, ["applications", id]) => self.update_application(id, &request.json()?),
            (Method::Patch, ["servicePrincipals", id]) => self.application(id).map(|_| Response::empty(204)),
            (Method::Post, ["applications", id, "addPassword"]) => self.add_secret(id, &request.json_or_empty()?),
            (Method::Post, ["applications", id, "removePassword"]) => self.remove_secret(id, &request.json()?),
            (Method::Delete, ["applications", id]) => {
                let key = self.application(id)?.app_id.to_ascii_lowercase();
                self.applications.remove(&key);
                Ok(Response::empty(204))
            }
            (Method::Delete, ["servicePrincipals", id]) => {
                let key = self.application(id)?.app_id.to_ascii_lowercase();
                if let Some(application) = self.applications.get_mut(&key) {
                    application.principal_id = None;
                }
                Ok(Response::empty(204))
            }
            _ => Err(Fault::not_offered(&format!("'/{path}' of the directory"))),
        }
    }

    /// By application id, or object id of application or service principal; also in the form `(appId='…')`.
    fn application(&self, id: &str) -> Result<&Application, Fault> {
        let id = id.trim_start_matches("(appId='").trim_end_matches("')");
        self.applications
            .values()
            .find(|application| {
                [Some(&application.app_id), Some(&application.object_id), application.principal_id.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(|own| own.eq_ignore_ascii_case(id))
            })
            .ok_or_else(|| missing(id))
    }

    /// A list narrowed by the filters that Azure's CLI sends: each names one value in quotation marks.
    fn found(&self, request: &Request, shown: fn(&Application) -> Option<Value>) -> Response {
        let filter = request.query("$filter").unwrap_or_default();
        let wanted: Vec<&str> = filter.split('\'').skip(1).step_by(2).collect();
        let by_start = filter.contains("startswith");
        let items: Vec<Value> = self
            .applications
            .values()
            .filter(|application| {
                wanted.iter().all(|value| {
                    application.app_id.eq_ignore_ascii_case(value)
                        || application.object_id.eq_ignore_ascii_case(value)
                        || application.principal_id.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(value))
                        || application.name == *value
                        || by_start && application.name.starts_with(value)
                })
            })
            .filter_map(shown)
            .collect();
        Response::json(200, json!({ "value": items }))
    }

    fn make_application(&mut self, body: &Value) -> Result<Response, Fault> {
        let Some(name) = body["displayName"].as_str().filter(|name| !name.is_empty() && name.len() <= 256) else {
            return Err(Fault::bad_request(
                "Request_BadRequest",
                "A value is required for property 'displayName' of resource 'Application'.",
            ));
        };
        let certificates = self.certificates_in(body)?;
        let application = Application {
            app_id: self.guid(),
            object_id: self.guid(),
            principal_id: None,
            name: name.to_owned(),
            created: self.now,
            secrets: Vec::new(),
            certificates,
        };
        let shown = application_body(&application);
        self.applications.insert(application.app_id.to_ascii_lowercase(), application);
        Ok(Response::json(201, shown))
    }

    /// Certificates are replaced as a whole; a known one may be named by its id alone.
    fn update_application(&mut self, id: &str, body: &Value) -> Result<Response, Fault> {
        let key = self.application(id)?.app_id.to_ascii_lowercase();
        if !body["keyCredentials"].is_array() {
            return Ok(Response::empty(204));
        }
        let mut certificates = self.certificates_in(body)?;
        if let Some(application) = self.applications.get_mut(&key) {
            let kept = body["keyCredentials"].as_array().into_iter().flatten().filter(|entry| entry["key"].is_null());
            let kept: Vec<&str> = kept.filter_map(|entry| entry["keyId"].as_str()).collect();
            let old = std::mem::take(&mut application.certificates);
            certificates.extend(old.into_iter().filter(|one| kept.contains(&one.key_id.as_str())));
            application.certificates = certificates;
        }
        Ok(Response::empty(204))
    }

    fn certificates_in(&mut self, body: &Value) -> Result<Vec<Certificate>, Fault> {
        let given = body["keyCredentials"].as_array().cloned().unwrap_or_default();
        let mut found = Vec::new();
        for entry in given.iter().filter(|entry| !entry["key"].is_null()) {
            let der =
                entry["key"].as_str().filter(|der| !der.is_empty() && der.len() <= 16 * 1024).ok_or_else(|| {
                    Fault::bad_request("KeyCredentialsInvalid", "A key credential's 'key' is no certificate in base64.")
                })?;
            let time = |name: &str| entry[name].as_str().and_then(|text| Timestamp::parse(text).ok());
            found.push(Certificate {
                key_id: self.guid(),
                der: der.to_owned(),
                name: entry["displayName"].as_str().map(str::to_owned),
                from: time("startDateTime").unwrap_or(self.now),
                until: time("endDateTime")
                    .unwrap_or_else(|| Timestamp::from_secs(self.now.secs() + SECRET_YEARS * YEAR_SECONDS)),
            });
        }
        Ok(found)
    }

    fn make_principal(&mut self, body: &Value) -> Result<Response, Fault> {
        let app_id = body["appId"].as_str().unwrap_or_default();
        let key = self.application(app_id)?.app_id.to_ascii_lowercase();
        let guid = self.guid();
        let Some(application) = self.applications.get_mut(&key) else { return Err(missing(app_id)) };
        if application.principal_id.is_some() {
            return Err(Fault::conflict(
                "Request_MultipleObjectsWithSameKeyValue",
                format!("The service principal cannot be created, because the application '{app_id}' has one."),
            ));
        }
        application.principal_id = Some(guid);
        Ok(Response::json(201, principal_body(application).unwrap_or_default()))
    }

    fn add_secret(&mut self, id: &str, body: &Value) -> Result<Response, Fault> {
        let key = self.application(id)?.app_id.to_ascii_lowercase();
        let given = &body["passwordCredential"];
        let time = |name: &str| given[name].as_str().and_then(|text| Timestamp::parse(text).ok());
        let from = time("startDateTime").unwrap_or(self.now);
        let until =
            time("endDateTime").unwrap_or_else(|| Timestamp::from_secs(self.now.secs() + SECRET_YEARS * YEAR_SECONDS));
        let text = format!("{}{}", self.guid(), self.guid()).replace('-', "");
        let secret = Secret {
            key_id: self.guid(),
            // Azure's secrets are forty characters with a mark among them.
            text: format!("{}~{}", &text[..3], &text[3..39]),
            name: given["displayName"].as_str().map(str::to_owned),
            from,
            until,
        };
        let mut shown = secret_body(&secret);
        shown["secretText"] = secret.text.clone().into();
        if let Some(application) = self.applications.get_mut(&key) {
            application.secrets.push(secret);
        }
        Ok(Response::json(200, shown))
    }

    fn remove_secret(&mut self, id: &str, body: &Value) -> Result<Response, Fault> {
        let key = self.application(id)?.app_id.to_ascii_lowercase();
        let wanted = body["keyId"].as_str().unwrap_or_default();
        if let Some(application) = self.applications.get_mut(&key) {
            application.secrets.retain(|secret| secret.key_id != wanted);
        }
        Ok(Response::empty(204))
    }

    fn by_ids(&self, body: &Value) -> Result<Response, Fault> {
        let ids = body["ids"].as_array().cloned().unwrap_or_default();
        let found = ids.iter().filter_map(Value::as_str).filter_map(|id| {
            let application = self.application(id).ok()?;
            let mut shown = principal_body(application).filter(|shown| shown["id"] == id)?;
            shown["@odata.type"] = "#microsoft.graph.servicePrincipal".into();
            Some(shown)
        });
        Ok(Response::json(200, json!({ "value": found.collect::<Vec<_>>() })))
    }
}

fn missing(id: &str) -> Fault {
    Fault::new(
        404,
        "Request_ResourceNotFound",
        format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present."),
    )
}

fn secret_body(secret: &Secret) -> Value {
    json!({
        "keyId": secret.key_id, "displayName": secret.name, "startDateTime": secret.from.rfc3339(),
        "endDateTime": secret.until.rfc3339(), "hint": &secret.text[..3],
    })
}

fn certificate_body(certificate: &Certificate) -> Value {
    json!({
        "keyId": certificate.key_id, "type": "AsymmetricX509Cert", "usage": "Verify", "displayName": certificate.name,
        "startDateTime": certificate.from.rfc3339(), "endDateTime": certificate.until.rfc3339(), "key": null,
    })
}

fn application_body(application: &Application) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.application", "id": application.object_id, "appId": application.app_id,
        "displayName": application.name, "createdDateTime": application.created.rfc3339(), "signInAudience": "AzureADMyOrg",
        "identifierUris": [], "passwordCredentials": application.secrets.iter().map(secret_body).collect::<Vec<_>>(),
        "keyCredentials": application.certificates.iter().map(certificate_body).collect::<Vec<_>>(),
    })
}

fn principal_body(application: &Application) -> Option<Value> {
    let id = application.principal_id.as_ref()?;
    Some(json!({
        "id": id, "appId": application.app_id, "displayName": application.name, "appDisplayName": application.name,
        "accountEnabled": true, "servicePrincipalNames": [application.app_id], "servicePrincipalType": "Application",
        "passwordCredentials": [], "keyCredentials": [],
    }))
}
