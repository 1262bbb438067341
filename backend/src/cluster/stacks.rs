//! What the deploy stack recorded about the stacks, from its ConfigMap. It is read by name and not watched: that needs the
//! right to one object only, and stacks change when somebody deploys.

use super::watched::{Signals, client_reason};
use backend_api::stacks::{CONFIG_MAP_KEY, CONFIG_MAP_NAME, CONFIG_MAP_NAMESPACE, StackRecord};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(10);
const PART: &str = "stacks";

pub struct Stacks {
    records: Arc<Mutex<Vec<StackRecord>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Stacks {
    pub fn start(client: Client, signals: &Arc<Signals>) -> Stacks {
        let records = Arc::new(Mutex::default());
        let task = tokio::spawn(poll(client, records.clone(), signals.clone()));
        Stacks { records, task }
    }

    pub fn current(&self) -> Vec<StackRecord> {
        self.records.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(client: Client, records: Arc<Mutex<Vec<StackRecord>>>, signals: Arc<Signals>) {
    let api: Api<ConfigMap> = Api::namespaced(client, CONFIG_MAP_NAMESPACE);
    loop {
        match api
            .get_opt(CONFIG_MAP_NAME)
            .await
            .map_err(|error| client_reason(&error))
            .and_then(|map| parse(map.as_ref()))
        {
            Ok(fresh) => {
                *records.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
                signals.report(PART, None);
                signals.changed.notify_one();
            }
            Err(reason) => signals.report(PART, Some(reason)),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Nothing was deployed with a record yet where there is no ConfigMap.
fn parse(map: Option<&ConfigMap>) -> Result<Vec<StackRecord>, String> {
    let Some(text) = map.and_then(|map| map.data.as_ref()?.get(CONFIG_MAP_KEY)) else { return Ok(Vec::new()) };
    serde_json::from_str(text)
        .map_err(|error| format!("ConfigMap {CONFIG_MAP_NAMESPACE}/{CONFIG_MAP_NAME}, key {CONFIG_MAP_KEY}: {error}"))
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
        let stacks = parse(Some(&map)).expect("a valid list");
        assert_eq!((stacks[0].name.as_str(), stacks[0].resources), ("base", 7));
        assert_eq!(parse(None), Ok(Vec::new()));
    }

    #[test]
    fn a_config_map_that_does_not_parse_is_a_gap() {
        assert!(parse(Some(&config_map("[{]"))).expect_err("not JSON").contains("platform/marea-stacks"));
    }
}
