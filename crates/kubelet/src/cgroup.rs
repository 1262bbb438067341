//! Limits of memory and CPU by cgroups of this host, where it lets one be made.
//!
//! A container's cgroup is made, entered and removed by its shim: it goes in, starts the program, which is then inside from
//! its first instruction, and comes out again. What is run beside a container later (`exec`, probes) stays outside.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use units::{Bytes, Millicores};

/// Upstream's `cpuCFSQuotaPeriod`.
const CPU_PERIOD_US: i64 = 100_000;
/// The kernel's least quota.
const LEAST_QUOTA_US: i64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One tree for all controllers (cgroup v2).
    Unified,
    /// The memory controller's own tree (v1).
    Memory,
    /// The CPU controller's own tree (v1).
    Cpu,
}

/// Where the cgroups of one cloud's containers are made.
#[derive(Clone, Debug)]
pub struct Cgroups {
    parents: Vec<Parent>,
    cpu: Option<f64>,
}

#[derive(Clone, Debug)]
struct Parent {
    kind: Kind,
    /// The cloud's own cgroup, whose children are the containers'.
    path: PathBuf,
    /// Where this process, and so every shim, is.
    home: PathBuf,
}

impl Cgroups {
    /// Tries to make cgroups with limits below what is mounted at `mount`; `name` is the cloud's own among others.
    ///
    /// # Errors
    /// Why this host allows none, in words that follow "not enforced, because".
    pub fn find(mount: &Path, name: &str) -> Result<Cgroups, String> {
        let own =
            fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("cgroups cannot be read: {error}"))?;
        let parents = if mount.join("cgroup.controllers").exists() {
            vec![unified(mount, &own, name)?]
        } else {
            let memory = separate(mount, &own, name, Kind::Memory)?;
            // Without the other one there is still something to enforce.
            std::iter::once(memory).chain(separate(mount, &own, name, Kind::Cpu)).collect()
        };
        let found = Cgroups { parents, cpu: None };
        found.try_out().map_err(|error| format!("no process can be moved into a cgroup: {error}"))?;
        Ok(found)
    }

    /// Has CPU limits enforced too, for a host each of whose cores counts as so many.
    #[must_use]
    pub fn with_cpu(mut self, vcpu_scale: f64) -> Cgroups {
        let has_cpu = self.parents.iter().any(|parent| match parent.kind {
            Kind::Unified => read(&parent.path.join("cgroup.controllers")).split_whitespace().any(|name| name == "cpu"),
            Kind::Memory => false,
            Kind::Cpu => true,
        });
        self.cpu = has_cpu.then_some(vcpu_scale);
        self
    }

    pub fn enforces_cpu(&self) -> bool {
        self.cpu.is_some()
    }

    fn try_out(&self) -> io::Result<()> {
        let trial = self.limits(&format!("trial-{}", std::process::id()), Some(Bytes(i64::MAX / 4096 * 4096)), None);
        let Some(trial) = trial else { return Ok(()) };
        // Not this process: whoever looks at the same time where it is must find it at home.
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn()?;
        let entered = trial.enter(child.id()).and_then(|()| trial.leave(child.id()));
        child.kill()?;
        child.wait()?;
        trial.remove();
        entered
    }

    /// What a container of this name is to be kept to; none where nothing is to be enforced.
    pub(crate) fn limits(&self, name: &str, memory: Option<Bytes>, cpu: Option<Millicores>) -> Option<Limits> {
        let cpu = cpu.zip(self.cpu).map(|(limit, scale)| {
            let quota = (limit.0 as f64 / 1000.0 / scale * CPU_PERIOD_US as f64).round() as i64;
            quota.max(LEAST_QUOTA_US)
        });
        let groups: Vec<Group> = self
            .parents
            .iter()
            .map(|parent| Group {
                path: parent.path.join(name),
                home: parent.home.clone(),
                settings: settings(parent.kind, memory, cpu),
            })
            .filter(|group| !group.settings.is_empty())
            .collect();
        (!groups.is_empty()).then_some(Limits { groups })
    }

    /// Removes the cloud's own cgroups, and what shims that were killed left in them. Those in which something still runs
    /// stay.
    pub fn remove(&self) {
        for parent in &self.parents {
            for entry in fs::read_dir(&parent.path).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(entry.path());
            }
            let _ = fs::remove_dir(&parent.path);
        }
    }
}

