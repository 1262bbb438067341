//! What extends the API by calling out. It can be listed, but one that is created would never be called, so it is refused.

use serde_json::Value;

use super::Strategy;
use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;

pub struct Refused;
pub static REFUSED: Refused = Refused;

impl Strategy for Refused {
    fn prepare_create(&self, _tx: &Transaction<'_>, object: &mut Value) -> Result<(), ApiError> {
        let kind = json::text(object, "/kind").unwrap_or("object").to_owned();
        Err(ApiError::method_not_allowed(format!(
            "this server does not call admission webhooks or policies, nor aggregated API servers, so it refuses the {kind} {:?} \
             rather than ignore it",
            json::name(object)
        )))
    }
}
