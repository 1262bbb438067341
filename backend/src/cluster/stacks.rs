//! What the deploy stack recorded about the stacks, from its ConfigMap. It is read by name and not watched: that needs the
//! right to one object only, and stacks change when somebody deploys.

use super::watched::{Signals, client_reason};
use crate::simulations::{Deployed, Worker};
use backend_api::stacks::{
    CONFIG_MAP_KEY, CONFIG_MAP_NAME, CONFIG_MAP_NAMESPACE, PLAN_KEY, PREVIEW_KEY, Preview, StackRecord,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(10);
const PART: &str = "stacks";

/// What the ConfigMap holds for the console.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    pub records: Vec<StackRecord>,
    pub preview: Option<Preview>,
}

pub struct Stacks {
    recorded: Arc<Mutex<Recorded>>,
    task: tokio::task::JoinHandle<()>,
}

impl Stacks {
    pub fn start(client: Client, signals: &Arc<Signals>, simulations: Worker) -> Stacks {
        let recorded = Arc::new(Mutex::default());
        let task = tokio::spawn(poll(client, recorded.clone(), signals.clone(), simulations));
        Stacks { recorded, task }
    }

    pub fn current(&self) -> Recorded {
        self.recorded.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(client: Client, recorded: Arc<Mutex<Recorded>>, signals: Arc<Signals>, simulations: Worker) {
    let api: Api<ConfigMap> = Api::namespaced(client, CONFIG_MAP_NAMESPACE);
    // The plan is large: it is parsed when it is another one.
    let mut version = None;
    loop {
        match api
            .get_opt(CONFIG_MAP_NAME)
            .await
            .map_err(|error| client_reason(&error))
            .and_then(|map| Ok((parse(map.as_ref())?, map)))
        {
            Ok((fresh, map)) => {
                let now = map.as_ref().and_then(|map| map.metadata.resource_version.clone());
                if version != now {
                    simulations.set_deployed(deployed(map.as_ref()));
                    version = now;
                }
                *recorded.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
                signals.report(PART, None);
                signals.changed.notify_one();
            }
            Err(reason) => signals.report(PART, Some(reason)),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Nothing was deployed with a record yet where there is no ConfigMap.
fn parse(map: Option<&ConfigMap>) -> Result<Recorded, String> {
    Ok(Recorded { records: read(map, CONFIG_MAP_KEY)?.unwrap_or_default(), preview: read(map, PREVIEW_KEY)? })
}

fn text<'a>(map: Option<&'a ConfigMap>, key: &str) -> Option<&'a str> {
    map.and_then(|map| map.data.as_ref()?.get(key)).map(String::as_str)
}

fn read<T: serde::de::DeserializeOwned>(map: Option<&ConfigMap>, key: &str) -> Result<Option<T>, String> {
    let Some(text) = text(map, key) else { return Ok(None) };
    let wrong = |error| format!("ConfigMap {CONFIG_MAP_NAMESPACE}/{CONFIG_MAP_NAME}, key {key}: {error}");
    serde_json::from_str(text).map(Some).map_err(wrong)
}

/// A plan that does not parse leaves simulations without a platform; the rest of the console does not need it.
fn deployed(map: Option<&ConfigMap>) -> Option<Deployed> {
    match Deployed::parse(text(map, PLAN_KEY)?) {
        Ok(deployed) => Some(deployed),
        Err(error) => {
            tracing::warn!(%error, "the recorded plan cannot be read; simulations are refused");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(text: &str) -> ConfigMap {
        ConfigMap { data: Some([(CONFIG_MAP_KEY.to_owned(), text.to_owned())].into()), ..ConfigMap::default() }
    }

    #[test]
    fn stacks_are_read_from_their_config_map() {
        let map = config_map(
            r#"[{"name":"base","env":"local","commit":"abc","updatedAt":"2026-11-23T10:00:00Z","resources":7}]"#,
        );
        let stacks = parse(Some(&map)).expect("a valid list").records;
        assert_eq!((stacks[0].name.as_str(), stacks[0].resources), ("base", 7));
        assert_eq!(parse(None), Ok(Recorded::default()));
    }

    #[test]
    fn a_config_map_that_does_not_parse_is_a_gap() {
        assert!(parse(Some(&config_map("[{]"))).expect_err("not JSON").contains("platform/marea-stacks"));
    }
}
