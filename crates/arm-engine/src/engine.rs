//! The state machine's face: requests in, effects out, outcomes in.

use std::collections::BTreeSet;

use units::{Millis, Timestamp};

use crate::activity::Event;
use crate::directory::Application;
use crate::effect::{Effect, EffectId, Outcome};
use crate::ids::Ids;
use crate::request::{Method, Request, Response};
use crate::state::{Deployment, GroupDeletion, Meta, Operation, PendingEffect, Stack, StoredResource};
use crate::table::{Record, Table};

/// Finished operations are forgotten after a day; Azure keeps them for at least that long.
const OPERATION_RETENTION: Millis = Millis::from_secs(24 * 3600);

/// What the cloud is, fixed for its lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub tenant_id: String,
    pub subscription_id: String,
    /// Vcpus that one subscription may use per VM family in a region.
    pub family_vcpu_quota: u32,
    /// Who has all rights without a role assignment, as the account that a subscription belongs to.
    pub owner_object_id: String,
}

/// Azure Resource Manager for one subscription.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) resources: Table<StoredResource>,
    pub(crate) operations: Table<Operation>,
    pub(crate) effects: Table<PendingEffect>,
    pub(crate) deployments: Table<Deployment>,
    pub(crate) stacks: Table<Stack>,
    pub(crate) group_deletions: Table<GroupDeletion>,
    pub(crate) metas: Table<Meta>,
    pub(crate) events: Table<Event>,
    pub(crate) applications: Table<Application>,
    /// Effects that the shell is running. Not stored: after a crash none is.
    handed_out: BTreeSet<String>,
    pub(crate) now: Timestamp,
}

const META: &str = "meta";

impl Engine {
    pub fn new(tenant_id: &str, subscription_id: &str) -> Engine {
        let mut engine = Engine {
            settings: Settings {
                tenant_id: tenant_id.to_owned(),
                subscription_id: subscription_id.to_owned(),
                family_vcpu_quota: 100,
                owner_object_id: String::new(),
            },
            resources: Table::new("resources"),
            operations: Table::new("operations"),
            effects: Table::new("effects"),
            deployments: Table::new("deployments"),
            stacks: Table::new("stacks"),
            group_deletions: Table::new("groupDeletions"),
            metas: Table::new("meta"),
            events: Table::new("events"),
            applications: Table::new("applications"),
            handed_out: BTreeSet::new(),
            now: Timestamp::default(),
        };
        engine.metas.insert(META.to_owned(), Meta::new());
        engine
    }

    /// Names the owner of the subscription: the object id of the service principal that the cloud was made with.
    pub fn set_owner(&mut self, object_id: &str) {
        object_id.clone_into(&mut self.settings.owner_object_id);
    }

    /// Takes back what was stored. Deployments go on where they were, at the next call; effects that were not
    /// reported done are handed out again.
    ///
    /// # Errors
    /// When a record does not have the shape that this version writes; the message names it.
    pub fn restore(&mut self, records: &[Record]) -> Result<(), String> {
        for record in records {
            let restored = self
                .restore_one(record)
                .map_err(|error| format!("stored {} `{}`: {error}", record.table, record.key))?;
            if !restored {
                return Err(format!("stored record `{}` is of the unknown table `{}`", record.key, record.table));
            }
        }
        Ok(())
    }

    fn restore_one(&mut self, record: &Record) -> Result<bool, serde_json::Error> {
        Ok(self.resources.restore(record)?
            || self.operations.restore(record)?
            || self.effects.restore(record)?
            || self.deployments.restore(record)?
            || self.stacks.restore(record)?
            || self.group_deletions.restore(record)?
            || self.metas.restore(record)?
            || self.events.restore(record)?
            || self.applications.restore(record)?)
    }

    /// Answers a request. State may have changed and effects may be waiting afterwards, whatever the status.
    pub fn handle(&mut self, request: &Request, now: Timestamp, ids: &mut Ids) -> Response {
        self.now = now;
        if !matches!(request.method, Method::Get | Method::Head) {
            let number = ids.next_number();
            self.meta().ids.stir(number);
        }
        let response = self.route(request).unwrap_or_else(Response::from);
        self.pump();
        response
    }

