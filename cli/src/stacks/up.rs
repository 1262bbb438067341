//! `marea up`.
//!
//! An `up` with nothing to do must be quick, so everything that can be asked at once is asked at once: first what the ARM stacks
//! are, then what-if of both and the comparison of the manifests. A stack is applied only if that comparison, which looks at the
//! live resources and not at a record of them, shows a difference; so `up` also repairs what somebody changed.

use std::time::{Duration, Instant};

use backend_api::stacks::StackRecord;
use serde_json::{Value, json};
use stack::arm::{Deployment, Live};
use stack::cluster::{self, Cluster, Plan, Release};
use stack::history as record;
use stack::{Change, Reporter};

use super::db::Password;
use super::deploy::Deploy;
use super::{Declared, Known, base, db, elsewhere, history, programs, record as recorded, serving};
use crate::args::{StackName, Up};
use crate::cloud;
use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::session::Session;
use crate::terminal::{Terminal, confirm, print, print_json, seconds};

/// What became of one stack.
pub struct Outcome {
    pub stack: StackName,
    pub changes: Vec<Change>,
    pub duration: Duration,
}

impl Outcome {
    pub(super) fn summary(&self) -> String {
        super::preview::count(&self.changes)
    }
}

struct Work<'a> {
    session: &'a Session,
    reporter: &'a dyn Reporter,
    declared: Declared,
    selection: Vec<StackName>,
    args: &'a Up,
    known: Known,
    /// Something was changed in this run, so later comparisons made before it no longer hold.
    changed: bool,
    outcomes: Vec<Outcome>,
}

pub async fn run(args: &Up) -> Result<Exit> {
    if let Some(context) = &args.elsewhere.context {
        return elsewhere::up(args, context).await;
    }
    let project = Project::find()?;
    let selection = project.selection(args.stacks.stack);
    let declared = Declared::load(&project, &args.stacks.env, args.allow_unsupported)?;
    if Session::is_for_this_machine(&project, &args.stacks.env)? {
        programs::check(&project, &selection, &declared.deploy)?;
    }
    let terminal = Terminal::new();
    if args.isolation.is_some() && Session::is_for_this_machine(&project, &args.stacks.env)? {
        cloud::ensure_running(&terminal, args.isolation).await?;
    }
    let session = Session::open(project, &args.stacks.env, true, &terminal).await?;
    let known = read_known(&session).await?;
    let mut work = Work {
        session: &session,
        reporter: &terminal,
        declared,
        selection,
        args,
        known,
        changed: false,
        outcomes: Vec::new(),
    };
    let url = work.run().await?;
    terminal.clear();
    let elapsed = terminal.elapsed();
    if args.stacks.json {
        print_json(&report(&work.outcomes, url.as_deref(), elapsed));
        return Ok(Exit::Done);
    }
    for outcome in &work.outcomes {
        print(&format!("{:<7} {} ({})", outcome.stack.name(), outcome.summary(), seconds(outcome.duration)));
    }
    if let Some(url) = url {
        print(&if session.is_local() { cloud::console_line(&url) } else { format!("Console: {url}") });
    }
    print(&format!("Done in {}", seconds(elapsed)));
    Ok(Exit::Done)
}

pub(super) fn report(outcomes: &[Outcome], url: Option<&str>, elapsed: Duration) -> Value {
    let stacks: Vec<Value> = outcomes
        .iter()
        .map(|outcome| json!({"stack": outcome.stack.name(), "changes": outcome.changes, "seconds": outcome.duration.as_secs_f64()}))
        .collect();
    json!({"stacks": stacks, "console": url, "changed": outcomes.iter().any(|outcome| !outcome.changes.is_empty()), "seconds": elapsed.as_secs_f64()})
}

/// The two ARM stacks as they are.
pub async fn read_known(session: &Session) -> Result<Known> {
    let (base, db) = tokio::try_join!(session.live(StackName::Base), session.live(StackName::Db))?;
    Ok(Known { base, db })
}

