//! Refusals: a status and Azure's error body. One constructor per code that several places give.

use arm_model::error::ErrorBody;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    pub status: u16,
    pub body: Box<ErrorBody>,
}

impl Fault {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Fault {
        Fault { status, body: Box::new(ErrorBody::new(code, message)) }
    }

    pub fn bad_request(code: &str, message: impl Into<String>) -> Fault {
        Fault::new(400, code, message)
    }

    pub fn conflict(code: &str, message: impl Into<String>) -> Fault {
        Fault::new(409, code, message)
    }

    #[must_use]
    pub fn target(mut self, target: &str) -> Fault {
        self.body.target = Some(target.to_owned());
        self
    }

    #[must_use]
    pub fn details(mut self, details: Vec<ErrorBody>) -> Fault {
        self.body.details = details;
        self
    }

    pub fn group_not_found(group: &str) -> Fault {
        Fault::new(404, "ResourceGroupNotFound", format!("Resource group '{group}' could not be found."))
    }

    pub fn resource_not_found(resource_type: &str, name: &str, group: &str) -> Fault {
        Fault::new(
            404,
            "ResourceNotFound",
            format!(
                "The Resource '{resource_type}/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    pub fn invalid_content(message: impl Into<String>) -> Fault {
        Fault::bad_request("InvalidRequestContent", message)
    }

    pub fn invalid_template(message: impl Into<String>) -> Fault {
        Fault::bad_request("InvalidTemplate", message)
    }

    pub fn not_allowed() -> Fault {
        Fault::new(405, "MethodNotAllowed", "The request method is not allowed on this resource.")
    }

    /// What the embedded ARM does not offer, said as such rather than imitated.
    pub fn not_offered(what: &str) -> Fault {
        Fault::new(501, "NotImplemented", format!("{what} is not offered by the embedded Azure Resource Manager."))
    }
}