    /// Effects to run now, at most one at a time for each cluster or server.
    pub fn take_effects(&mut self) -> Vec<(EffectId, Effect)> {
        let mut busy: BTreeSet<String> = self
            .handed_out
            .iter()
            .filter_map(|key| self.effects.get(key))
            .map(|effect| effect.target.clone())
            .collect();
        let mut taken = Vec::new();
        let waiting: Vec<(String, PendingEffect)> =
            self.effects.iter().map(|(key, effect)| (key.clone(), effect.clone())).collect();
        for (key, effect) in waiting {
            if !self.handed_out.contains(&key) && busy.insert(effect.target.clone()) {
                let number = key.parse().unwrap_or_default();
                taken.push((EffectId(number), self.describe(&effect)));
                self.handed_out.insert(key);
            }
        }
        taken
    }

    /// Reports an effect done. An unknown id (reported twice) is ignored.
    pub fn complete(&mut self, id: EffectId, outcome: Outcome, now: Timestamp) {
        self.now = now;
        let key = effect_key(id.0);
        self.handed_out.remove(&key);
        let Some(effect) = self.effects.remove(&key) else { return };
        self.finish_effect(&effect, outcome);
        self.pump();
    }

    /// Advances what only waits for time.
    pub fn tick(&mut self, now: Timestamp) {
        self.now = now;
        let expired: Vec<String> = self
            .operations
            .iter()
            .filter(|(_, operation)| operation.ended.is_some_and(|ended| ended + OPERATION_RETENTION <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in expired {
            self.operations.remove(&key);
        }
        self.pump();
    }

    /// When [`Engine::tick`] next has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.operations.values().filter_map(|operation| operation.ended).map(|ended| ended + OPERATION_RETENTION).min()
    }

    /// What has to be stored before anything that was answered since the last call may be sent.
    pub fn take_changes(&mut self) -> Vec<Record> {
        let mut changes = Vec::new();
        self.resources.take_changes(&mut changes);
        self.operations.take_changes(&mut changes);
        self.effects.take_changes(&mut changes);
        self.deployments.take_changes(&mut changes);
        self.stacks.take_changes(&mut changes);
        self.group_deletions.take_changes(&mut changes);
        self.metas.take_changes(&mut changes);
        self.events.take_changes(&mut changes);
        self.applications.take_changes(&mut changes);
        changes
    }

    /// Moves deployments, stacks and group deletions on until all of them wait for effects.
    pub(crate) fn pump(&mut self) {
        while self.advance_deployments() | self.advance_group_deletions() | self.advance_stacks() {}
    }

    /// For a copy that only imagines: nothing is being run by anybody.
    pub(crate) fn release_all(&mut self) {
        self.handed_out.clear();
    }

    /// Queues work outside, joined with work for the same target that has not been handed out.
    pub(crate) fn queue_effect(&mut self, kind: crate::state::EffectKind, target: &str, operation: Option<String>) {
        // Only with the last work for the target: an earlier piece would undo what lies between.
        let last = self.effects.iter().filter(|(_, effect)| effect.target == target).last();
        let joined = last
            .filter(|(key, effect)| effect.kind == kind && !self.handed_out.contains(*key))
            .map(|(key, _)| key.clone());
        if let Some(effect) = joined.and_then(|key| self.effects.get_mut(&key)) {
            effect.operations.extend(operation);
            return;
        }
        let meta = self.meta();
        let number = meta.next_effect;
        meta.next_effect += 1;
        let effect = PendingEffect { kind, target: target.to_owned(), operations: operation.into_iter().collect() };
        self.effects.insert(effect_key(number), effect);
    }

    pub(crate) fn meta(&mut self) -> &mut Meta {
        if !self.metas.contains(META) {
            self.metas.insert(META.to_owned(), Meta::new());
        }
        self.metas.get_mut(META).unwrap_or_else(|| unreachable!("the row was just made"))
    }

    /// `None` before anything was written.
    pub(crate) fn meta_view(&self) -> Option<&Meta> {
        self.metas.get(META)
    }

    pub(crate) fn is_registered(&self, namespace: &str) -> bool {
        self.metas.get(META).is_none_or(|meta| !meta.unregistered.contains(&namespace.to_ascii_lowercase()))
    }

    pub(crate) fn guid(&mut self) -> String {
        self.meta().ids.guid()
    }
}

/// Padded, so that keys sort by number.
fn effect_key(number: u64) -> String {
    format!("{number:020}")
}
