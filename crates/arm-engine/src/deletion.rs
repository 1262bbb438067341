//! Deleting many resources whose order only shows when one refuses to go because another still uses it.

use arm_model::error::ErrorBody;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::state::Status;

/// Keys of resources (and of groups) that are to go, are going, are gone, or could not go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deletions {
    pub waiting: Vec<String>,
    /// Key and operation.
    pub running: Vec<(String, String)>,
    pub done: Vec<String>,
    pub failed: Vec<(String, ErrorBody)>,
}

impl Deletions {
    pub fn of(keys: impl IntoIterator<Item = String>) -> Deletions {
        Deletions { waiting: keys.into_iter().collect(), ..Deletions::default() }
    }

    pub fn is_finished(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }
}

impl Engine {
    /// Starts what can be started and notes what has ended. Returns whether anything changed.
    pub(crate) fn advance_deletions(&mut self, deletions: &mut Deletions) -> bool {
        let mut changed = self.collect_ended(deletions);
        loop {
            let mut moved = false;
            let mut refused = Vec::new();
            for key in std::mem::take(&mut deletions.waiting) {
                match self.delete_key(&key) {
                    Ok(Some(operation)) => {
                        deletions.running.push((key, operation));
                        moved = true;
                    }
                    Ok(None) => {
                        deletions.done.push(key);
                        moved = true;
                    }
                    Err(fault) => refused.push((key, *fault.body)),
                }
            }
            changed |= moved;
            if moved || !deletions.running.is_empty() {
                deletions.waiting = refused.into_iter().map(|(key, _)| key).collect();
            } else {
                // Nothing is going on that could free what was refused.
                changed |= !refused.is_empty();
                deletions.failed.extend(refused);
            }
            if !moved {
                return changed;
            }
        }
    }

    fn collect_ended(&mut self, deletions: &mut Deletions) -> bool {
        let before = deletions.running.len();
        for (key, operation) in std::mem::take(&mut deletions.running) {
            let ended = self.operations.get(&operation).map(|operation| (operation.status, operation.error.clone()));
            match ended {
                Some((Status::Running, _)) => deletions.running.push((key, operation)),
                Some((Status::Failed | Status::Canceled, error)) => {
                    let error =
                        error.unwrap_or_else(|| ErrorBody::new("OperationFailed", "The deletion did not succeed."));
                    deletions.failed.push((key, error));
                }
                Some((Status::Succeeded, _)) | None => deletions.done.push(key),
            }
        }
        before != deletions.running.len()
    }

    /// Group deletions that are under way.
    pub(crate) fn advance_group_deletions(&mut self) -> bool {
        let keys: Vec<String> = self.group_deletions.iter().map(|(key, _)| key.clone()).collect();
        let mut changed = false;
        for key in keys {
            let Some(mut deletion) = self.group_deletions.get(&key).cloned() else { continue };
            if self.advance_deletions(&mut deletion.deletions) {
                changed = true;
            }
            if deletion.deletions.is_finished() {
                changed = true;
                self.end_group_deletion(&key, &deletion);
            } else if self.group_deletions.get(&key) != Some(&deletion) {
                self.group_deletions.insert(key, deletion);
            }
        }
        changed
    }

    fn end_group_deletion(&mut self, key: &str, deletion: &crate::state::GroupDeletion) {
        self.group_deletions.remove(key);
        if let Some((failed, error)) = deletion.deletions.failed.first() {
            if let Some(group) = self.resources.get_mut(key) {
                group.body["properties"]["provisioningState"] = "Failed".into();
            }
            let error = ErrorBody::new(
                "ResourceGroupDeletionBlocked",
                format!("Deletion of resource group failed as the resource '{failed}' could not be deleted."),
            )
            .details(vec![error.clone()]);
            self.end_operation(&deletion.operation, Status::Failed, Some(error));
            return;
        }
        self.resources.remove(key);
        let prefix = format!("{key}/providers/");
        let leftovers: Vec<String> = self.deployments.below(&prefix).map(|(key, _)| key.clone()).collect();
        for deployment in leftovers {
            self.deployments.remove(&deployment);
        }
        let stacks: Vec<String> = self.stacks.below(&prefix).map(|(key, _)| key.clone()).collect();
        for stack in stacks {
            self.stacks.remove(&stack);
        }
        self.end_operation(&deletion.operation, Status::Succeeded, None);
    }
}
