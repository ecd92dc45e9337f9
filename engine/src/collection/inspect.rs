//! Segments that were opened from the disk, or merged of such, compared with their checksums in the background, once after each start.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::Collection;
use crate::error::how_to_repair;
use crate::segment::Segment;
use crate::segment::inspect::{Damage, Inspection};

/// What is still to be compared.
#[derive(Default)]
pub(super) struct Inspections {
    state: Mutex<InspectionState>,
}

#[derive(Default)]
struct InspectionState {
    /// Numbers of segments, that which is being compared included.
    left: BTreeSet<u64>,
    /// That which is being compared, while nobody is at it.
    begun: Option<(u64, Inspection)>,
}

impl Inspections {
    /// Notes a segment that was opened.
    pub fn add(&self, uid: u64) {
        self.state.lock().left.insert(uid);
    }

    /// Notes that a segment was made of others: it may have rows where they stood, which nobody has compared.
    pub fn carry(&self, mut from: impl Iterator<Item = u64>, to: u64) {
        let mut state = self.state.lock();
        if from.any(|uid| state.left.contains(&uid)) {
            state.left.insert(to);
        }
    }

    /// The next segment, and how far it was compared.
    fn next(&self) -> Option<(u64, Option<Inspection>)> {
        let mut state = self.state.lock();
        let uid = *state.left.first()?;
        let begun = state.begun.take().filter(|(of, _)| *of == uid);
        Some((uid, begun.map(|(_, inspection)| inspection)))
    }

    fn pause(&self, uid: u64, inspection: Inspection) {
        self.state.lock().begun = Some((uid, inspection));
    }

    fn end(&self, uid: u64) {
        self.state.lock().left.remove(&uid);
    }

    /// Gives up what is left.
    pub fn clear(&self) {
        *self.state.lock() = InspectionState::default();
    }
}

impl Collection {
    /// Compares some of the segments that a start has opened with their checksums, about a mebibyte; false if nothing is left. What is damaged is noted, as
    /// the collection's trouble. No lock is held while files are read.
    pub(crate) fn inspect_step(&self) -> bool {
        #[cfg(test)]
        if self.is_paused.load(std::sync::atomic::Ordering::SeqCst) {
            return true;
        }
        if self.folder.is_removed() {
            self.inspections.clear();
        }
        let Some((uid, begun)) = self.inspections.next() else {
            return false;
        };
        let Some(part) = self.state.read().sealed_part(uid) else {
            // Merged away.
            self.inspections.end(uid);
            return true;
        };
        let mut inspection = begun.unwrap_or_else(|| self.folder.inspection(&part.segment));
        let mut found = Vec::new();
        if let Err(error) = inspection.step(&part.segment, &part.live, &mut found) {
            tracing::warn!(%error, collection = self.name(), "a file was not compared with its checksums");
        }
        for damage in found {
            self.note_damage(&part.segment, damage);
        }
        if inspection.is_over() {
            self.inspections.end(uid);
        } else {
            self.inspections.pause(uid, inspection);
        }
        true
    }

    /// Gives up comparing, until the next start.
    pub(crate) fn give_up_inspection(&self) {
        self.inspections.clear();
    }

    /// Whether everything that a start has opened is compared.
    #[cfg(test)]
    pub(super) fn is_inspected(&self) -> bool {
        self.inspections.state.lock().left.is_empty()
    }

    fn note_damage(&self, segment: &Segment, damage: Damage) {
        if self.folder.is_removed() {
            return;
        }
        match damage {
            Damage::Rows(error) => {
                let mend = how_to_repair(self.store.dir());
                self.note_trouble(&format!(
                    "damaged: {error}; searches may miss points until it is mended: {mend}"
                ));
            }
            Damage::Row {
                name,
                offset,
                error,
            } => {
                segment.leave_out(&name, std::iter::once(offset));
                self.note_left_out(&name, segment.id(offset), &error);
            }
            Damage::Graph(path, error) => self.note_trouble(&format!(
                "damaged: {error}; searches may miss points until the graph is built again: stop the server, remove {}, and start it",
                path.display()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_segment_is_compared_if_one_of_its_sources_was_to_be() {
        let inspections = Inspections::default();
        inspections.add(3);
        inspections.carry([4, 5].into_iter(), 6);
        assert!(!inspections.state.lock().left.contains(&6));
        inspections.carry([2, 3].into_iter(), 7);
        assert!(inspections.next().is_some_and(|(uid, _)| uid == 3));
        inspections.end(3);
        assert!(inspections.next().is_some_and(|(uid, _)| uid == 7));
        inspections.end(7);
        assert!(inspections.next().is_none());
    }
}
