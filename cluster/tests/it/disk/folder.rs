//! The names in one folder: durable, and what has become of them since.

use std::collections::BTreeMap;

use super::Inode;

/// What a name is to be: an inode, or gone.
pub struct NameChange(pub Option<Inode>);

impl NameChange {
    pub fn add(inode: Inode) -> Self {
        Self(Some(inode))
    }

    pub fn remove() -> Self {
        Self(None)
    }
}

/// Names that change together.
type Changes = Vec<(String, Option<Inode>)>;

/// See the module.
#[derive(Default)]
pub struct Folder {
    /// As processes see it.
    pub current: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
    /// Since then, oldest first, with the moment of each.
    pending: Vec<(u64, Changes)>,
    /// How many changes were before the first of `pending`.
    settled: u64,
}

impl Folder {
    /// Changes names, together.
    pub fn change(&mut self, moment: u64, changes: Changes) {
        apply(&mut self.current, &changes);
        self.pending.push((moment, changes));
    }

    /// How many changes there were: what a sync that begins now will cover.
    pub fn position(&self) -> u64 {
        self.settled + self.pending.len() as u64
    }

    /// A sync that began at `position` has ended.
    pub fn settle(&mut self, position: u64) {
        let count = position.saturating_sub(self.settled) as usize;
        for (_, changes) in self.pending.drain(..count) {
            apply(&mut self.durable, &changes);
        }
        self.settled += count as u64;
    }

    /// Changes since the last sync.
    pub fn names_at_risk(&self) -> usize {
        self.pending.len()
    }

    /// Moment of the first change since the last sync.
    pub fn oldest(&self) -> Option<u64> {
        self.pending.first().map(|(moment, _)| *moment)
    }

    /// Only what was changed before `moment` survives.
    pub fn cut(&mut self, moment: u64) {
        let count = self.pending.partition_point(|(at, _)| *at < moment);
        self.settle(self.settled + count as u64);
        self.keep_any(|| false);
    }

    /// Those changes survive for which `keep` says so.
    pub fn keep_any(&mut self, mut keep: impl FnMut() -> bool) {
        self.settled += self.pending.len() as u64;
        for (_, changes) in self.pending.drain(..) {
            if keep() {
                apply(&mut self.durable, &changes);
            }
        }
        self.current.clone_from(&self.durable);
    }
}

fn apply(names: &mut BTreeMap<String, Inode>, changes: &Changes) {
    for (name, inode) in changes {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}
