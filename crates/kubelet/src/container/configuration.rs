//! The OCI runtime configuration of a container.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::user::Identity;
use super::{root, seccomp};

/// What a configuration is made of.
pub(crate) struct Parts<'a> {
    pub argv: &'a [String],
    pub env: &'a [(String, String)],
    pub workdir: &'a str,
    pub host_name: &'a str,
    pub identity: &'a Identity,
    /// The pod's network namespace.
    pub network: &'a Path,
    /// Where the bundle will be.
    pub bundle: &'a Path,
    /// What brings the image in.
    pub image: Vec<Value>,
    /// Volumes: path in the container, on the host, and whether it is read-only.
    pub volumes: Vec<(PathBuf, PathBuf, bool)>,
    /// Files of the bundle at their place in the container.
    pub files: &'a [(&'a str, &'a str)],
}

pub(crate) fn configuration(parts: Parts<'_>) -> Value {
    let Identity { uid, gid, capabilities, .. } = parts.identity;
    // Only root gets them; anybody else could gain them from a file, which no_new_privileges forbids.
    let effective = if *uid == 0 { capabilities.clone() } else { Vec::new() };
    let environment: Vec<String> = parts.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
        json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
               "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]}),
    ];
    mounts.extend(parts.image);
    mounts.extend(parts.files.iter().map(|(name, path)| root::read_only(&parts.bundle.join(name), Path::new(path))));
    let mut volumes = parts.volumes;
    // A mount inside another comes after it.
    volumes.sort();
    mounts.extend(volumes.iter().map(|(inside, host, read_only)| match read_only {
        true => root::read_only(host, inside),
        false => root::writable(host, inside),
    }));
    let mut configuration = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": uid, "gid": gid},
            "args": parts.argv,
            "env": environment,
            "cwd": parts.workdir,
            "capabilities": {
                "bounding": capabilities, "inheritable": [], "ambient": [],
                "effective": effective, "permitted": effective,
            },
            "noNewPrivileges": parts.identity.no_new_privileges,
        },
        "root": {"path": "rootfs", "readonly": parts.identity.read_only_root},
        "hostname": parts.host_name,
        "mounts": mounts,
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "user"},
                {"type": "network", "path": parts.network},
            ],
            "uidMappings": [{"containerID": uid, "hostID": 0, "size": 1}],
            "gidMappings": [{"containerID": gid, "hostID": 0, "size": 1}],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                            "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    });
    if parts.identity.seccomp {
        configuration["linux"]["seccomp"] = seccomp::runtime_default();
    }
    configuration
}
