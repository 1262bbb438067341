//! `marea image`: the platform's two images, built and pushed without a container engine.

mod compile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use oci::{
    Architecture, Base, Contents, Credential, Image, Layer, Layout, OciError, Placed, Program, Reference, Registry,
};
use serde_json::json;
use stack::{Reporter, git};

use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::terminal::{Terminal, note, print, print_json};

#[derive(Subcommand, Debug)]
pub enum ImageCommand {
    /// Make an image as an OCI layout in a folder. The same sources give the same digest.
    #[command(
        after_help = "Examples:\n  marea image build backend                         compiles a static program\n  marea image build backend --program ./marea-backend\n  marea image build frontend --base docker.io/nginxinc/nginx-unprivileged:1.29-alpine@sha256:…\n\nThe backend's image holds its program and nothing else, linked with musl where its Rust target and musl-gcc are there, else with glibc. The frontend's adds the built console (frontend/dist) to an nginx image, which\nis named by digest so that it cannot change unseen. Files carry the commit's date, or SOURCE_DATE_EPOCH."
    )]
    Build(Build),
    /// Send a built image to a registry. What the registry has already is not sent.
    #[command(
        after_help = "Examples:\n  az acr login -n marea && marea image push backend marea.azurecr.io/backend:0.1.0\n  marea image push frontend marea.azurecr.io/frontend:0.1.0 --mount-from nginx\n\nSigns in with MAREA_REGISTRY_USERNAME and MAREA_REGISTRY_PASSWORD, else with what `az acr login` or `docker login` left in\n~/.docker/config.json. A registry at localhost or 127.x.x.x is spoken to without TLS."
    )]
    Push(Push),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageName {
    Backend,
    Frontend,
}

impl ImageName {
    fn name(self) -> &'static str {
        match self {
            ImageName::Backend => "backend",
            ImageName::Frontend => "frontend",
        }
    }

    fn layout(self, project: &Project, chosen: Option<&Path>) -> PathBuf {
        chosen.map_or_else(|| project.root.join("target/images").join(self.name()), Path::to_owned)
    }
}

#[derive(Args, Debug)]
pub struct Build {
    #[arg(value_enum)]
    pub image: ImageName,
    /// backend: a static program that is there already, instead of compiling one.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// frontend: the nginx image to build upon, with its digest.
    #[arg(long, value_name = "REFERENCE", env = "MAREA_FRONTEND_BASE")]
    pub base: Option<String>,
    /// frontend: the machines that it is for.
    #[arg(long, value_enum, default_value = "amd64")]
    pub architecture: ArchitectureName,
    /// Where the layout goes; target/images/NAME of the repository without it.
    #[arg(long, short, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArchitectureName {
    Amd64,
    Arm64,
}

#[derive(Args, Debug)]
pub struct Push {
    #[arg(value_enum)]
    pub image: ImageName,
    /// REGISTRY/REPOSITORY:TAG
    pub reference: String,
    /// A repository of the same registry whose layers are taken over without sending them.
    #[arg(long, value_name = "REPOSITORY")]
    pub mount_from: Option<String>,
    /// Where the layout is; target/images/NAME of the repository without it.
    #[arg(long, value_name = "FOLDER")]
    pub layout: Option<PathBuf>,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

impl From<OciError> for CliError {
    fn from(error: OciError) -> CliError {
        let exit = match &error {
            OciError::Reference { .. }
            | OciError::Program { .. }
            | OciError::Layout { .. }
            | OciError::Platform { .. } => Exit::BadInput,
            OciError::Refused { status: 401 | 403, .. } => Exit::NotAllowed,
            _ => Exit::Failed,
        };
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        CliError::new(exit, format!("{error}{cause}")).advice(error.advice())
    }
}

pub async fn run(command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Build(args) => build(args).await,
        ImageCommand::Push(args) => push(args).await,
    }
}

