//! Names of virtual machine scale sets and their instances, as AKS gives them.

/// FNV-1a: small, stable, and not for security. The same cluster gets the same number on every machine.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `aks-backend-12345678-vmss`: the eight digits belong to the cluster.
pub(crate) fn scale_set(pool: &str, cluster_id: &str) -> String {
    format!("aks-{pool}-{:08}-vmss", hash(&cluster_id.to_ascii_lowercase()) % 100_000_000)
}

/// The scale set's name and the instance in base 36, six digits.
pub(crate) fn node(scale_set: &str, instance: u32) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rest = instance;
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 36) as usize];
        rest /= 36;
    }
    format!("{scale_set}{}", String::from_utf8_lossy(&digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_count_in_base_36() {
        assert_eq!(node("aks-backend-12345678-vmss", 0), "aks-backend-12345678-vmss000000");
        assert_eq!(node("aks-backend-12345678-vmss", 10), "aks-backend-12345678-vmss00000a");
        assert_eq!(node("aks-backend-12345678-vmss", 37), "aks-backend-12345678-vmss000011");
        assert_eq!(scale_set("backend", "/Subscriptions/A"), scale_set("backend", "/subscriptions/a"));
    }
}
