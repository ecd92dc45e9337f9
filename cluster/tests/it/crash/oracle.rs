//! What must be there after a crash, exactly: every writer owns its points, so its operations are in order, and at most its last one is
//! unknown.
//!
//! Collections with an interval are promised less: a kill takes nothing of them, a power loss at most the end of what was acknowledged
//! within the interval before it, never something between: what is there is what it was after one of the operations.

use std::collections::BTreeMap;

use super::told::{Action, Operation};

/// Ids of writer `w` in the shared collection are `w * WRITER_IDS ..`.
pub const WRITER_IDS: u64 = 1000;
/// The collection that all write to.
pub const SHARED: &str = "shared";
/// A serial belongs to one of so many groups, which can be deleted by a filter.
pub const GROUPS: u64 = 5;

/// The interval of [`lazy`] collections.
pub const LAZY_INTERVAL_MS: u64 = 20;
/// How much longer an operation may take to become durable: what the sync takes, and threads that wait for a core.
const LAZY_SLACK_MS: u64 = 500;

/// The collection that one writer alone creates, fills and drops.
pub fn own(writer: u64) -> String {
    format!("own-{writer}")
}

/// The collection with an interval that one writer alone fills.
pub fn lazy(writer: u64) -> String {
    format!("lazy-{writer}")
}