/// Must come in this order. One that begins with `?` may fail: not every kernel has it.
fn settings(kind: Kind, memory: Option<Bytes>, cpu: Option<i64>) -> Vec<(String, String)> {
    let mut settings: Vec<(&str, String)> = Vec::new();
    if let Some(Bytes(limit)) = memory {
        match kind {
            Kind::Unified => settings.extend([
                ("memory.max", limit.to_string()),
                ("?memory.swap.max", "0".to_owned()),
                // The whole container, as upstream has it since 1.28.
                ("?memory.oom.group", "1".to_owned()),
            ]),
            Kind::Memory => settings.extend([
                ("memory.limit_in_bytes", limit.to_string()),
                ("?memory.memsw.limit_in_bytes", limit.to_string()),
            ]),
            Kind::Cpu => {}
        }
    }
    if let Some(quota) = cpu {
        match kind {
            Kind::Unified => settings.push(("cpu.max", format!("{quota} {CPU_PERIOD_US}"))),
            Kind::Memory => {}
            Kind::Cpu => settings
                .extend([("cpu.cfs_period_us", CPU_PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota.to_string())]),
        }
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// One container's cgroups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    path: PathBuf,
    /// Where the shim goes back to.
    home: PathBuf,
    settings: Vec<(String, String)>,
}

impl Limits {
    /// Makes the cgroups and moves the process into them.
    pub(crate) fn enter(&self, pid: u32) -> io::Result<()> {
        for group in &self.groups {
            let failed = |error: io::Error| io::Error::other(format!("cgroup {}: {error}", group.path.display()));
            fs::create_dir_all(&group.path).map_err(failed)?;
            for (name, value) in &group.settings {
                let (optional, name) = name.strip_prefix('?').map_or((false, name.as_str()), |name| (true, name));
                if let Err(error) = write(&group.path.join(name), value)
                    && !optional
                {
                    return Err(failed(io::Error::other(format!("{name} = {value}: {error}"))));
                }
            }
            join(&group.path, pid).map_err(failed)?;
        }
        Ok(())
    }

    /// Moves the process, and not what it started, out again.
    pub(crate) fn leave(&self, pid: u32) -> io::Result<()> {
        self.groups.iter().try_for_each(|group| join(&group.home, pid))
    }

    /// Whether the kernel ended a process here because memory ran out.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.groups.iter().any(|group| {
            ["memory.events", "memory.oom_control"].iter().any(|name| {
                let text = read(&group.path.join(name));
                let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok());
                kills.is_some_and(|kills| kills > 0)
            })
        })
    }

    pub(crate) fn remove(&self) {
        for group in &self.groups {
            // Something that runs beside the container may still be in it; the cloud's end removes what is left.
            let _ = fs::remove_dir(&group.path);
        }
    }
}

/// The nearest cgroup above this process in which others with a memory limit can be made. The process' own cannot: the
/// kernel lets a cgroup with processes pass no memory on (but for the root).
fn unified(mount: &Path, own: &str, name: &str) -> Result<Parent, String> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let home = mount.join(path.trim_start_matches('/'));
    let mut reason = "no cgroup above this process may be written".to_owned();
    for ancestor in home.ancestors().take_while(|ancestor| ancestor.starts_with(mount)) {
        let path = ancestor.join(name);
        match delegated(ancestor, &path) {
            Ok(()) => return Ok(Parent { kind: Kind::Unified, path, home }),
            Err(error) => reason = format!("{}: {error}", ancestor.display()),
        }
        let _ = fs::remove_dir(&path);
    }
    Err(reason)
}