async fn build(args: &Build) -> Result<()> {
    let project = Project::find()?;
    let folder = args.image.layout(&project, args.output.as_deref());
    let terminal = Terminal::new();
    let image = match args.image {
        ImageName::Backend => backend(args, &project, &folder, &terminal).await?,
        ImageName::Frontend => frontend(args, &project, &folder, &terminal).await?,
    };
    terminal.clear();
    let name = args.image.name();
    if args.json {
        print_json(&json!({"image": name, "digest": image.manifest.digest, "bytes": image.size, "layout": folder}));
        return Ok(());
    }
    print(&format!("{name}: {} ({}) in {}", image.manifest.digest, mebibytes(image.size), folder.display()));
    note(&format!("`marea image push {name} REGISTRY/{name}:TAG` sends it to a registry."));
    Ok(())
}

async fn backend(args: &Build, project: &Project, folder: &Path, reporter: &dyn Reporter) -> Result<Image> {
    if args.base.is_some() && std::env::var_os("MAREA_FRONTEND_BASE").is_none() {
        return Err(CliError::bad_input(
            "--base is for the frontend: the backend's image holds its program and nothing else",
        )
        .advice("Leave it out."));
    }
    let path = match &args.program {
        Some(path) => path.clone(),
        None => compile::compile(project, reporter).await?,
    };
    let program = Program::read(&path)?;
    let mut layer = Layer::default();
    // Programs that ask who they are find a name.
    layer
        .file("etc/passwd", false, *b"marea:x:10001:10001:marea:/:/sbin/nologin\n")
        .file("etc/group", false, *b"marea:x:10001:\n")
        .file("marea-backend", true, program.bytes);
    let contents = Contents {
        layer,
        architecture: program.architecture,
        user: "10001:10001".to_owned(),
        entrypoint: vec!["/marea-backend".to_owned()],
        stop_signal: "SIGTERM".to_owned(),
        ..common(project, args.image)?
    };
    Ok(Image::build(&contents, None, args.image.name(), &Layout::create(folder)?)?)
}

async fn frontend(args: &Build, project: &Project, folder: &Path, reporter: &dyn Reporter) -> Result<Image> {
    if args.program.is_some() {
        return Err(CliError::bad_input("--program is for the backend").advice("Leave it out."));
    }
    let dist = project.root.join("frontend/dist");
    if !dist.join("index.html").is_file() {
        return Err(CliError::bad_input(format!("{} holds no built console", dist.display()))
            .advice("Build it first: `cd frontend && npm ci && npm run build`."));
    }
    let base = args.base.as_deref().ok_or_else(|| {
        CliError::bad_input("the frontend's image needs an nginx image to build upon, and none is named")
            .advice("Name it with its digest: `--base docker.io/nginxinc/nginx-unprivileged:1.29-alpine@sha256:…`; without the digest, the command says which one it is today.")
    })?;
    let reference = Reference::parse(base)?;
    let registry = Registry::new(&reference, Credential::find(&reference.registry)?)?;
    if reference.digest.is_none() {
        let digest = registry.resolve(&reference).await?;
        let pinned = Reference { digest: Some(digest), ..reference };
        return Err(CliError::bad_input(format!("`{base}` has no digest, so it could be another image tomorrow"))
            .advice(format!("Today it is `--base {pinned}`.")));
    }
    let architecture = match args.architecture {
        ArchitectureName::Amd64 => Architecture::Amd64,
        ArchitectureName::Arm64 => Architecture::Arm64,
    };
    let layout = Layout::create(folder)?;
    reporter.status(&format!("pulling {base}"));
    let base = Base::pull(&registry, &reference, architecture, &layout).await?;
    let mut layer = Layer::default();
    layer.folder("usr/share/nginx/html", &dist)?.folder("opt/marea", &project.root.join("frontend/container"))?;
    let contents = Contents {
        layer,
        architecture,
        user: "101:101".to_owned(),
        entrypoint: vec!["/opt/marea/start.sh".to_owned()],
        // start.sh ends nginx gracefully on either; SIGQUIT, which nginx images name, would only reach the shell.
        stop_signal: "SIGTERM".to_owned(),
        ..common(project, args.image)?
    };
    Ok(Image::build(&contents, Some(&base), args.image.name(), &layout)?)
}