/// Whether it is a [`lazy`] one.
pub fn is_lazy(collection: &str) -> bool {
    collection.starts_with("lazy-")
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

/// What one writer writes.
pub fn mine(state: &State, writer: u64) -> State {
    let mut mine = part(state, writer);
    let lazy = state.get_key_value(&lazy(writer));
    mine.extend(lazy.map(|(name, rows)| (name.clone(), rows.clone())));
    mine
}

/// What one writer writes and is told durable.
fn part(state: &State, writer: u64) -> State {
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

/// An operation that has begun.
#[derive(Debug)]
struct Begun {
    operation: Operation,
    /// Counts what is told: whatever was acknowledged before has a lower number.
    number: u64,
}

/// An acknowledged operation that may not be durable yet.
#[derive(Debug)]
struct Pending {
    begun: Begun,
    /// As [`Begun::number`].
    done: u64,
    at_ms: u64,
}

/// What must be there, and what may be.
#[derive(Default)]
pub struct Oracle {
    expected: State,
    /// By writer.
    unknown: BTreeMap<u64, Begun>,
    /// On collections with an interval, oldest first.
    pending: BTreeMap<String, Vec<Pending>>,
    told: u64,
    /// When the last operation was acknowledged: the end came later.
    last_ms: u64,
    power_was_lost: bool,
    /// The highest serial that was ever attempted.
    pub serial: u64,
    /// Operations acknowledged.
    pub acknowledged: u64,
    /// Operations whose outcome was unknown and turned out to have taken effect, or not to.
    pub resolved: [u64; 2],
    /// Acknowledged operations on collections with an interval that a power loss took, as it may.
    pub forgotten: u64,
    /// The longest time from the acknowledgement of one of them to the last one before the end.
    pub forgotten_ms_max: u64,
}

impl Oracle {
    /// An operation begins.
    pub fn begin(&mut self, operation: Operation) {
        self.serial = self.serial.max(operation.serial);
        self.told += 1;
        let number = self.told;
        let before = self
            .unknown
            .insert(operation.writer, Begun { operation, number });
        assert!(before.is_none(), "a writer waits for the end of {before:?}");
    }

    /// The operation of this writer was acknowledged.
    pub fn done(&mut self, writer: u64, at_ms: u64) {
        let begun = self.unknown.remove(&writer).expect("it has begun");
        self.acknowledged += 1;
        self.told += 1;
        self.last_ms = self.last_ms.max(at_ms);
        let collection = &begun.operation.collection;
        if is_lazy(collection) && begun.operation.action != Action::Create {
            let pending = self.pending.entry(collection.clone()).or_default();
            pending.push(Pending {
                begun,
                done: self.told,
                at_ms,
            });
        } else {
            self.took_effect(&begun);
        }
    }

    /// The power went: what was not durable may be gone.
    pub fn power_lost(&mut self) {
        self.power_was_lost = true;
    }

    /// A durable operation: what was acknowledged before it began is durable too, for there is one write-ahead log.
    fn took_effect(&mut self, begun: &Begun) {
        apply(&mut self.expected, &begun.operation);
        // The others write nothing if there is nothing to delete.
        if !matches!(begun.operation.action, Action::Upsert(_) | Action::Create) {
            return;
        }
        for pending in self.pending.values_mut() {
            let durable = pending.partition_point(|pending| pending.done < begun.number);
            for pending in pending.drain(..durable) {
                apply(&mut self.expected, &pending.begun.operation);
            }
        }
    }

    /// Compares what a node holds with what must be there; an unknown operation counts whole or not at all, and from now on for ever so.
    pub fn judge(&mut self, held: &State) -> Result<(), String> {
        let mut unknown = std::mem::take(&mut self.unknown);
        unknown.retain(|_, begun| {
            let action = &begun.operation.action;
            if is_lazy(&begun.operation.collection) && *action != Action::Create {
                return true;
            }
            let mut with = self.expected.clone();
            apply(&mut with, &begun.operation);
            let writer = begun.operation.writer;
            // The shared collection itself is writer 0's, but seen by all.
            let took_effect = match action {
                Action::Create | Action::Drop => {
                    held.contains_key(&begun.operation.collection)
                        == with.contains_key(&begun.operation.collection)
                }
                _ => part(held, writer) == part(&with, writer),
            };
            self.resolved[usize::from(!took_effect)] += 1;
            if took_effect && with != self.expected {
                self.took_effect(begun);
            }
            false
        });
        self.judge_lazy(held, unknown)?;
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

    /// Collections with an interval: each must be as it was after one of its operations, and not before one that was durable. Across them, what
    /// is there may not have begun after the end of what is not.
    fn judge_lazy(&mut self, held: &State, unknown: BTreeMap<u64, Begun>) -> Result<(), String> {
        let power_was_lost = std::mem::take(&mut self.power_was_lost);
        let mut first_lost: Option<(u64, String)> = None;
        let mut last_kept: Option<(u64, String)> = None;
        let mut all = std::mem::take(&mut self.pending);
        all.retain(|_, pending| !pending.is_empty());
        for begun in unknown.values() {
            all.entry(begun.operation.collection.clone()).or_default();
        }
        for (name, pending) in all {
            let begun = unknown
                .values()
                .find(|begun| begun.operation.collection == name);
            let durable = match power_was_lost {
                true => pending.partition_point(|pending| {
                    pending.at_ms + LAZY_INTERVAL_MS + LAZY_SLACK_MS <= self.last_ms
                }),
                false => pending.len(),
            };
            // One that changes nothing may have been kept or not: the fewest and the most that are possible.
            let (mut fewest, mut most) = (None, None);
            let mut note = |kept: usize, state: &State| {
                if state.get(&name) == held.get(&name) {
                    fewest = fewest.or(Some(kept));
                    most = Some(kept);
                }
            };
            note(0, &self.expected);
            let operations = pending.iter().map(|pending| &pending.begun).chain(begun);
            for (kept, begun) in (1..).zip(operations.clone()) {
                apply(&mut self.expected, &begun.operation);
                note(kept, &self.expected);
            }
            let (Some(fewest), Some(most)) = (fewest, most) else {
                return Err(format!(
                    "{name} is as after none of its last {} operations: a HOLE, or a change of none of them",
                    pending.len()
                ));
            };
            if most < durable {
                let lost = &pending[most];
                return Err(format!(
                    "{name}: {} acknowledged operations are LOST of {durable} that were durable; the first is {:?}, {} ms before the end{}",
                    durable - most,
                    lost.begun.operation,
                    self.last_ms - lost.at_ms,
                    if power_was_lost {
                        ""
                    } else {
                        ", by a kill without a power loss"
                    }
                ));
            }
            if let Some(lost) = pending.get(most) {
                self.forgotten += (pending.len() - most) as u64;
                self.forgotten_ms_max = self.forgotten_ms_max.max(self.last_ms - lost.at_ms);
                if first_lost
                    .as_ref()
                    .is_none_or(|(done, _)| lost.done < *done)
                {
                    first_lost = Some((lost.done, format!("{:?}", lost.begun.operation)));
                }
            }
            if let Some(kept) = fewest
                .checked_sub(1)
                .and_then(|at| operations.clone().nth(at))
                && last_kept
                    .as_ref()
                    .is_none_or(|(number, _)| kept.number > *number)
            {
                last_kept = Some((kept.number, format!("{:?}", kept.operation)));
            }
            if let Some(rows) = held.get(&name) {
                self.expected.insert(name, rows.clone());
            }
        }
        match (first_lost, last_kept) {
            (Some((done, lost)), Some((number, kept))) if done < number => Err(format!(
                "a HOLE: {lost} is lost, {kept} is there and began after its end"
            )),
            _ => Ok(()),
        }
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
            oracle.done(writer, 0);
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
        oracle.done(1, 0);
        oracle.judge(&held(&[])).unwrap();
    }

    /// An oracle of two collections with an interval: serials 10, 11, 12 at these moments, of writers 1, 2, 1.
    fn lazy_oracle(moments: [u64; 3]) -> Oracle {
        let mut oracle = oracle();
        let mut perform = |writer, serial, action, at_ms| {
            let collection = lazy(writer);
            oracle.begin(Operation {
                writer,
                serial,
                collection,
                action,
            });
            oracle.done(writer, at_ms);
        };
        perform(1, 4, Action::Create, 0);
        perform(2, 5, Action::Create, 0);
        perform(1, 10, Action::Upsert(vec![1000]), moments[0]);
        perform(2, 11, Action::Upsert(vec![2000]), moments[1]);
        perform(1, 12, Action::Upsert(vec![1000, 1001]), moments[2]);
        oracle
    }

    fn lazy_held(first: &[(u64, u64)], second: &[(u64, u64)]) -> State {
        let mut held = held(&[(1000, 2)]);
        held.insert(lazy(1), first.iter().copied().collect());
        held.insert(lazy(2), second.iter().copied().collect());
        held
    }

    #[test]
    fn with_an_interval_a_power_loss_takes_the_end_and_a_kill_takes_nothing() {
        let all = lazy_held(&[(1000, 12), (1001, 12)], &[(2000, 11)]);
        let without_last = lazy_held(&[(1000, 10)], &[(2000, 11)]);
        let first = lazy_held(&[(1000, 10)], &[]);
        let none = lazy_held(&[], &[]);
        let half = lazy_held(&[(1000, 12)], &[(2000, 11)]);
        let hole = lazy_held(&[(1000, 12), (1001, 12)], &[]);
        let check = |moments: [u64; 3], power: bool, held: &State, wanted: Option<&str>| {
            let mut oracle = lazy_oracle(moments);
            if power {
                oracle.power_lost();
            }
            match (oracle.judge(held), wanted) {
                (Ok(()), None) => oracle.judge(held).unwrap(),
                (Err(error), Some(wanted)) => assert!(error.contains(wanted), "{error}"),
                (judged, wanted) => panic!("{judged:?}, wanted {wanted:?}"),
            }
        };
        let soon = [1000; 3];
        for held in [&all, &without_last, &first, &none] {
            check(soon, true, held, None);
        }
        check(soon, true, &half, Some("HOLE"));
        check(soon, true, &hole, Some("HOLE"));
        check(soon, false, &all, None);
        check(
            soon,
            false,
            &without_last,
            Some("by a kill without a power loss"),
        );
        let later = [1000, 1400, 1000 + LAZY_INTERVAL_MS + LAZY_SLACK_MS];
        check(later, true, &first, None);
        check(later, true, &none, Some("LOST"));
        // A durable operation takes along what was acknowledged before it began.
        let mut oracle = lazy_oracle(soon);
        oracle.begin(operation(1, 13, Action::Upsert(vec![1000])));
        oracle.done(1, 1000);
        oracle.power_lost();
        let mut without_last = without_last;
        without_last.insert(SHARED.into(), BTreeMap::from([(1000, 13)]));
        assert!(oracle.judge(&without_last).unwrap_err().contains("LOST"));
    }
}