/// What all comparisons made at once found; absent where the inputs were not there yet.
#[derive(Default)]
struct Comparisons {
    base: Option<Vec<Change>>,
    db: Option<Vec<Change>>,
    deploy: Option<(Cluster, Plan)>,
}

impl Work<'_> {
    fn has(&self, stack: StackName) -> bool {
        self.selection.contains(&stack)
    }

    async fn run(&mut self) -> Result<Option<String>> {
        let needs_password = self.has(StackName::Db) || self.has(StackName::Deploy);
        let password = if needs_password { Some(db::password(self.session, self.has(StackName::Db))?) } else { None };
        let mut found = self.compare(password.as_ref()).await?;
        self.ask(&found)?;

        if self.has(StackName::Base) {
            let deployment = base::deployment(self.session, &self.declared.base, self.known.base.as_ref());
            self.known.base =
                Some(self.apply_arm(StackName::Base, &deployment, self.known.base.clone(), found.base.take()).await?);
        }
        if let (true, Some(password)) = (self.has(StackName::Db), &password) {
            let deployment = db::deployment(self.session, &self.declared.db, &self.known.need_base()?, password);
            let repaired =
                self.known.db.is_some() && db::repair_peering(self.session, &self.declared.db, self.reporter).await?;
            let comparison = found.db.take().filter(|_| !self.changed && !repaired);
            self.known.db = Some(self.apply_arm(StackName::Db, &deployment, self.known.db.clone(), comparison).await?);
        }
        let Some(password) = password.filter(|_| self.has(StackName::Deploy)) else { return Ok(None) };
        let (cluster, plan) = match found.deploy.take().filter(|_| !self.changed) {
            Some(found) => found,
            None => plan(self.session, &self.known, &self.declared.deploy, &password).await?,
        };
        let changed = self.apply_manifests(&cluster, plan).await?;
        let paths = self.declared.deploy.config.public_paths();
        serving::wait(self.session, &cluster, paths, changed || self.changed, self.reporter).await
    }

    /// Asks everything at once. Comparisons whose inputs do not exist yet are left out.
    async fn compare(&self, password: Option<&Password>) -> Result<Comparisons> {
        let base = async {
            match (&self.known.base, self.has(StackName::Base)) {
                (Some(live), true) if live.succeeded() => {
                    let deployment = base::deployment(self.session, &self.declared.base, Some(live));
                    Ok(Some(self.session.driver().preview(&deployment, Some(live)).await?))
                }
                _ => Ok::<_, CliError>(None),
            }
        };
        let db = async {
            match (&self.known.db, self.known.base_outputs(), password) {
                (Some(live), Some(outputs), Some(password)) if live.succeeded() && self.has(StackName::Db) => {
                    let deployment = db::deployment(self.session, &self.declared.db, &outputs, password);
                    Ok(Some(self.session.driver().preview(&deployment, Some(live)).await?))
                }
                _ => Ok::<_, CliError>(None),
            }
        };
        let manifests = async {
            match password.filter(|_| self.has(StackName::Deploy)) {
                Some(password) if self.known.base_outputs().is_some() && self.known.db_outputs().is_some() => {
                    // The cluster may be what is broken; then the base stack's own comparison says so, and this is asked again later.
                    Ok(plan(self.session, &self.known, &self.declared.deploy, password).await.ok())
                }
                _ => Ok::<_, CliError>(None),
            }
        };
        let (base, db, deploy) = tokio::try_join!(base, db, manifests)?;
        Ok(Comparisons { base, db, deploy })
    }

    /// On a terminal, a change to Azure is shown and confirmed first.
    fn ask(&self, found: &Comparisons) -> Result<()> {
        if self.session.is_local() || self.args.yes {
            return Ok(());
        }
        let none = Vec::new();
        let plan = found.deploy.as_ref().map_or(&none, |(_, plan)| &plan.changes);
        for change in found.base.iter().flatten().chain(found.db.iter().flatten()).chain(plan) {
            self.reporter.line(&change.to_string());
        }
        if confirm(&format!("Apply to {}?", self.session.environment)) {
            return Ok(());
        }
        Err(CliError::new(Exit::NotAllowed, "nothing was changed: it was not confirmed")
            .advice("`marea preview` shows the changes; --yes applies them without asking."))
    }

    /// Applies a deployment unless the comparison says that nothing differs. Without a comparison made before, it is made now,
    /// except for a stack that does not exist or did not finish.
    async fn apply_arm(
        &mut self,
        stack: StackName,
        deployment: &Deployment,
        live: Option<Live>,
        comparison: Option<Vec<Change>>,
    ) -> Result<Live> {
        let start = Instant::now();
        let finished = live.clone().filter(Live::succeeded);
        let changes = match (comparison, &finished) {
            (Some(changes), _) => changes,
            (None, Some(live)) => self.session.driver().preview(deployment, Some(live)).await?,
            (None, None) => Vec::new(),
        };
        if let Some(live) = finished.filter(|_| changes.is_empty()) {
            self.outcomes.push(Outcome { stack, changes, duration: start.elapsed() });
            return Ok(live);
        }
        self.reporter.status(&format!("{}: deploying", stack.name()));
        let applied = match self.session.driver().apply(deployment, self.reporter).await {
            Ok(applied) => applied,
            Err(error) => {
                let error = CliError::from(error);
                self.note_failure(stack, start.elapsed(), &error, Failure::Stays).await;
                return Err(error);
            }
        };
        let changes = if changes.is_empty() { created(&applied) } else { changes };
        let outcome = Outcome { stack, changes, duration: start.elapsed() };
        self.reporter.line(&format!("{}: {} in {}", stack.name(), outcome.summary(), seconds(outcome.duration)));
        let mut known = self.known.clone();
        match stack {
            StackName::Base => known.base = Some(applied.clone()),
            _ => known.db = Some(applied.clone()),
        }
        self.note_history(&outcome, &known).await;
        self.outcomes.push(outcome);
        self.changed = true;
        Ok(applied)
    }

    async fn apply_manifests(&mut self, cluster: &Cluster, plan: Plan) -> Result<bool> {
        let start = Instant::now();
        let result = self.roll_out(cluster, &plan).await;
        if let Err(error) = result {
            let (duration, failed_at) = (start.elapsed(), Instant::now());
            let (error, failure) = if self.args.atomic {
                let (error, restored) = roll_back(cluster, &self.declared.deploy, error, self.reporter).await;
                (error, if restored { Failure::RolledBack(failed_at.elapsed()) } else { Failure::Stays })
            } else {
                (error, Failure::Stays)
            };
            self.note_failure(StackName::Deploy, duration, &error, failure).await;
            return Err(error);
        }
        let changed = !plan.is_empty();
        let outcome = Outcome { stack: StackName::Deploy, changes: plan.changes.clone(), duration: start.elapsed() };
        if changed {
            let number = Release::store(cluster, &plan.manifests, self.session.commit.as_deref()).await?;
            self.reporter.line(&format!(
                "deploy: {} in {} (release {number})",
                outcome.summary(),
                seconds(outcome.duration)
            ));
            self.note_history(&outcome, &self.known.clone()).await;
        }
        self.outcomes.push(outcome);
        if changed || self.changed {
            let deployed = recorded::plan(self.session, &self.declared, &self.known, &plan.manifests)?;
            recorded::write(cluster, &self.records(plan.manifests.len()), &deployed).await?;
        }
        Ok(changed)
    }

    async fn roll_out(&self, cluster: &Cluster, plan: &Plan) -> Result<()> {
        if !plan.is_empty() {
            cluster::apply(cluster, plan, self.reporter).await?;
        }
        Ok(cluster::wait_for_rollouts(cluster, self.declared.deploy.rollout_patience(), self.reporter).await?)
    }

    fn records(&self, objects: usize) -> Vec<StackRecord> {
        let count = |live: &Option<Live>| live.as_ref().map_or(0, |live| live.resources.len());
        let changes =
            |stack: StackName| self.outcomes.iter().find(|one| one.stack == stack).map_or(&[][..], |one| &one.changes);
        [
            (StackName::Base, count(&self.known.base)),
            (StackName::Db, count(&self.known.db)),
            (StackName::Deploy, objects),
        ]
        .map(|(stack, resources)| recorded::of_stack(self.session, stack, resources, changes(stack)))
        .into()
    }

    /// The history is for people; that it could not be written does not undo what was deployed.
    async fn note_history(&self, outcome: &Outcome, known: &Known) {
        let (stack, succeeded) = (outcome.stack, record::Outcome::Succeeded);
        if let Err(error) =
            history::record(self.session, stack, known, outcome.duration, &outcome.summary(), succeeded).await
        {
            self.reporter.line(&format!(
                "{}: deployed, but its entry in the history could not be written: {}",
                stack.name(),
                error.message
            ));
        }
    }

    /// What failed counts in `marea dora`. Where ARM does not even take the entry, the error itself says enough.
    async fn note_failure(&self, stack: StackName, duration: Duration, error: &CliError, failure: Failure) {
        let outcome = match failure {
            Failure::Stays => record::Outcome::Failed,
            Failure::RolledBack(restored) => record::Outcome::RolledBack { restored },
        };
        let summary = error.message.lines().next().unwrap_or_default();
        let _ = history::record(self.session, stack, &self.known, duration, summary, outcome).await;
    }
}

