//! Runs one job after the other, on a thread of its own beside the requests.

use super::outcome;
use super::request::{Deployed, scenario};
use super::store::{Store, Taken};
use crate::lifecycle::Lifecycle;
use backend_api::simulations::SimulationResult;
use simulate::{Options, Scenario, run_with};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// How soon a job of another replica's request is seen.
const PERIOD: Duration = Duration::from_secs(2);
/// How often the lease is renewed, a cancellation seen and the progress told.
const HEARTBEAT: Duration = Duration::from_secs(1);
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// What the requests and the worker of a replica share.
#[derive(Clone)]
pub struct Worker {
    pub store: Store,
    /// The deployed platform; nothing until the record was read.
    deployed: Arc<RwLock<Option<Arc<Deployed>>>>,
    /// There is a new job.
    wake: Arc<Notify>,
}

/// Seeds that are done, and whether nobody wants the rest.
#[derive(Default)]
struct Progress {
    done: AtomicU32,
    stop: AtomicBool,
}

impl Worker {
    pub fn new(store: Store) -> Worker {
        Worker { store, deployed: Arc::default(), wake: Arc::default() }
    }

    pub fn deployed(&self) -> Option<Arc<Deployed>> {
        self.deployed.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub fn set_deployed(&self, deployed: Option<Deployed>) {
        let mut held = self.deployed.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if held.as_deref() != deployed.as_ref() {
            *held = deployed.map(Arc::new);
        }
    }

    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Works until draining begins; what was begun then is put back for another replica.
    pub async fn run(self, pod: Arc<str>, lifecycle: Lifecycle) {
        // A pod's name comes again where pods are plain processes; its run does not.
        let name = format!("{pod}-{}", uuid::Uuid::new_v4().simple());
        let working = async {
            loop {
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(PERIOD) => {}
                }
                // Without a platform there is nothing to simulate; a replica that knows it takes the job.
                while let Some(deployed) = self.deployed() {
                    match self.store.take(&name).await {
                        Ok(Some(job)) => self.work(&name, job, deployed).await,
                        Ok(None) => break,
                        Err(error) => {
                            tracing::debug!(%error, "no job can be taken");
                            break;
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = working => {}
            () = lifecycle.drained() => {
                if let Err(error) = self.store.put_back(&name).await {
                    tracing::warn!(%error, "a simulation could not be put back; its lease ends in a while");
                }
            }
        }
    }

    async fn work(&self, name: &str, job: Taken, deployed: Arc<Deployed>) {
        let progress = Arc::new(Progress::default());
        let stop = StopWhenDropped(progress.clone());
        let (id, seeds) = (job.id.clone(), job.seeds);
        let mut running = tokio::task::spawn_blocking({
            let progress = progress.clone();
            move || simulate(&job, &deployed, &progress)
        });
        let started = tokio::time::Instant::now();
        let outcome = loop {
            tokio::select! {
                ended = &mut running => break ended.unwrap_or_else(|_| Err("an error in the simulation; the log has the details".to_owned())),
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            let share = f64::from(progress.done.load(Ordering::Relaxed)) / f64::from(seeds.max(1));
            match self.store.go_on(&id, name, share).await {
                Ok(true) if started.elapsed() < TIME_LIMIT => {}
                Ok(true) => break Err(format!("it took longer than {} s", TIME_LIMIT.as_secs())),
                // Cancelled, or another replica has it: what comes out of it is nobody's.
                Ok(false) => return,
                // The lease may outlive a short absence of PostgreSQL.
                Err(error) => tracing::warn!(%error, id, "the lease of a simulation cannot be renewed"),
            }
        };
        drop(stop);
        tracing::info!(id, took_ms = started.elapsed().as_millis() as u64, done = outcome.is_ok(), "simulated");
        if let Err(error) = self.store.finish(&id, name, &outcome).await {
            tracing::warn!(%error, id, "a simulation's result cannot be kept; it will be run again");
        }
    }
}

/// The thread sees between two seeds that it is not wanted any more, however its job ended.
struct StopWhenDropped(Arc<Progress>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

fn simulate(job: &Taken, deployed: &Deployed, progress: &Progress) -> Result<SimulationResult, String> {
    let scenario = scenario(&job.scenario, job.trace.as_deref(), deployed).map_err(|invalid| invalid.0)?;
    let first = run_with(&scenario, Options::default()).map_err(|error| error.to_string())?;
    let mut costs: Vec<f64> = first.usd_month.iter().copied().collect();
    progress.done.store(1, Ordering::Relaxed);
    for number in 1..u64::from(job.seeds) {
        if progress.stop.load(Ordering::Relaxed) {
            return Err("it was stopped".to_owned());
        }
        let scenario = Scenario { seed: scenario.seed.wrapping_add(number), ..scenario.clone() };
        costs.extend(run_with(&scenario, Options::summary()).map_err(|error| error.to_string())?.usd_month.iter());
        progress.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(outcome::result(&scenario, &first, &costs))
}
