//! The container of an image that is run from its own files.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;
use oci::{RunConfig, Unpacked};

use super::{Around, Facts, Inside, NotReady, Place, Program, RUNTIME_FILES, limits};
use crate::config::Config;
use crate::container::{self, ImageUser};
use crate::pod::env::Env;
use crate::pod::expand::expand;
use crate::pod::volumes;
use crate::process::RunSpec;

/// containerd's, for an image that names none (pkg/oci/spec.go of containerd 2).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn program(
    config: &Config,
    facts: &Facts<'_>,
    container: &Container,
    place: &Place<'_>,
    own_env: Env,
    image: &Unpacked,
) -> Result<Program, NotReady> {
    let router = config.dialer.router().ok_or_else(|| NotReady::Create("images need the sandbox".to_owned()))?;
    let (mounts, _) =
        volumes::mounts(facts.pod, container, &place.directories.volumes(), &own_env).map_err(NotReady::Config)?;
    let look_up = |text: &str| image.user(text);
    let user = ImageUser { text: &image.run.user, look_up: &look_up };
    let identity = container::user(facts.pod, container, Some(&user)).map_err(NotReady::Config)?;
    let argv = argv(&image.run, container, &own_env)?;
    let env = environment(&image.run, facts.pod.metadata.name.as_deref().unwrap_or_default(), own_env);
    let workdir = container.working_dir.as_deref().filter(|path| !path.is_empty()).unwrap_or(&image.run.working_dir);
    let workdir = if workdir.is_empty() { PathBuf::from("/") } else { Path::new("/").join(workdir) };
    let stop_signal = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.clone());
    let stop_signal = stop_signal.unwrap_or_else(|| image.run.stop_signal.clone());
    let around = Around { config, router, facts, container, place, mounts: &mounts };
    let contained = around.contain(Inside {
        argv: &argv,
        env: &env,
        workdir: &workdir,
        identity: &identity,
        root: container::Root::default(),
        mounts: Vec::new(),
        volumes: Vec::new(),
        files: RUNTIME_FILES,
        image: Some(container::Image {
            id: image.id.clone(),
            root: image.root.clone(),
            stop_signal: stop_signal.clone(),
        }),
    });
    let limits = config.cgroups.as_ref().and_then(|cgroups| limits(cgroups, facts.pod, container, place.run));
    let spec = RunSpec { argv, env, workdir, log: place.run.join("log"), container: Some(contained), limits };
    Ok(Program::Run { spec, stop_signal: crate::signals::parse(&stop_signal) })
}

/// `command` takes the place of the image's entrypoint and command, `args` of its command alone.
fn argv(run: &RunConfig, container: &Container, env: &Env) -> Result<Vec<String>, NotReady> {
    let own = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand(word, |name| env.get(name).cloned())).collect()
    };
    let (command, args) = (own(&container.command), own(&container.args));
    let argv = match (command.is_empty(), args.is_empty()) {
        (false, _) => [command, args].concat(),
        (true, false) => [run.entrypoint.clone(), args].concat(),
        (true, true) => [run.entrypoint.clone(), run.cmd.clone()].concat(),
    };
    if argv.is_empty() {
        let message = "failed to generate container spec: no command specified";
        return Err(NotReady::Create(message.to_owned()));
    }
    Ok(argv)
}

/// The image's variables, then the container's over them.
fn environment(run: &RunConfig, host_name: &str, own: Env) -> Vec<(String, String)> {
    let mut env = Env::from([("PATH".to_owned(), PATH.to_owned()), ("HOSTNAME".to_owned(), host_name.to_owned())]);
    env.extend(run.env.iter().filter_map(|text| {
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    }));
    env.extend(own);
    env.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(container: serde_json::Value, expected: &[&str]) {
        let container: Container = serde_json::from_value(container).unwrap();
        let run = RunConfig { entrypoint: vec!["/run".into()], cmd: vec!["serve".into()], ..RunConfig::default() };
        let env = Env::from([("WORD".to_owned(), "said".to_owned())]);
        assert_eq!(argv(&run, &container, &env), Ok(expected.iter().map(|word| (*word).to_owned()).collect()));
    }

    #[test]
    fn command_and_args_are_put_over_the_images() {
        check(json!({"name": "c"}), &["/run", "serve"]);
        check(json!({"name": "c", "args": ["$(WORD)", "$(NONE)"]}), &["/run", "said", "$(NONE)"]);
        check(json!({"name": "c", "command": ["/other"]}), &["/other"]);
        check(json!({"name": "c", "command": ["/other"], "args": ["x"]}), &["/other", "x"]);
        let nothing = argv(&RunConfig::default(), &Container::default(), &Env::new());
        assert!(matches!(nothing, Err(NotReady::Create(message)) if message.contains("no command specified")));
    }

    #[test]
    fn the_containers_variables_win_over_the_images() {
        let run = RunConfig { env: vec!["A=image".into(), "B=x=y".into(), "broken".into()], ..RunConfig::default() };
        let env = environment(&run, "web", Env::from([("A".to_owned(), "own".to_owned())]));
        let expected = [("A", "own"), ("B", "x=y"), ("HOSTNAME", "web"), ("PATH", PATH)];
        assert_eq!(env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
