//! Names that follow from content: the same template gives the same suffix.

use k8s_openapi::serde::Serialize;

use crate::error::Error;

/// Letters and digits that spell no words and no vowels (apimachinery pkg/util/rand `SafeEncodeString`).
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A suffix from `content` and the number of collisions so far. Upstream hashes Go's textual dump of the struct, which
/// nothing outside Go can repeat; only the shape of the result (FNV-1a, 32 bits, safe alphabet) is the same.
///
/// # Errors
/// When the content cannot be serialised.
pub(crate) fn suffix<T: Serialize>(content: &T, collisions: Option<i32>) -> Result<String, Error> {
    let json =
        serde_json::to_vec(content).map_err(|error| Error::Invalid(format!("cannot hash a template: {error}")))?;
    let mut hash = fnv1a(0x811c_9dc5, &json);
    if let Some(collisions) = collisions {
        hash = fnv1a(hash, &collisions.to_le_bytes());
    }
    Ok(safe(&hash.to_string()))
}

fn fnv1a(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn safe(digits: &str) -> String {
    digits.bytes().map(|byte| char::from(SAFE[usize::from(byte) % SAFE.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differs (Kubernetes API): A pod template's hash has upstream's shape, not its value: upstream hashes Go's printed
    /// form of the structure.
    #[test]
    fn stable_and_different_for_collisions() {
        let first = suffix(&"template", None).unwrap();
        assert_eq!(first, suffix(&"template", None).unwrap());
        assert_ne!(first, suffix(&"template", Some(1)).unwrap());
        assert!(first.bytes().all(|byte| SAFE.contains(&byte)));
    }
}
