//! Interned texts of nodes: label keys and values, image names.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A text of a node, comparable in one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Symbol(pub(crate) u32);

#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols {
    ids: BTreeMap<Arc<str>, Symbol>,
}

impl Symbols {
    pub(crate) fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.ids.get(text) {
            return *symbol;
        }
        let symbol = Symbol(u32::try_from(self.ids.len()).expect("fewer than 2³² distinct labels"));
        self.ids.insert(Arc::from(text), symbol);
        symbol
    }

    /// `None`: no node has ever had this text.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        self.ids.get(text).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}