fn delegated(ancestor: &Path, path: &Path) -> io::Result<()> {
    make(path)?;
    let offered = |directory: &Path, name: &str| {
        read(&directory.join("cgroup.controllers")).split_whitespace().any(|offered| offered == name)
    };
    if !offered(path, "memory") {
        write(&ancestor.join("cgroup.subtree_control"), "+memory")?;
    }
    if !offered(path, "cpu") {
        // Memory alone is worth having.
        let _ = write(&ancestor.join("cgroup.subtree_control"), "+cpu");
    }
    write(&path.join("cgroup.subtree_control"), "+memory")?;
    let _ = write(&path.join("cgroup.subtree_control"), "+cpu");
    Ok(())
}

fn separate(mount: &Path, own: &str, name: &str, kind: Kind) -> Result<Parent, String> {
    let (controller, file) = match kind {
        Kind::Cpu => ("cpu", "cpu.cfs_quota_us"),
        Kind::Memory | Kind::Unified => ("memory", "memory.limit_in_bytes"),
    };
    let home = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|own| own == controller).then(|| path.trim_start_matches('/').to_owned())
    });
    let home = home.ok_or_else(|| format!("there is no {controller} controller"))?;
    let home = mount.join(controller).join(home);
    let path = home.join(name);
    make(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !path.join(file).exists() {
        let _ = fs::remove_dir(&path);
        return Err(format!("{} is no cgroup", home.display()));
    }
    Ok(Parent { kind, path, home })
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn join(path: &Path, pid: u32) -> io::Result<()> {
    write(&path.join("cgroup.procs"), &pid.to_string())
}

/// Never makes a file: what is not there is not a cgroup's.
fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, memory: Option<i64>, cpu: Option<i64>, expected: &[(&str, &str)]) {
        let parents = vec![Parent { kind, path: "/cloud".into(), home: "/".into() }];
        let cgroups = Cgroups { parents, cpu: Some(9.0) };
        let limits = cgroups.limits("web", memory.map(Bytes), cpu.map(Millicores));
        let settings = limits.map(|limits| limits.groups[0].settings.clone()).unwrap_or_default();
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(settings, expected, "{kind:?}");
    }

    #[test]
    fn limits_are_what_the_kernel_wants_to_read() {
        let memory = Some(64 << 20);
        let words = [("memory.max", "67108864"), ("?memory.swap.max", "0"), ("?memory.oom.group", "1")];
        check(Kind::Unified, memory, None, &words);
        check(Kind::Unified, None, Some(1000), &[("cpu.max", "11111 100000")]);
        // The kernel refuses less than a millisecond.
        check(Kind::Cpu, memory, Some(10), &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "1000")]);
        check(Kind::Memory, None, Some(1000), &[]);
    }

    /// A tree that looks like version 2 with a delegated cgroup, as files: what is written where.
    #[test]
    fn the_nearest_cgroup_that_passes_memory_on_is_taken() {
        let mount = tempfile::tempdir().unwrap();
        let user = mount.path().join("user.slice/user@1000.service");
        let terminal = user.join("app.slice/terminal.scope");
        for (directory, passes_on) in [(&terminal, false), (&user.join("app.slice"), false), (&user, true)] {
            fs::create_dir_all(directory.join("marea-1")).unwrap();
            let controllers = if passes_on { "cpu memory pids" } else { "" };
            fs::write(directory.join("marea-1/cgroup.controllers"), controllers).unwrap();
            fs::write(directory.join("marea-1/cgroup.subtree_control"), "").unwrap();
        }
        let found = unified(
            mount.path(),
            "1:name=systemd:/\n0::/user.slice/user@1000.service/app.slice/terminal.scope\n",
            "marea-1",
        )
        .unwrap();
        assert_eq!((found.path, found.home), (user.join("marea-1"), terminal));
        let nothing = unified(mount.path(), "0::/elsewhere\n", "marea-2").unwrap_err();
        assert!(nothing.contains(&mount.path().display().to_string()), "{nothing}");
    }
}
