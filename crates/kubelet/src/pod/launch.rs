//! From a container's specification to the program that takes its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;
use kube_server::Client;
use rustix::process::Signal;

use super::downward::Facts;
use super::expand::expand;
use super::{env, volumes};
use crate::config::Config;
use crate::images::{Arguments, Context, Entry, Mounts};
use crate::process::RunSpec;

/// Why a container waits, with the reason that its status shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    /// `ErrImagePull`, then `ImagePullBackOff`.
    Image(String),
    /// `CreateContainerConfigError`
    Config(String),
}

#[derive(Debug)]
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

/// The entry of the container's image, checked for what it needs.
pub(crate) fn entry<'a>(config: &'a Config, container: &Container) -> Result<&'a Entry, NotReady> {
    let image = container.image.as_deref().unwrap_or_default();
    let entry = config.catalogue.find(image).ok_or_else(|| {
        NotReady::Image(format!(
            "no program is mapped to image {image:?}: add an entry to local/images.yaml, or to images.yaml in the data directory: {{image: {image}, command: [program, argument]}}"
        ))
    })?;
    match entry.missing(&search_path()) {
        Some(missing) if !entry.optional => Err(NotReady::Image(format!(
            "image {image:?} runs `{}`, which is not installed: apt-get install {}",
            missing.program, missing.package
        ))),
        _ => Ok(entry),
    }
}

pub(crate) fn program(
    client: &Client,
    config: &Config,
    facts: &Facts<'_>,
    container: &Container,
    directories: &Directories,
    log: PathBuf,
) -> Result<Program, NotReady> {
    let entry = entry(config, container)?;
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
    let own_env = env::build(client, facts, container, config.api_server).map_err(NotReady::Config)?;
    let (mounts, service_account) =
        volumes::mounts(facts.pod, container, &directories.volumes(), &own_env).map_err(NotReady::Config)?;
    let tmp = mounts.host_path("/tmp").unwrap_or_else(|| directories.tmp());
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
    let workdir = match (&entry.workdir, &container.working_dir) {
        (Some(text), _) => PathBuf::from(entry.expand(text, &context).map_err(failed)?),
        (None, Some(path)) => mounts.host_path(path).unwrap_or_else(|| directories.tmp()),
        (None, None) => directories.tmp(),
    };
    make_directories(&[&tmp, &directories.tmp(), &workdir]).map_err(NotReady::Config)?;
    let stop = container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.stop_signal.as_deref())
        .or(entry.stop_signal.as_deref());
    Ok(Program::Run { spec: RunSpec { argv, env, workdir, log }, stop_signal: stop.and_then(crate::signals::parse) })
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
