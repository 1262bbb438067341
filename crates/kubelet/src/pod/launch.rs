//! From a container's specification to the program that takes its place.

mod from_image;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};
use kube_server::Client;
use network::sandbox::Router;
use oci::Unpacked;
use rustix::process::Signal;

use super::downward::Facts;
use super::env::{self, Env};
use super::expand::expand;
use super::volumes;
use crate::cgroup::{Cgroups, Limits};
use crate::config::Config;
use crate::container::{self, Contained, Identity};
use crate::images::{Arguments, Context, Entry, Mounts, Source, source};
use crate::process::RunSpec;

/// Why a container waits, with the reason that its status shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    /// `ErrImagePull`, then `ImagePullBackOff`.
    Image(String),
    /// `ErrImageNeverPull`
    NeverPull(String),
    /// `InvalidImageName`
    InvalidName(String),
    /// `CreateContainerConfigError`
    Config(String),
    /// `CreateContainerError`
    Create(String),
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on its way to the shim")]
pub(crate) enum Program {
    /// Nothing runs; `left_out` says why when the entry would have run something.
    Pause {
        left_out: Option<String>,
    },
    Run {
        spec: RunSpec,
        stop_signal: Option<Signal>,
    },
}

/// Where a run keeps its things.
pub(crate) struct Place<'a> {
    pub directories: &'a Directories,
    /// Records and log of this run.
    pub run: &'a Path,
}

/// The directories of one pod.
#[derive(Clone, Debug)]
pub(crate) struct Directories {
    pub root: PathBuf,
}

impl Directories {
    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn container(&self, name: &str) -> PathBuf {
        self.root.join("containers").join(name)
    }
}

/// What the host's programs are found in. `/usr/sbin` is where Debian keeps nginx; ordinary users' PATH leaves it out.
pub(crate) fn search_path() -> String {
    let own = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    if own.split(':').any(|part| part == "/usr/sbin") { own } else { format!("{own}:/usr/sbin:/sbin") }
}

/// What the container runs; `image` is there when its image is run from its own files.
pub(crate) fn program(
    client: &Client,
    config: &Config,
    facts: &Facts<'_>,
    container: &Container,
    place: &Place<'_>,
    image: Option<&Unpacked>,
) -> Result<Program, NotReady> {
    let own_env = || env::build(client, facts, container, config.api_server).map_err(NotReady::Config);
    match (image, source(config, container)?) {
        (Some(image), _) => from_image::program(config, facts, container, place, own_env()?, image),
        (None, Source::Host(entry)) => from_host(config, facts, container, place, own_env, entry),
        (None, Source::Image { .. }) => Err(NotReady::Image("its files are not here".to_owned())),
    }
}

fn from_host(
    config: &Config,
    facts: &Facts<'_>,
    container: &Container,
    place: &Place<'_>,
    own_env: impl FnOnce() -> Result<Env, NotReady>,
    entry: &Entry,
) -> Result<Program, NotReady> {
    let directories = place.directories;
    if entry.pause {
        return Ok(Program::Pause { left_out: None });
    }
    if let Some(missing) = entry.missing(&search_path()) {
        let why = format!(
            "`{}` is not installed (Debian package {}); the pod holds its place and does nothing",
            missing.program, missing.package
        );
        return Ok(Program::Pause { left_out: Some(why) });
    }
    let own_env = own_env()?;
    let (host_mounts, host_account) =
        volumes::mounts(facts.pod, container, &directories.volumes(), &own_env).map_err(NotReady::Config)?;
    let sandbox = config.dialer.router();
    // A container sees its mounts where they are; a plain process must be told where they are on the host.
    let (mounts, service_account, tmp) = match sandbox {
        Some(_) => {
            let account = host_account.map(|_| PathBuf::from(volumes::SERVICE_ACCOUNT_PATH));
            (host_mounts.in_place(), account, PathBuf::from("/tmp"))
        }
        None => {
            let tmp = host_mounts.host_path("/tmp").unwrap_or_else(|| directories.tmp());
            (host_mounts.clone(), host_account, tmp)
        }
    };
    let context = Context {
        bin: &config.bin_dir,
        repo: &config.repo_root,
        tmp: &tmp,
        mounts: &mounts,
        env: &own_env,
        names: &config.names,
        namespace: facts.pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod_ip: facts.pod_ip.parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST),
        service_account,
    };
    let failed = |error: crate::images::TemplateError| {
        NotReady::Config(format!("image catalogue, entry `{}`: {error}", entry.image))
    };
    let argv = entry.argv(container, &context).map_err(failed)?;
    let env = process_env(entry, facts, &own_env, &mounts, &tmp, &context).map_err(failed)?;
    let outside = || if sandbox.is_some() { PathBuf::from("/") } else { directories.tmp() };
    let workdir = match (&entry.workdir, &container.working_dir) {
        (Some(text), _) => PathBuf::from(entry.expand(text, &context).map_err(failed)?),
        (None, Some(path)) if sandbox.is_some() => PathBuf::from(path),
        (None, Some(path)) => mounts.host_path(path).unwrap_or_else(outside),
        (None, None) => outside(),
    };
    let needed: &[&Path] =
        if sandbox.is_some() { &[&directories.tmp()] } else { &[&tmp, &directories.tmp(), &workdir] };
    make_directories(needed).map_err(NotReady::Config)?;
    let stop = container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.stop_signal.as_deref())
        .or(entry.stop_signal.as_deref());
    let contained = match sandbox {
        None => None,
        Some(router) => {
            let paths: Result<Vec<String>, _> = entry.paths.iter().map(|text| entry.expand(text, &context)).collect();
            let paths = paths.map_err(failed)?;
            let around = Around { config, router, facts, container, place, mounts: &host_mounts };
            Some(around.host(&argv, &env, &workdir, &paths).map_err(NotReady::Config)?)
        }
    };
    let limits = config.cgroups.as_ref().and_then(|cgroups| limits(cgroups, facts.pod, container, place.run));
    let spec = RunSpec { argv, env, workdir, log: place.run.join("log"), container: contained, limits };
    Ok(Program::Run { spec, stop_signal: stop.and_then(crate::signals::parse) })
}

