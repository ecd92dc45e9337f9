//! Segments to files, in the background: sealing, merging, and the manifest.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLockWriteGuard;

use super::Collection;
use crate::error::{ErrorKind, Result};
use crate::point::PointId;
use crate::segment::policy;
use crate::segment::{Segment, Source};

impl Collection {
    /// Does the next thing that is due: a structure that a start left out, a sealing or merge, or the manifest. Searches and writes go on
    /// meanwhile.
    pub(crate) fn build_step(&self) -> Result<bool> {
        #[cfg(test)]
        if self.is_paused.load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(false);
        }
        let _sealing = self.sealing.lock();
        #[cfg(test)]
        assert!(
            !self
                .panics_when_built
                .load(std::sync::atomic::Ordering::SeqCst),
            "a bug of this test"
        );
        match self.seal() {
            // Deleted meanwhile, with its files.
            Err(_) if self.folder.is_removed() => Ok(false),
            done => done,
        }
    }

    fn seal(&self) -> Result<bool> {
        if self.folder.is_removed() {
            return Ok(false);
        }
        let lacking = self.state.read().lacking_structures();
        if let Some(segment) = lacking.first() {
            segment.build_structures();
            return Ok(true);
        }
        let config = self.config();
        let begun = self.state.write().begin_building(&config);
        let Some((uid, sources)) = begun else {
            let due = self.state.read().must_save();
            if due {
                self.save()?;
            }
            return Ok(due);
        };
        let merged = self.merge(uid, &sources);
        self.state.write().end_building();
        merged?;
        self.save()?;
        Ok(true)
    }

    /// Removes the files, and makes no more: somebody else has the folder from now on.
    pub(crate) fn abandon_files(&self) {
        let _sealing = self.sealing.lock();
        self.remove_files();
    }

    /// Does all that is due as if nothing had been written for a while.
    #[cfg(test)]
    pub(crate) fn seal_now(&self) {
        let _sealing = self.sealing.lock();
        self.state.write().rest();
        while self.seal().unwrap() {
            self.state.write().rest();
        }
    }

    /// When to look again without a further write.
    pub(crate) fn next_check(&self) -> Option<Duration> {
        policy::next_check(self.state.read().growing_size())
    }

    fn merge(&self, uid: u64, sources: &[Source]) -> Result<()> {
        let bytes: usize = sources
            .iter()
            .map(|source| source.segment.heap_bytes() + source.segment.mapped_bytes())
            .sum();
        self.store.ensure_space(bytes as u64)?;
        if sources.iter().all(|source| source.live.count() == 0) {
            self.state.write().forget_dead();
            return Ok(());
        }
        let written = self.folder.write_segment(uid, &self.config(), sources);
        let (segment, origins) = match written {
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                tracing::warn!(%error, collection = self.name(), "a segment file is damaged; its rows are read from the store again");
                return self.rescue(sources);
            }
            written => written?,
        };
        self.state.write().add_merged(segment);
        let mut first = 0;
        loop {
            let mut state = self.state.write();
            let next = state.move_rows(uid, &origins, first);
            // Handed on to whoever waits, so that writes and searches come in between.
            RwLockWriteGuard::unlock_fair(state);
            match next {
                Some(next) => first = next,
                None => return Ok(()),
            }
        }
    }

    /// Brings the live rows of damaged segments into the growing segment, from the store.
    fn rescue(&self, sources: &[Source]) -> Result<()> {
        for source in sources {
            if source.segment.verify().is_err() {
                self.rescue_segment(&source.segment)?;
            }
        }
        self.state.write().forget_dead();
        Ok(())
    }

    fn rescue_segment(&self, segment: &Arc<Segment>) -> Result<()> {
        let located: Vec<(PointId, index::Offset)> = segment.ids().cloned().zip(0..).collect();
        for rows in located.chunks(super::load::LOAD_ROWS) {
            for (id, offset) in rows {
                let partition = segment.partition(*offset);
                let row = crate::apply::read_row(&self.store, partition, self.id, id)?;
                let vectors = self.read_vectors(partition, row.iter(), |_| true)?;
                let mut state = self.state.write();
                let at = state.ids.get(id).copied();
                if at.is_none_or(|at| at.uid != segment.uid || at.offset != *offset) {
                    continue;
                }
                match row.iter().zip(&vectors).next() {
                    Some((row, vectors)) => {
                        state.upsert_again(id.clone(), row.version, partition, vectors);
                    }
                    None => state.remove(id),
                }
            }
        }
        Ok(())
    }

    /// Writes the manifest of what is sealed now. What it covers is made durable in the store first, so that no manifest is ahead of it.
    fn save(&self) -> Result<()> {
        let (manifest, changes) = self.state.read().manifest();
        self.store.sync_noted()?;
        self.folder.write_manifest(&manifest)?;
        *self.covered.lock() = manifest.covered;
        self.state.write().note_saved(changes);
        Ok(())
    }
}