/// What both images have, with what each must still say left empty.
fn common(project: &Project, image: ImageName) -> Result<Contents> {
    let commit = git::commit(&project.root);
    let created = created(project, commit.as_deref(), std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?;
    let mut labels = BTreeMap::new();
    let mut label =
        |name: &str, value: &str| labels.insert(format!("org.opencontainers.image.{name}"), value.to_owned());
    label("title", &format!("marea-{}", image.name()));
    label("version", env!("CARGO_PKG_VERSION"));
    label("licenses", "Apache-2.0");
    label("created", &created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    if let Some(commit) = &commit {
        label("revision", commit);
    }
    Ok(Contents {
        layer: Layer::default(),
        architecture: Architecture::Amd64,
        created,
        created_by: format!("marea {} image build {}", env!("CARGO_PKG_VERSION"), image.name()),
        user: String::new(),
        entrypoint: Vec::new(),
        env: Vec::new(),
        port: 8080,
        stop_signal: String::new(),
        labels,
    })
}

/// The commit's date, so that one commit makes one digest; 1970 outside a repository.
fn created(project: &Project, commit: Option<&str>, epoch: Option<&str>) -> Result<Timestamp> {
    if let Some(epoch) = epoch {
        let time = epoch.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        return time.ok_or_else(|| {
            CliError::bad_input(format!("SOURCE_DATE_EPOCH is `{epoch}`"))
                .advice("It is the number of seconds since 1970: `git log -1 --format=%ct`.")
        });
    }
    let commits = commit.and_then(|commit| git::commits_between(&project.root, None, commit)).unwrap_or_default();
    Ok(commits.first().map_or(Timestamp::UNIX_EPOCH, |commit| commit.at))
}

async fn push(args: &Push) -> Result<()> {
    let project = Project::find()?;
    let reference = Reference::parse(&args.reference)?;
    if reference.tag.is_none() || reference.digest.is_some() {
        return Err(CliError::bad_input(format!("`{}` is not REGISTRY/REPOSITORY:TAG", args.reference))
            .advice("An image is pushed under a tag of its own; its digest follows from what is in it."));
    }
    let folder = args.image.layout(&project, args.layout.as_deref());
    let layout = Layout::open(&folder).map_err(|error| {
        let name = args.image.name();
        CliError::from(error).advice(format!("Build it first: `marea image build {name}`."))
    })?;
    let registry = Registry::new(&reference, Credential::find(&reference.registry)?)?;
    let terminal = Terminal::new();
    let mut blobs = Vec::new();
    terminal.status(&format!("pushing {reference}"));
    let digest = registry
        .push(&layout, &reference, args.mount_from.as_deref(), |blob, placed| {
            let how = match placed {
                Placed::Existed => "there already",
                Placed::Mounted => "mounted",
                Placed::Uploaded => "sent",
            };
            terminal.line(&format!("{} {:>10}  {how}", &blob.digest.hex()[..12], mebibytes(blob.size)));
            blobs.push(json!({"digest": blob.digest, "bytes": blob.size, "placed": how}));
        })
        .await?;
    terminal.clear();
    if args.json {
        print_json(&json!({"reference": reference.to_string(), "digest": digest, "blobs": blobs}));
    } else {
        print(&format!("{reference}@{digest}"));
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{:.1} KiB", bytes as f64 / 1024.0)
    } else {
        format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_epoch_that_is_given_or_the_commits() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project { root: folder.path().to_owned(), here: None };
        assert_eq!(created(&project, None, Some("12")).unwrap().as_second(), 12);
        assert_eq!(created(&project, None, None).unwrap().as_second(), 0);
        assert_eq!(created(&project, None, Some("soon")).unwrap_err().exit, Exit::BadInput);
    }

    #[test]
    fn sizes_are_told_in_two_units() {
        assert_eq!((mebibytes(1536).as_str(), mebibytes(13 << 20).as_str()), ("1.5 KiB", "13.0 MiB"));
    }
}
