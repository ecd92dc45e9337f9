//! What must be there after a crash, exactly: every writer owns its points, so its operations are in order, and at most its last one is
//! unknown.

use std::collections::BTreeMap;

use super::told::{Action, Operation};

/// Ids of writer `w` in the shared collection are `w * WRITER_IDS ..`.
pub const WRITER_IDS: u64 = 1000;
/// The collection that all write to.
pub const SHARED: &str = "shared";
/// A serial belongs to one of so many groups, which can be deleted by a filter.
pub const GROUPS: u64 = 5;

/// The collection that one writer alone creates, fills and drops.
pub fn own(writer: u64) -> String {
    format!("own-{writer}")
}

/// Serial by id, by collection that is there.
pub type State = BTreeMap<String, BTreeMap<u64, u64>>;

/// Makes the operation's change.
pub fn apply(state: &mut State, operation: &Operation) {
    let collection = operation.collection.clone();
    match &operation.action {
        Action::Create => drop(state.insert(collection, BTreeMap::new())),
        Action::Drop => drop(state.remove(&collection)),
        Action::Upsert(ids) => {
            let rows = state.get_mut(&collection).expect("it was created");
            rows.extend(ids.iter().map(|id| (*id, operation.serial)));
        }
        Action::Delete(ids) => {
            let rows = state.get_mut(&collection).expect("it was created");
            rows.retain(|id, _| !ids.contains(id));
        }
        Action::DeleteGroup(group) => {
            let rows = state.get_mut(&collection).expect("it was created");
            rows.retain(|id, serial| {
                id / WRITER_IDS != operation.writer || *serial % GROUPS != *group
            });
        }
    }
}

/// What one writer is concerned with.
pub fn part(state: &State, writer: u64) -> State {
    let mut part = State::new();
    if let Some(rows) = state.get(SHARED) {
        let rows = rows.range(writer * WRITER_IDS..(writer + 1) * WRITER_IDS);
        part.insert(
            SHARED.into(),
            rows.map(|(id, serial)| (*id, *serial)).collect(),
        );
    }
    if let Some(rows) = state.get(&own(writer)) {
        part.insert(own(writer), rows.clone());
    }
    part
}

/// What must be there, and what may be.
#[derive(Default)]
pub struct Oracle {
    expected: State,
    /// By writer.
    unknown: BTreeMap<u64, Operation>,
    /// The highest serial that was ever attempted.
    pub serial: u64,
    /// Operations acknowledged.
    pub acknowledged: u64,
    /// Operations whose outcome was unknown and turned out to have taken effect, or not to.
    pub resolved: [u64; 2],
}

impl Oracle {
    /// An operation begins.
    pub fn begin(&mut self, operation: Operation) {
        self.serial = self.serial.max(operation.serial);
        let before = self.unknown.insert(operation.writer, operation);
        assert!(before.is_none(), "a writer waits for the end of {before:?}");
    }

    /// The operation of this writer is acknowledged.
    pub fn done(&mut self, writer: u64) {
        let operation = self.unknown.remove(&writer).expect("it has begun");
        apply(&mut self.expected, &operation);
        self.acknowledged += 1;
    }

    /// Compares what a node holds with what must be there; an unknown operation counts whole or not at all, and from now on for ever so.
    pub fn judge(&mut self, held: &State) -> Result<(), String> {
        for operation in std::mem::take(&mut self.unknown).into_values() {
            let mut with = self.expected.clone();
            apply(&mut with, &operation);
            let writer = operation.writer;
            // The shared collection itself is writer 0's, but seen by all.
            let took_effect = match operation.action {
                Action::Create | Action::Drop => {
                    held.contains_key(&operation.collection)
                        == with.contains_key(&operation.collection)
                }
                _ => part(held, writer) == part(&with, writer),
            };
            self.resolved[usize::from(!took_effect)] += 1;
            if took_effect {
                self.expected = with;
            }
        }
        let problems = self.differences(held);
        if problems.is_empty() {
            return Ok(());
        }
        let shown = problems.len().min(8);
        Err(format!(
            "{} differences: {}",
            problems.len(),
            problems[..shown].join("; ")
        ))
    }

