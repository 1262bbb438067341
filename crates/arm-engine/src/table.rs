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
    /// Rows as they were before each change since [`Table::begin`], oldest first.
    undo: Option<Vec<(String, Option<T>)>>,
}

impl<T: Serialize + DeserializeOwned + Clone> Table<T> {
    pub fn new(name: &'static str) -> Table<T> {
        Table { name, rows: BTreeMap::new(), dirty: BTreeSet::new(), undo: None }
    }

    pub fn get(&self, key: &str) -> Option<&T> {
        self.rows.get(key)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.rows.contains_key(key)
    }

    /// Mutable access counts as a change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        self.remember(key);
        let row = self.rows.get_mut(key)?;
        self.dirty.insert(key.to_owned());
        Some(row)
    }

    pub fn insert(&mut self, key: String, row: T) {
        self.remember(&key);
        self.dirty.insert(key.clone());
        self.rows.insert(key, row);
    }

    pub fn remove(&mut self, key: &str) -> Option<T> {
        self.remember(key);
        let row = self.rows.remove(key)?;
        self.dirty.insert(key.to_owned());
        Some(row)
    }

    /// From here on changes can be taken back. Not nested: a second call before the end is part of the first.
    pub fn begin(&mut self) {
        self.undo.get_or_insert_default();
    }

    /// Keeps the changes since [`Table::begin`].
    pub fn keep(&mut self) {
        self.undo = None;
    }

    /// Takes the changes since [`Table::begin`] back. Their rows count as changed, which stores them once more as they are.
    pub fn take_back(&mut self) {
        for (key, row) in self.undo.take().unwrap_or_default().into_iter().rev() {
            match row {
                Some(row) => drop(self.rows.insert(key, row)),
                None => drop(self.rows.remove(&key)),
            }
        }
    }

    fn remember(&mut self, key: &str) {
        if let Some(undo) = &mut self.undo {
            undo.push((key.to_owned(), self.rows.get(key).cloned()));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_taken_back_in_order() {
        let mut table: Table<u32> = Table::new("numbers");
        table.insert("a".to_owned(), 1);
        table.begin();
        table.insert("a".to_owned(), 2);
        *table.get_mut("a").expect("there") = 3;
        table.insert("b".to_owned(), 4);
        table.remove("a");
        table.take_back();
        assert_eq!(table.iter().map(|(key, row)| (key.as_str(), *row)).collect::<Vec<_>>(), [("a", 1)]);
        table.begin();
        table.insert("c".to_owned(), 5);
        table.keep();
        table.take_back();
        assert!(table.contains("c"));
    }
}
