//! Virtual machine sizes, what AKS leaves of them for pods, and how burstable ones throttle.

use units::{Bytes, Millicores};

const MIB: i64 = 1024 * 1024;
/// `memory.available<100Mi`, the kubelet's eviction threshold on AKS since Kubernetes 1.29.
const EVICTION_MIB: i64 = 100;
/// GiB of the managed disk that AKS gives a machine of up to seven vCPUs without `osDiskSizeGB`: a P10
/// (Azure: "Storage options for applications in AKS", 2026).
const DEFAULT_OS_DISK_GIB: u32 = 128;

/// A size of Azure's price list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub name: &'static str,
    pub vcpus: i64,
    /// As Azure sells it; the operating system sees less.
    pub memory_mib: i64,
    pub architecture: &'static str,
    /// Only burstable sizes have credits.
    pub credits: Option<Credits>,
    /// Azure's planned end of the size, as a date.
    pub retires: Option<&'static str>,
}

/// The credit model of burstable sizes (Azure: "Bv1", "Bsv2", "Basv2" and "Bpsv2 series", 2026-03-10). One credit is one vCPU
/// at 100 % for a minute; what runs below the base banks the difference, what runs above it spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credits {
    /// CPU of the whole machine that costs no credit, and all that is left without credits.
    pub base: Millicores,
    /// A machine starts with these.
    pub initial: i64,
    pub max: i64,
}

/// `base_percent` of the whole machine. Azure grants 30 initial credits a vCPU and banks at most 24 hours.
const fn credits(vcpus: i64, base_percent: i64) -> Option<Credits> {
    let base = vcpus * base_percent * 10;
    Some(Credits { base: Millicores(base), initial: 30 * vcpus, max: base * 60 * 24 / 1000 })
}

const fn size(name: &'static str, vcpus: i64, gib: i64) -> Size {
    Size { name, vcpus, memory_mib: gib * 1024, architecture: "amd64", credits: None, retires: None }
}

const fn burstable(name: &'static str, vcpus: i64, gib: i64, base_percent: i64) -> Size {
    Size { credits: credits(vcpus, base_percent), ..size(name, vcpus, gib) }
}

/// The first B series, which Azure plans to retire ("Retired VM sizes", announced 2025-10-15).
const fn first_burstable(name: &'static str, vcpus: i64, gib: i64, base_percent: i64) -> Size {
    Size { retires: Some("2028-11-15"), ..burstable(name, vcpus, gib, base_percent) }
}

const fn arm(size: Size) -> Size {
    Size { architecture: "arm64", ..size }
}

const SIZES: &[Size] = &[
    first_burstable("Standard_B1ms", 1, 2, 20),
    first_burstable("Standard_B2s", 2, 4, 20),
    first_burstable("Standard_B2ms", 2, 8, 30),
    burstable("Standard_B2ats_v2", 2, 1, 20),
    burstable("Standard_B2ts_v2", 2, 1, 20),
    burstable("Standard_B2als_v2", 2, 4, 30),
    burstable("Standard_B2ls_v2", 2, 4, 30),
    burstable("Standard_B2as_v2", 2, 8, 40),
    burstable("Standard_B2s_v2", 2, 8, 40),
    arm(burstable("Standard_B2pts_v2", 2, 1, 20)),
    arm(burstable("Standard_B2pls_v2", 2, 4, 30)),
    arm(burstable("Standard_B2ps_v2", 2, 8, 40)),
    burstable("Standard_B4als_v2", 4, 8, 30),
    burstable("Standard_B4ls_v2", 4, 8, 30),
    burstable("Standard_B4as_v2", 4, 16, 40),
    burstable("Standard_B4s_v2", 4, 16, 40),
    size("Standard_DS2_v2", 2, 7),
    size("Standard_D2s_v3", 2, 8),
    size("Standard_D4s_v3", 4, 16),
    size("Standard_D2as_v5", 2, 8),
    size("Standard_D2as_v6", 2, 8),
    size("Standard_D4als_v6", 4, 8),
    size("Standard_D2s_v5", 2, 8),
    size("Standard_D4s_v5", 4, 16),
    arm(size("Standard_D4pls_v6", 4, 8)),
];

impl Size {
    /// Sizes compare without case, as in ARM.
    pub fn find(name: &str) -> Option<Size> {
        SIZES.iter().find(|size| size.name.eq_ignore_ascii_case(name)).copied()
    }

    pub fn all() -> &'static [Size] {
        SIZES
    }

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

    /// GiB of the OS disk where a pool names none. None of the known sizes has room for an ephemeral disk.
    pub fn default_os_disk_gib(self) -> u32 {
        DEFAULT_OS_DISK_GIB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_b2s_is_what_aks_leaves_of_it() {
        let b2s = Size::find("standard_b2s").unwrap();
        assert_eq!(b2s.cpu_allocatable(), Millicores(1900));
        assert_eq!(b2s.memory_capacity(), Bytes(3935 * MIB));
        // 250 pods would ask for more than a quarter, 30 pods for 650 MiB.
        assert_eq!(b2s.memory_allocatable(250), Bytes((3935 - 1024 - 100) * MIB));
        assert_eq!(b2s.memory_allocatable(30), Bytes((3935 - 650 - 100) * MIB));
        assert_eq!(Size::find("Standard_X1"), None);
    }

    /// Azure's own table: base % of the VM, initial credits, maximum banked credits.
    #[test]
    fn credits_are_azures_table() {
        for (name, base, initial, max) in [
            ("Standard_B1ms", 200, 30, 288),
            ("Standard_B2s", 400, 60, 576),
            ("Standard_B2ms", 600, 60, 864),
            ("Standard_B2ats_v2", 400, 60, 576),
            ("Standard_B2als_v2", 600, 60, 864),
            ("Standard_B2as_v2", 800, 60, 1152),
            ("Standard_B4als_v2", 1200, 120, 1728),
            ("Standard_B4as_v2", 1600, 120, 2304),
        ] {
            let credits = Size::find(name).unwrap().credits.unwrap();
            assert_eq!(credits, Credits { base: Millicores(base), initial, max }, "{name}");
        }
        assert_eq!(Size::find("Standard_D2s_v5").unwrap().credits, None);
    }
}
