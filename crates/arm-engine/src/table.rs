//! Keyed rows that remember which of them the shell has not yet stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change to be made durable. `value` is `None` where the row is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub table: String,
    pub key: String,
    pub value: Option<Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    name: &'static str,
    rows: BTreeMap<String, T>,
    dirty: BTreeSet<String>,
}

impl<T: Serialize + DeserializeOwned> Table<T> {
    pub fn new(name: &'static str) -> Table<T> {
        Table { name, rows: BTreeMap::new(), dirty: BTreeSet::new() }
    }

    pub fn get(&self, key: &str) -> Option<&T> {
        self.rows.get(key)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.rows.contains_key(key)
    }

    /// Mutable access counts as a change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        let row = self.rows.get_mut(key)?;
        self.dirty.insert(key.to_owned());
        Some(row)
    }

    pub fn insert(&mut self, key: String, row: T) {
        self.dirty.insert(key.clone());
        self.rows.insert(key, row);
    }

    pub fn remove(&mut self, key: &str) -> Option<T> {
        let row = self.rows.remove(key)?;
        self.dirty.insert(key.to_owned());
        Some(row)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.rows.iter()
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.rows.values()
    }

    /// Rows whose key starts with the prefix, in order of keys.
    pub fn below<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (&'a String, &'a T)> + use<'a, T> {
        let prefix = prefix.to_owned();
        self.rows.range(prefix.clone()..).take_while(move |(key, _)| key.starts_with(&prefix))
    }

    pub fn take_changes(&mut self, into: &mut Vec<Record>) {
        for key in std::mem::take(&mut self.dirty) {
            let value = self.rows.get(&key).map(|row| serde_json::to_value(row).unwrap_or(Value::Null));
            into.push(Record { table: self.name.to_owned(), key, value });
        }
    }

    /// Takes a stored row back in when it is of this table.
    ///
    /// # Errors
    /// When the stored value does not have the row's shape.
    pub fn restore(&mut self, record: &Record) -> Result<bool, serde_json::Error> {
        if record.table != self.name {
            return Ok(false);
        }
        match &record.value {
            Some(value) => {
                let row = serde_json::from_value(value.clone())?;
                self.rows.insert(record.key.clone(), row);
            }
            None => {
                self.rows.remove(&record.key);
            }
        }
        Ok(true)
    }
}
