//! Virtual machine sizes and what AKS leaves of them for pods.

use units::{Bytes, Millicores};

const MIB: i64 = 1024 * 1024;
/// `memory.available<100Mi`, the kubelet's eviction threshold on AKS since Kubernetes 1.29.
const EVICTION_MIB: i64 = 100;

/// A size of Azure's price list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub name: &'static str,
    pub vcpus: i64,
    /// As Azure sells it; the operating system sees less.
    pub memory_mib: i64,
    pub architecture: &'static str,
}

const fn amd64(name: &'static str, vcpus: i64, gib: i64) -> Size {
    Size { name, vcpus, memory_mib: gib * 1024, architecture: "amd64" }
}

const fn arm64(name: &'static str, vcpus: i64, gib: i64) -> Size {
    Size { name, vcpus, memory_mib: gib * 1024, architecture: "arm64" }
}

const SIZES: &[Size] = &[
    amd64("Standard_B1ms", 1, 2),
    amd64("Standard_B2s", 2, 4),
    amd64("Standard_B2ms", 2, 8),
    amd64("Standard_B2ats_v2", 2, 1),
    amd64("Standard_B2als_v2", 2, 4),
    amd64("Standard_B2ls_v2", 2, 4),
    amd64("Standard_B2as_v2", 2, 8),
    amd64("Standard_B2s_v2", 2, 8),
    arm64("Standard_B2pls_v2", 2, 4),
    arm64("Standard_B2ps_v2", 2, 8),
    amd64("Standard_B4als_v2", 4, 8),
    amd64("Standard_B4ls_v2", 4, 8),
    amd64("Standard_B4as_v2", 4, 16),
    amd64("Standard_B4s_v2", 4, 16),
    amd64("Standard_D2as_v5", 2, 8),
    amd64("Standard_D2as_v6", 2, 8),
    amd64("Standard_D4als_v6", 4, 8),
    amd64("Standard_D2s_v5", 2, 8),
    arm64("Standard_D4pls_v6", 4, 8),
];

/// Sizes compare without case, as in ARM.
pub fn size(name: &str) -> Option<Size> {
    SIZES.iter().find(|size| size.name.eq_ignore_ascii_case(name)).copied()
}

/// The sizes that [`size`] knows, for an error message.
pub(crate) fn names() -> String {
    SIZES.iter().map(|size| size.name).collect::<Vec<_>>().join(", ")
}

impl Size {
    pub fn cpu_capacity(self) -> Millicores {
        Millicores(self.vcpus * 1000)
    }

    /// What the kernel reports: firmware and the kernel itself keep about 2 % and 80 MiB (a DS2_v2 of 7 GiB reports
    /// 7,113,160 KiB in Microsoft's documentation).
    pub fn memory_capacity(self) -> Bytes {
        Bytes((self.memory_mib - self.memory_mib / 50 - 80) * MIB)
    }

    /// AKS's reservation of CPU by cores (node-resource-reservations.md, 2026-06-11), interpolated as the table is meant:
    /// by the largest row that is not above the size.
    pub fn cpu_allocatable(self) -> Millicores {
        let reserved = match self.vcpus {
            ..=1 => 60,
            2..=3 => 100,
            4..=7 => 140,
            8..=15 => 180,
            16..=31 => 260,
            32..=63 => 420,
            _ => 740,
        };
        self.cpu_capacity() - Millicores(reserved)
    }

    /// AKS reserves the smaller of 20 MB for each possible pod plus 50 MB and a quarter of the memory, and the kubelet
    /// evicts below 100 MiB (node-resource-reservations.md, 2026-06-11, Kubernetes 1.29 and later).
    pub fn memory_allocatable(self, max_pods: u32) -> Bytes {
        let reserved_mib = (20 * i64::from(max_pods) + 50).min(self.memory_mib / 4);
        self.memory_capacity() - Bytes((reserved_mib + EVICTION_MIB) * MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_b2s_is_what_aks_leaves_of_it() {
        let b2s = size("standard_b2s").unwrap();
        assert_eq!(b2s.cpu_allocatable(), Millicores(1900));
        assert_eq!(b2s.memory_capacity(), Bytes(3935 * MIB));
        // 250 pods would ask for more than a quarter, 30 pods for 650 MiB.
        assert_eq!(b2s.memory_allocatable(250), Bytes((3935 - 1024 - 100) * MIB));
        assert_eq!(b2s.memory_allocatable(30), Bytes((3935 - 650 - 100) * MIB));
        assert_eq!(size("Standard_X1"), None);
    }
}