/// What the container's manifest limits it to.
fn limits(cgroups: &Cgroups, pod: &Pod, container: &Container, run: &Path) -> Option<Limits> {
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    let of = |name: &str| limits.get(name).and_then(|limit| limit.0.parse::<units::Quantity>().ok());
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let attempt = run.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    let name = format!("{uid}.{}.{attempt}", container.name);
    cgroups.limits(&name, of("memory").map(units::Quantity::bytes), of("cpu").map(units::Quantity::millicores))
}

/// What a container is put into.
struct Around<'a> {
    config: &'a Config,
    router: &'a Router,
    facts: &'a Facts<'a>,
    container: &'a Container,
    place: &'a Place<'a>,
    /// The container's mounts, on the host.
    mounts: &'a Mounts,
}

/// What differs between a program of the host and an image's own.
struct Inside<'a> {
    argv: &'a [String],
    env: &'a [(String, String)],
    workdir: &'a Path,
    identity: &'a Identity,
    root: container::Root,
    /// What brings the image in.
    mounts: Vec<serde_json::Value>,
    /// Besides the pod's own: path in the container, on the host, and whether it is read-only.
    volumes: Vec<(PathBuf, PathBuf, bool)>,
    /// How many of [`FILES`] the container gets.
    files: usize,
    image: Option<container::Image>,
}

impl Around<'_> {
    /// The container around a program of the host; `paths` is what of the host belongs to its image.
    fn host(
        &self,
        argv: &[String],
        env: &[(String, String)],
        workdir: &Path,
        paths: &[String],
    ) -> Result<Contained, String> {
        let identity = container::user(self.facts.pod, self.container, None)?;
        let (root, mounts) = container::host_root();
        let own = |path: &Path| !path.starts_with("/usr") && !paths.iter().any(|known| path.starts_with(known));
        let program = argv.first().map(Path::new).filter(|path| path.is_absolute() && own(path));
        let paths = paths.iter().map(Path::new).chain(program).filter(|path| path.exists());
        // Among the volumes, because a path may lie where a volume is mounted: programs built under /tmp.
        let mut volumes: Vec<(PathBuf, PathBuf, bool)> = paths.map(|path| (path.into(), path.into(), true)).collect();
        if self.mounts.host_path("/tmp").is_none() {
            volumes.push(("/tmp".into(), self.place.directories.tmp(), false));
        }
        let inside =
            Inside { argv, env, workdir, identity: &identity, root, mounts, volumes, files: FILES.len(), image: None };
        Ok(self.contain(inside))
    }

    fn contain(&self, inside: Inside<'_>) -> Contained {
        let metadata = &self.facts.pod.metadata;
        let uid = metadata.uid.as_deref().unwrap_or_default();
        let host_name = metadata.name.clone().unwrap_or_default();
        let bundle = self.place.run.join("bundle");
        let mut volumes = inside.volumes;
        for mount in self.container.volume_mounts.iter().flatten() {
            let host = self.mounts.host_path(mount.mount_path.trim_end_matches('/')).unwrap_or_default();
            volumes.push((PathBuf::from(&mount.mount_path), host, mount.read_only.unwrap_or(false)));
        }
        let mut files = files_of(self.facts, &host_name, inside.identity);
        files.truncate(inside.files);
        let names: Vec<(&str, &str)> =
            FILES.iter().zip(&files).map(|(path, (name, _))| (name.as_str(), *path)).collect();
        let configuration = container::configuration(container::Parts {
            argv: inside.argv,
            env: inside.env,
            workdir: &inside.workdir.display().to_string(),
            host_name: &host_name,
            identity: inside.identity,
            network: &self.router.namespace_path(uid),
            bundle: &bundle,
            image: inside.mounts,
            volumes,
            files: &names,
        });
        let attempt = self.place.run.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        Contained {
            id: format!("{uid}.{}.{attempt}", self.container.name),
            bundle,
            state: self.config.data_dir.join("crun"),
            configuration,
            files,
            root: inside.root,
            image: inside.image,
        }
    }
}