/// What became of a failed deployment.
enum Failure {
    Stays,
    /// The last release is back, this long after the failure.
    RolledBack(Duration),
}

/// After a first deployment ARM itself says what there is.
fn created(live: &Live) -> Vec<Change> {
    live.resources
        .iter()
        .map(|id| Change {
            kind: stack::ChangeKind::Create,
            target: id.rsplit("/providers/").next().unwrap_or(id).to_owned(),
            properties: Vec::new(),
        })
        .collect()
}

pub async fn plan(session: &Session, known: &Known, deploy: &Deploy, password: &Password) -> Result<(Cluster, Plan)> {
    let cluster = session.cluster(&known.need_base()?.cluster_id).await?;
    let plan = cluster::plan(&cluster, deploy.manifests(session, &known.need_db()?, password)?).await?;
    Ok((cluster, plan))
}

/// Applies the last release again; says whether it is back. The error of the failed rollout stays the error of the command.
pub(super) async fn roll_back(
    cluster: &Cluster,
    deploy: &Deploy,
    error: CliError,
    reporter: &dyn Reporter,
) -> (CliError, bool) {
    let result = async {
        let Some(release) = Release::latest(cluster).await? else { return Ok(None) };
        reporter.line(&format!("deploy: {}", error.message));
        reporter.line(&format!("deploy: returning to release {}", release.number));
        let plan = cluster::plan_rollback(cluster, release.manifests).await?;
        cluster::apply(cluster, &plan, reporter).await?;
        cluster::wait_for_rollouts(cluster, deploy.rollout_patience(), reporter).await?;
        Ok::<_, CliError>(Some(release.number))
    };
    let result = result.await;
    let restored = matches!(result, Ok(Some(_)));
    let error = match result {
        Ok(Some(number)) => CliError { message: format!("{}; release {number} was restored", error.message), ..error }
            .advice("The platform runs that release again. Correct what is named above and run `marea up` again."),
        Ok(None) => {
            CliError { message: format!("{}; there is no earlier release to return to", error.message), ..error }
        }
        Err(second) => CliError {
            message: format!("{}; returning to the last release failed too: {}", error.message, second.message),
            ..error
        },
    };
    (error, restored)
}
