//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use local_cloud::isolation::Choice as Isolation;

const EXIT_CODES: &str = "Exit codes:
  0 done · 1 failed · 2 bad usage or input · 3 would change (preview, drift) or findings (check) · 4 interrupted · 5 not allowed";

#[derive(Parser, Debug)]
#[command(
    name = "marea",
    about = "Bring an autoscaling AKS platform up on a laptop, plan it, and ship the same three stacks to Azure.",
    disable_version_flag = true,
    after_help = format!("Examples:\n  marea up                       everything, in the local cloud\n  marea preview --env production what would change in Azure\n  marea status --watch           pools, pods and autoscalers as they move\n  marea explain hpa/backend      why it scaled, or why not\n\n{EXIT_CODES}")
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make the stacks as declared: all of them in order, or one.
    #[command(
        after_help = "Examples:\n  marea up\n  marea up db --env production\n  marea up --atomic --json\n  marea up deploy --env production --target kube:staging"
    )]
    Up(Up),
    /// Show what `up` would change. Exit code 3 if anything.
    #[command(
        after_help = "Examples:\n  marea preview\n  marea preview db --env production\n  marea preview --json || test $? -eq 3"
    )]
    Preview(Preview),
    /// Show what differs from what was declared, because somebody changed it. Exit code 3 if anything.
    #[command(after_help = "Examples:\n  marea drift\n  marea drift deploy && echo nobody touched it")]
    Drift(Drift),
    /// Print the stacks' outputs.
    #[command(after_help = "Examples:\n  marea outputs\n  marea outputs db --json")]
    Outputs(StackArgs),
    /// Print what was deployed, when, from which commit.
    #[command(after_help = "Examples:\n  marea history\n  marea history deploy --json")]
    History(StackArgs),
    /// How often, how quickly and how safely the platform is deployed: the four DORA metrics, from ARM's own records.
    Dora(crate::stacks::dora::Dora),
    /// Delete the stacks, the last first. Refuses to delete the database without --delete-data.
    #[command(
        after_help = "Examples:\n  marea destroy base             the cluster; the database and its rows stay\n  marea destroy --delete-data    everything, for good"
    )]
    Destroy(Destroy),
    /// Encrypted values in the stacks' files.
    #[command(subcommand)]
    Secret(Secret),
    /// The embedded cloud on this machine.
    #[command(subcommand)]
    Local(Local),
    /// Pools, autoscalers and stacks as they are.
    #[command(after_help = "Examples:\n  marea status\n  marea status --watch\n  marea status --json")]
    Status(Status),
    /// Why an autoscaler, a pod or a pool is as it is.
    #[command(
        after_help = "Examples:\n  marea explain hpa/backend\n  marea explain pod/backend-6d5f9c7b4-x2x8z\n  marea explain pool/backend --last 20\n  marea explain --at 14:03                       every autoscaler and pool at that instant\n  marea explain hpa/backend --at 10m --json\n  marea explain hpa/backend --at 2d14:03 --timeline decisions.jsonl"
    )]
    Explain(Explain),
    /// Faults of the platform, or of any folder of manifests, before anything is deployed. Exit code 3 if any.
    Check(crate::commands::check::CheckArgs),
    /// Decide from JSON of real Kubernetes objects on standard input; JSON lines on standard output.
    #[command(
        after_help = "Examples:\n  marea decide hpa < scenario.json\n  kubectl get nodes,pods -A -o json | jq … | marea decide schedule"
    )]
    Decide(Decide),
    /// What the platform costs in a month, beside what its specification says.
    Cost(crate::commands::cost::CostArgs),
    /// The prices behind `marea cost`.
    #[command(subcommand)]
    Price(crate::commands::price::PriceCommand),
    /// The platform's container images, without a container engine.
    #[command(subcommand)]
    Image(crate::commands::image::ImageCommand),
    /// Print the stacks in another tool's format.
    #[command(
        after_help = "Examples:\n  marea export arm base > base.json\n  marea export pulumi --write    into the stacks' folders"
    )]
    Export(Export),
    /// What the platform would do under a load: a month in a moment, with the decisions of the live controllers.
    #[command(
        after_help = "Examples:\n  marea simulate --trace requests.csv --report plan.html\n  marea simulate --scenario shop.yaml --json\n  marea simulate --scenario shop.yaml --set backend.hpa.cpu=60 --set base.nodePools.backend.max=4 --timeline decisions.jsonl\n\nThe fields of a scenario: docs/guides/simulate.md"
    )]
    Simulate(crate::commands::simulate::Simulate),
    /// Look for settings that cost less and serve as well, and prove them on traffic held back.
    Tune(crate::commands::tune::Tune),
    /// Compare two revisions under the same traffic; fail what breaks the objective or the budget.
    Gate(crate::commands::gate::Gate),
    /// Put load on the platform of this machine.
    Load(crate::load::Args),
    /// Find out on a real cloud how like it the embedded one is.
    #[command(subcommand)]
    Verify(crate::commands::verify::Verify),
    /// Print the versions of marea and of what it emulates.
    #[command(after_help = "Examples:\n  marea version\n  marea version --json")]
    Version(Json),
    /// Print the completion script of a shell.
    #[command(after_help = "Examples:\n  marea completion bash > ~/.local/share/bash-completion/completions/marea")]
    Completion {
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum StackName {
    Base,
    Db,
    Deploy,
}

impl StackName {
    pub const ALL: [StackName; 3] = [StackName::Base, StackName::Db, StackName::Deploy];

    pub fn name(self) -> &'static str {
        match self {
            StackName::Base => "base",
            StackName::Db => "db",
            StackName::Deploy => "deploy",
        }
    }

    pub fn folder(self) -> &'static str {
        match self {
            StackName::Base => infrastructure_k8s_base::FOLDER,
            StackName::Db => infrastructure_k8s_db::FOLDER,
            StackName::Deploy => infrastructure_k8s_deploy::FOLDER,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct StackArgs {
    /// Only this stack; without it the stack of the current folder, or all.
    pub stack: Option<StackName>,
    /// Which stack.<ENV>.yaml.
    #[arg(long, default_value = "local", env = "MAREA_ENV")]
    pub env: String,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Another cluster than that of the stack `base`.
#[derive(Args, Clone, Debug, Default)]
pub struct Elsewhere {
    /// A cluster of your kubeconfig for the stack `deploy`, in place of the one that `base` made.
    #[arg(long = "target", value_name = "kube:CONTEXT", value_parser = kube_context)]
    pub context: Option<String>,
}

fn kube_context(text: &str) -> Result<String, String> {
    match text.strip_prefix("kube:") {
        Some(context) if !context.is_empty() => Ok(context.to_owned()),
        _ => Err("it is `kube:` and the name of a context of your kubeconfig; which cloud an environment is for stands in its stack.<ENV>.yaml".to_owned()),
    }
}

#[derive(Args, Debug)]
pub struct Drift {
    #[command(flatten)]
    pub stacks: StackArgs,
    #[command(flatten)]
    pub elsewhere: Elsewhere,
}

#[derive(Args, Debug)]
pub struct Up {
    #[command(flatten)]
    pub stacks: StackArgs,
    #[command(flatten)]
    pub elsewhere: Elsewhere,
    /// Go ahead without asking. Nothing is asked in a pipe or for the local cloud.
    #[arg(long, short)]
    pub yes: bool,
    /// Return to the last release if the rollout fails.
    #[arg(long)]
    pub atomic: bool,
    /// How a local cloud that is not there yet runs pods: `sandbox` as containers in networks of their own, `none` as plain
    /// processes, `auto` (the default) as a sandbox where this machine allows one.
    #[arg(long, env = "MAREA_ISOLATION")]
    pub isolation: Option<Isolation>,
    /// Deploy what Azure documents as unsupported.
    #[arg(long)]
    pub allow_unsupported: bool,
}

#[derive(Args, Debug)]
pub struct Preview {
    #[command(flatten)]
    pub stacks: StackArgs,
    #[command(flatten)]
    pub elsewhere: Elsewhere,
    /// Preview what Azure documents as unsupported.
    #[arg(long)]
    pub allow_unsupported: bool,
    /// Show it in the platform's console too, until the next `marea up` that changes something.
    #[arg(long, conflicts_with = "context")]
    pub publish: bool,
}

#[derive(Args, Debug)]
pub struct Destroy {
    #[command(flatten)]
    pub stacks: StackArgs,
    #[command(flatten)]
    pub elsewhere: Elsewhere,
    /// Go ahead without asking.
    #[arg(long, short)]
    pub yes: bool,
    /// Delete the database and its data too.
    #[arg(long, conflicts_with = "context")]
    pub delete_data: bool,
}

#[derive(Args, Debug)]
pub struct Json {
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
pub enum Secret {
    /// Encrypt a value, read from standard input, into the stack's file.
    #[command(
        after_help = "Examples:\n  printf %s VALUE | marea secret set apiToken --stack deploy\n  marea secret set databasePassword --env production < password.txt"
    )]
    Set(SecretName),
    /// Print a decrypted value.
    #[command(after_help = "Examples:\n  marea secret get databasePassword")]
    Get(SecretName),
    /// Names and recipients; no values.
    #[command(after_help = "Examples:\n  marea secret list\n  marea secret list db --env production --json")]
    List(StackArgs),
    /// Make a new database password and apply it.
    #[command(after_help = "Examples:\n  marea secret rotate\n  marea secret rotate --env production --no-apply")]
    Rotate(Rotate),
    /// Print this machine's recipient, for `secrets.recipients`.
    #[command(after_help = "Examples:\n  marea secret recipient")]
    Recipient,
}

#[derive(Args, Debug)]
pub struct SecretName {
    pub name: String,
    /// The stack whose file holds it.
    #[arg(long, default_value = "db")]
    pub stack: StackName,
    #[arg(long, default_value = "local", env = "MAREA_ENV")]
    pub env: String,
}

#[derive(Args, Debug)]
pub struct Rotate {
    #[arg(long, default_value = "local", env = "MAREA_ENV")]
    pub env: String,
    /// Only write the new password; the next `marea up` applies it.
    #[arg(long)]
    pub no_apply: bool,
}

#[derive(Subcommand, Debug)]
pub enum Fault {
    /// What can fail, and what is broken.
    #[command(after_help = "Examples:\n  marea local fault list\n  marea local fault list --json")]
    List(Json),
    /// End something at once: SIGKILL for programs, the plug for a machine.
    #[command(
        after_help = "Examples:\n  marea local fault kill database\n  marea local fault kill node/aks-backend-12345678-vmss000000\n  marea local fault kill pod/platform/backend-7d9f8-abcde\n  marea local fault kill cloud && marea local start"
    )]
    Kill(FaultTarget),
    /// Let something stand still until it is healed.
    #[command(
        after_help = "Examples:\n  marea local fault pause database\n  marea local fault pause node/aks-backend-12345678-vmss000000 --json"
    )]
    Pause(FaultTarget),
    /// Cut a subnet off: nothing comes in or goes out, not even on connections that exist. Its machines are lost to the
    /// control plane; what runs on them goes on among itself. In the sandbox only.
    #[command(
        after_help = "Examples:\n  marea local fault list                       names the subnets\n  marea local fault cut subnet/marea/backend"
    )]
    Cut(FaultTarget),
    /// Leave no room on the disk that Azure Resource Manager and the Kubernetes API write to: changes are refused (507, 500)
    /// and nothing that was stored is lost. The database and pods' own files have their room.
    #[command(after_help = "Examples:\n  marea local fault fill disk\n  marea local fault heal disk")]
    Fill(FaultTarget),
    /// Let every answer of Azure Resource Manager come later.
    #[command(after_help = "Examples:\n  marea local fault slow arm --seconds 5 && marea up")]
    Slow {
        #[command(flatten)]
        target: FaultTarget,
        /// By how much.
        #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=600))]
        seconds: u32,
    },
    /// Let requests to Azure Resource Manager be answered 503, before anything is done for them.
    #[command(
        after_help = "Examples:\n  marea local fault fail arm                every request\n  marea local fault fail arm --percent 30   spread evenly; clients try again"
    )]
    Fail {
        #[command(flatten)]
        target: FaultTarget,
        /// Of a hundred requests, how many.
        #[arg(long, default_value = "100", value_parser = clap::value_parser!(u8).range(1..=100))]
        percent: u8,
    },
    /// End a fault, or all of them: paused things go on, machines boot again, there is room on the disk.
    #[command(
        after_help = "All but a paused cloud or database also ends when the cloud is started again.\n\nExamples:\n  marea local fault heal\n  marea local fault heal node/aks-backend-12345678-vmss000000"
    )]
    Heal {
        /// What `marea local fault list` names; without one everything is healed.
        target: Option<local_cloud::fault::Target>,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Args, Debug)]