    fn differences(&self, held: &State) -> Vec<String> {
        let mut problems = Vec::new();
        for name in self
            .expected
            .keys()
            .filter(|name| !held.contains_key(*name))
        {
            problems.push(format!("collection {name} is LOST"));
        }
        for (name, rows) in held {
            let Some(expected) = self.expected.get(name) else {
                problems.push(format!("collection {name} is RESURRECTED or a PHANTOM"));
                continue;
            };
            for (id, wanted) in expected {
                match rows.get(id) {
                    None => problems.push(format!("{name}/{id}: serial {wanted} is LOST")),
                    Some(got) if got == wanted => {}
                    Some(got) if *got > self.serial => {
                        problems.push(format!("{name}/{id}: serial {got} is a PHANTOM"));
                    }
                    Some(got) => {
                        problems.push(format!(
                            "{name}/{id}: serial {wanted} is LOST, {got} is there"
                        ));
                    }
                }
            }
            for (id, got) in rows.iter().filter(|(id, _)| !expected.contains_key(id)) {
                let what = if *got > self.serial {
                    "a PHANTOM"
                } else {
                    "RESURRECTED"
                };
                problems.push(format!("{name}/{id}: serial {got} is {what}"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(writer: u64, serial: u64, action: Action) -> Operation {
        let collection = SHARED.into();
        Operation {
            writer,
            serial,
            collection,
            action,
        }
    }

    /// An oracle that knows points 1000 and 1001 with serial 2, and that 1001 was deleted by serial 3.
    fn oracle() -> Oracle {
        let mut oracle = Oracle::default();
        let done = [
            operation(0, 1, Action::Create),
            operation(1, 2, Action::Upsert(vec![1000, 1001])),
            operation(1, 3, Action::Delete(vec![1001])),
        ];
        for operation in done {
            let writer = operation.writer;
            oracle.begin(operation);
            oracle.done(writer);
        }
        oracle
    }

    fn held(rows: &[(u64, u64)]) -> State {
        State::from([(SHARED.into(), rows.iter().copied().collect())])
    }

    #[test]
    fn every_kind_of_violation_is_named() {
        let check = |held: State, wanted: &str| {
            let error = oracle().judge(&held).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        };
        oracle().judge(&held(&[(1000, 2)])).unwrap();
        check(State::new(), "shared is LOST");
        check(held(&[]), "1000: serial 2 is LOST");
        check(held(&[(1000, 1)]), "serial 2 is LOST, 1 is there");
        check(held(&[(1000, 9)]), "PHANTOM");
        check(held(&[(1000, 2), (1001, 2)]), "RESURRECTED");
    }

    #[test]
    fn an_unknown_operation_counts_whole_or_not_and_stays() {
        let begun = || {
            let mut oracle = oracle();
            oracle.begin(operation(1, 4, Action::Upsert(vec![1000, 1002])));
            oracle
        };
        begun().judge(&held(&[(1000, 4)])).unwrap_err();
        for rows in [&[(1000, 2)][..], &[(1000, 4), (1002, 4)]] {
            let mut oracle = begun();
            oracle.judge(&held(rows)).unwrap();
            oracle.judge(&held(rows)).unwrap();
            for other in [&[(1000, 2)][..], &[(1000, 4), (1002, 4)]] {
                assert_eq!(oracle.judge(&held(other)).is_ok(), other == rows);
            }
        }
        // By a filter: the serials of the writer's points that are in the group.
        let mut oracle = oracle();
        oracle.begin(operation(1, 4, Action::DeleteGroup(2)));
        oracle.done(1);
        oracle.judge(&held(&[])).unwrap();
    }
}
