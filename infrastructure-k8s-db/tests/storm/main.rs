//! The client under storm: calls get 429, 500, 503, resets and delays in seeded patterns, work outside fails now and then, and the
//! client is killed at any point. After re-runs everything is as without faults, and nothing was made twice.

mod dora;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use infrastructure_k8s_base::{Base, Inputs as BaseInputs, Outputs as BaseOutputs};
use infrastructure_k8s_db::{Db, Inputs as DbInputs, PASSWORD_PARAMETER};
use serde_json::Value;
use stack::arm::{Deployment, Driver, Live};
use stack::report::Silent;
use stack::secrets::Secret;
use stack::{Stack, StackFile, config};

use crate::world::{Faults, SUBSCRIPTION, World};

fn load<C: serde::de::DeserializeOwned>(folder: &str) -> C {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let file: StackFile<C> = config::load(&stack::file::path(Path::new(&root), folder, "local")).expect("a stack file");
    file.config
}

fn deployment(name: &str, template: arm_model::Template) -> Deployment {
    Deployment {
        name: name.to_owned(),
        location: "eastus".to_owned(),
        template,
        parameters: BTreeMap::new(),
        secure_parameters: BTreeMap::new(),
        tags: Default::default(),
        deny_delete: false,
    }
}

/// What `marea up` does with base and db, as one run of the program.
async fn up(world: &Arc<World>) -> Result<Live, arm_client::ArmClientError> {
    let client = world.client();
    let driver = Driver { client: &client };
    let existing = driver.live("marea-base").await?;
    let cluster_exists = existing.is_some_and(|live| live.has_type("Microsoft.ContainerService/managedClusters"));
    let inputs = BaseInputs { subscription_id: SUBSCRIPTION.into(), cluster_exists };
    let base = Base::template(&load(infrastructure_k8s_base::FOLDER), &inputs);
    let live = driver.apply(&deployment("marea-base", base), &Silent).await?;
    let outputs: BaseOutputs = live.outputs().expect("base has its outputs");
    let inputs = DbInputs {
        subscription_id: SUBSCRIPTION.into(),
        cluster_resource_group: outputs.resource_group.clone(),
        cluster_network_name: outputs.virtual_network_name.clone(),
        cluster_network_id: outputs.virtual_network_id.clone(),
        backend_subnet_prefix: outputs.backend_subnet_prefix.clone(),
        password_revision: "one".into(),
    };
    let mut db = deployment("marea-db", Db::template(&load(infrastructure_k8s_db::FOLDER), &inputs));
    db.secure_parameters.insert(PASSWORD_PARAMETER.to_owned(), Secret::new("Some-Password-0123456789"));
    driver.apply(&db, &Silent).await
}

async fn down(world: &Arc<World>) -> Result<(), arm_client::ArmClientError> {
    let client = world.client();
    let driver = Driver { client: &client };
    driver.destroy("marea-db", &Silent).await?;
    driver.destroy("marea-base", &Silent).await?;
    Ok(())
}

/// Runs until it succeeds; the first runs are killed after a time that the seed gives. Returns the number of runs.
async fn until_done<T, F>(world: &Arc<World>, seed: u64, kills: u64, run: impl Fn() -> F) -> (T, u64)
where
    F: Future<Output = Result<T, arm_client::ArmClientError>>,
{
    for attempt in 0..60 {
        let patience =
            if attempt < kills { Duration::from_millis(world.roll() % 90_000) } else { Duration::from_secs(24 * 3600) };
        match tokio::time::timeout(patience, run()).await {
            Ok(Ok(done)) => return (done, attempt + 1),
            Ok(Err(error)) => assert!(world.is_expected(&error), "seed {seed}: {error}: {}", error.advice()),
            // Killed: what it had sent goes on.
            Err(_) => {}
        }
    }
    panic!("seed {seed}: sixty runs were not enough");
}

async fn calm() -> BTreeMap<String, Value> {
    let world = World::new(0, Faults::None);
    up(&world).await.expect("without faults it succeeds");
    world.state()
}

async fn check(seeds: std::ops::Range<u64>) {
    let expected = calm().await;
    assert!(expected.len() > 10, "{:?}", expected.keys());
    let (mut total, count) = (0, seeds.end - seeds.start);
    for seed in seeds {
        let world = World::new(seed, Faults::Storm);
        let (_, runs) = until_done(&world, seed, seed % 6, || up(&world)).await;
        let found = world.state();
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "seed {seed} after {runs} runs"
        );
        for (id, body) in &expected {
            assert_eq!(&found[id], body, "seed {seed} after {runs} runs: {id}");
        }
        total += runs;
        world.assert_made_once(seed);
        if seed % 10 == 0 {
            until_done(&world, seed, 2, || down(&world)).await;
            assert_eq!(world.state(), BTreeMap::new(), "seed {seed}: something is left after destroying");
        }
    }
    assert!(total > count * 2, "the storm is too weak to prove anything: {total} runs for {count} seeds");
}

/// Virtual time: waits cost nothing.
fn storm(seeds: std::ops::Range<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(check(seeds));
}

#[test]
fn seeds_0_to_125() {
    storm(0..125);
}

#[test]
fn seeds_125_to_250() {
    storm(125..250);
}

#[test]
fn seeds_250_to_375() {
    storm(250..375);
}

#[test]
fn seeds_375_to_500() {
    storm(375..500);
}