pub struct FaultTarget {
    /// `cloud` (the process of Azure Resource Manager, the Kubernetes API and its controllers), `database[/NAME]`,
    /// `node/NAME`, `pod/NAMESPACE/NAME`, `subnet/NETWORK/NAME`, `arm` or `disk`; `marea local fault list` names them.
    pub target: local_cloud::fault::Target,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Subcommand, Debug)]
pub enum Local {
    /// Start the local cloud in the background.
    #[command(after_help = "Examples:\n  marea local start\n  marea local start --realistic")]
    Start {
        /// Machines take as long to boot as AKS's, about two minutes.
        #[arg(long)]
        realistic: bool,
        /// `sandbox`, `none` or `auto` (the default); a cloud keeps what it was made with.
        #[arg(long, env = "MAREA_ISOLATION")]
        isolation: Option<Isolation>,
    },
    /// Stop it; what it holds stays.
    #[command(after_help = "Examples:\n  marea local stop")]
    Stop,
    /// Whether it runs, and where.
    #[command(after_help = "Examples:\n  marea local status\n  marea local status --json")]
    Status(Json),
    /// Print its log.
    #[command(after_help = "Examples:\n  marea local logs\n  marea local logs --follow")]
    Logs {
        /// Go on printing.
        #[arg(long, short)]
        follow: bool,
    },
    /// Print a kubeconfig for kubectl.
    #[command(
        after_help = "Examples:\n  export KUBECONFIG=$(marea local kubeconfig --path)\n  marea local kubeconfig > kubeconfig.yaml"
    )]
    Kubeconfig {
        /// Print the path of the file instead.
        #[arg(long)]
        path: bool,
    },
    /// Print shell exports for Azure's own clients.
    #[command(after_help = "Examples:\n  eval \"$(marea local azure-env)\"")]
    AzureEnv,
    /// Break parts of it, and heal them.
    #[command(subcommand)]
    Fault(Fault),
    /// Copy the whole cloud into one file.
    #[command(
        after_help = "The file is a gzipped tar archive with a checksum of every file. A cloud that runs stands still while it is copied.\n\
The logs of pods are not in it, what their volumes hold is.\n\
Its secrets are in it as they are on disk, with the keys that open them. Only you can read it (0600); keep it so.\n\n\
Examples:\n  marea local snapshot before-the-upgrade.tar.gz\n  marea local snapshot /backup/marea-$(date +%F).tar.gz --json"
    )]
    Snapshot {
        /// The file to make; one that exists is left alone.
        file: std::path::PathBuf,
        #[command(flatten)]
        json: Json,
    },
    /// Put a snapshot in the cloud's place.
    #[command(
        after_help = "The cloud must be stopped. The file is read and checked to its end before anything changes; then what the data directory held is gone.\n\
Another MAREA_DATA_DIR makes a second cloud of it; with `--isolation none` both use the same loopback addresses and run one at a time.\n\n\
Examples:\n  marea local restore before-the-upgrade.tar.gz\n  marea local restore before-the-upgrade.tar.gz --yes\n  MAREA_DATA_DIR=/tmp/trial marea local restore before-the-upgrade.tar.gz"
    )]
    Restore {
        /// What `marea local snapshot` made.
        file: std::path::PathBuf,
        /// Replace a cloud that is there without asking.
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Stop it and delete everything it holds.
    #[command(after_help = "Examples:\n  marea local reset\n  marea local reset --yes")]
    Reset {
        /// Go ahead without asking.
        #[arg(long, short)]
        yes: bool,
    },
    /// Run the local cloud in the foreground; its log goes to standard error.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        root: std::path::PathBuf,
        #[arg(long)]
        realistic: bool,
        #[arg(long)]
        isolation: Option<Isolation>,
    },
    /// Watch over one program of a pod; started by the local cloud.
    #[command(hide = true)]
    Shim {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

#[derive(Args, Debug)]
pub struct Status {
    /// Which stack.<ENV>.yaml.
    #[arg(long, default_value = "local", env = "MAREA_ENV")]
    pub env: String,
    /// A dashboard until `q`; in a pipe the same text again every second until interrupted.
    #[arg(long, short)]
    pub watch: bool,
    /// One JSON document (with --watch one a line).
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Explain {
    /// hpa/NAME, pod/NAME or pool/NAME; with --at it may be left out for every autoscaler and pool.
    pub object: Option<String>,
    /// What was decided by then and why, and the nearest change with another outcome: 14:03, 2026-11-26T14:03:20Z, or 10m ago.
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<String>,
    /// Explain a simulation instead, by what `marea simulate --timeline FILE` wrote; --at then counts from its start.
    #[arg(long, value_name = "FILE", requires = "at")]
    pub timeline: Option<std::path::PathBuf>,
    #[arg(long, short, default_value = "platform")]
    pub namespace: String,
    /// How many decisions, the newest last.
    #[arg(long, default_value_t = 5)]
    pub last: usize,
    /// Which stack.<ENV>.yaml.
    #[arg(long, default_value = "local", env = "MAREA_ENV")]
    pub env: String,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Decide {
    #[arg(value_enum)]
    pub what: DecideWhat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecideWhat {
    /// The timeline of one HorizontalPodAutoscaler.
    Hpa,
    /// Where one pod goes.
    Schedule,
    /// The timeline of the node pools.
    Nodes,
}

#[derive(Args, Debug)]
pub struct Export {
    #[arg(value_enum)]
    pub format: ExportFormat,
    /// Only this stack; without it the stack of the current folder, or all.
    pub stack: Option<StackName>,
    #[arg(long, default_value = "production", env = "MAREA_ENV")]
    pub env: String,
    /// Write the files into the stacks' folders instead of printing them.
    #[arg(long)]
    pub write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Azure Resource Manager templates; Kubernetes manifests for deploy.
    Arm,
    /// Pulumi's YAML runtime.
    Pulumi,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn check(command: &clap::Command, path: &str) {
        let visible: Vec<_> =
            command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help").collect();
        if visible.is_empty() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:") && help.contains(path), "`{path} --help` has no example: {help}");
        }
        for one in visible {
            assert!(one.get_about().is_some(), "`{path} {}` has no description", one.get_name());
            check(one, &format!("{path} {}", one.get_name()));
        }
    }

    #[test]
    fn every_verb_has_a_description_and_an_example_of_itself() {
        check(&Cli::command(), "marea");
    }
}