/// Files that the kubelet and the runtime make for every container, in the order of [`files_of`]. An image brings those after
/// the first [`RUNTIME_FILES`] itself.
const FILES: [&str; 6] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];

const RUNTIME_FILES: usize = 3;

/// Name in the bundle and content.
fn files_of(facts: &Facts<'_>, host_name: &str, identity: &Identity) -> Vec<(String, String)> {
    let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
    let Identity { uid, gid, .. } = identity;
    let (user, group) = match uid {
        0 => (String::new(), String::new()),
        _ => (format!("app:x:{uid}:{gid}::/:/usr/sbin/nologin\n"), format!("app:x:{gid}:\n")),
    };
    [
        (
            "resolv.conf",
            format!(
                "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\nnameserver {}\noptions ndots:5\n",
                network::plan::DNS
            ),
        ),
        (
            "hosts",
            format!("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n{}\t{host_name}\n", facts.pod_ip),
        ),
        ("hostname", format!("{host_name}\n")),
        ("passwd", format!("root:x:0:0:root:/root:/bin/sh\n{user}")),
        ("group", format!("root:x:0:\n{group}")),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .to_vec()
}

fn make_directories(paths: &[&Path]) -> Result<(), String> {
    paths.iter().try_for_each(|path| {
        std::fs::create_dir_all(path).map_err(|error| format!("cannot create {}: {error}", path.display()))
    })
}

impl Entry {
    fn expand(&self, text: &str, context: &Context<'_>) -> Result<String, crate::images::TemplateError> {
        crate::images::expand(text, context)
    }

    /// The container's own words have `$(VAR)` and paths under mounts replaced.
    fn argv(&self, container: &Container, context: &Context<'_>) -> Result<Vec<String>, crate::images::TemplateError> {
        let own = |words: &Option<Vec<String>>| -> Vec<String> {
            let expand_one =
                |word: &String| context.mounts.translate(&expand(word, |name| context.env.get(name).cloned()));
            words.iter().flatten().map(expand_one).collect()
        };
        let (command, args) = (own(&container.command), own(&container.args));
        let mut argv: Vec<String> =
            self.command.iter().map(|word| self.expand(word, context)).collect::<Result<_, _>>()?;
        match self.arguments {
            Arguments::Image if !command.is_empty() => argv = [command, args].concat(),
            Arguments::Image => argv.extend(args),
            Arguments::Append => argv.extend([command, args].concat()),
            Arguments::Ignore => {}
        }
        Ok(argv)
    }
}

/// The host's search path, the container's variables, and the entry's over both.
fn process_env(
    entry: &Entry,
    facts: &Facts<'_>,
    own: &BTreeMap<String, String>,
    mounts: &Mounts,
    tmp: &Path,
    context: &Context<'_>,
) -> Result<Vec<(String, String)>, crate::images::TemplateError> {
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), search_path()),
        ("HOME".to_owned(), tmp.display().to_string()),
        ("TMPDIR".to_owned(), tmp.display().to_string()),
        ("HOSTNAME".to_owned(), facts.pod.metadata.name.clone().unwrap_or_default()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    env.extend(own.iter().map(|(name, value)| (name.clone(), mounts.translate(value))));
    for (name, value) in &entry.env {
        env.insert(name.clone(), entry.expand(value, context)?);
    }
    Ok(env.into_iter().collect())
}
