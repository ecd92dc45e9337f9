//! Power losses while a child writes: the short form here, the long one by `scripts/crash`.
//!
//! The recorder does not let an fsync reach the real disk, so a round costs what recovery costs, and a loss takes what the model of the disk
//! says. What was not durable stays so over a SIGKILL, however many follow before the power goes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Random;
use crate::crash::oracle::Oracle;
use crate::crash::{End, Round, child_command, run, write_lazily};
use crate::disk::{Disk, Recorder, Survival};

/// Longest time that an fsync takes, in microseconds, by round: quick ones let writes meet background work.
const SYNC_US: [u64; 3] = [0, 100, 1500];

/// The one total that is a maximum.
const OLDEST: &str = "oldest of them, ms before the end";

/// A folder under the recorder, and what must be in it.
struct Trial {
    disk: Disk,
    journal: PathBuf,
    recorder: Recorder,
    random: Random,
    oracle: Oracle,
    totals: Totals,
}

/// Counted over many rounds.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
struct Totals {
    kills: u64,
    losses: u64,
    stops: u64,
    /// Rounds that were killed before they served.
    unserved: u64,
    acknowledged: u64,
    took_effect: u64,
    no_effect: u64,
    /// Of those that a collection with an interval acknowledged.
    forgotten: u64,
    /// How long before the end the oldest of them was acknowledged.
    forgotten_ms_max: u64,
    sealed: u64,
    syncs: u64,
    /// Bytes and names that the losses could take.
    bytes_at_risk: u64,
    names_at_risk: u64,
}

impl Totals {
    fn fields(&mut self) -> [(&'static str, &mut u64); 13] {
        [
            ("kills", &mut self.kills),
            ("power losses", &mut self.losses),
            ("clean stops", &mut self.stops),
            ("killed before serving", &mut self.unserved),
            ("acknowledged", &mut self.acknowledged),
            ("unknown that took effect", &mut self.took_effect),
            ("unknown without effect", &mut self.no_effect),
            ("forgotten within the interval", &mut self.forgotten),
            (OLDEST, &mut self.forgotten_ms_max),
            ("segments sealed", &mut self.sealed),
            ("syncs", &mut self.syncs),
            ("bytes at risk", &mut self.bytes_at_risk),
            ("names at risk", &mut self.names_at_risk),
        ]
    }

    /// Lines of name and number.
    fn text(mut self) -> String {
        let lines = self
            .fields()
            .map(|(name, count)| format!("{name}: {count}\n"));
        lines.concat()
    }

    fn read(text: &str) -> Self {
        let mut totals = Self::default();
        for line in text.lines() {
            let (name, count) = line
                .split_once(": ")
                .expect("a line is a name and a number");
            for (known, field) in totals.fields() {
                if known == name {
                    *field = count.parse().expect("a count");
                }
            }
        }
        totals
    }

    fn add(&mut self, mut other: Self) {
        for ((name, sum), (_, count)) in self.fields().into_iter().zip(other.fields()) {
            if name == OLDEST {
                *sum = (*sum).max(*count);
            } else {
                *sum += *count;
            }
        }
    }

    /// Too few acknowledged writes prove nothing.
    fn inconclusive(&self) -> bool {
        let served = self.kills + self.losses + self.stops - self.unserved;
        self.acknowledged < 10 * served.max(3) || self.losses == 0 || self.syncs < served
    }
}

impl Trial {
    fn new(dir: &Path, seed: u64) -> Self {
        let root = dir.join("data");
        std::fs::create_dir(&root).unwrap();
        Self {
            disk: Disk::new(&root),
            journal: dir.join("journal"),
            recorder: Recorder::build(),
            random: Random(seed),
            oracle: Oracle::default(),
            totals: Totals::default(),
        }
    }

    /// One child, and half of the times that it is killed a power loss.
    fn round(&mut self, longest: Duration) -> Result<(), String> {
        match self.random.below(6) {
            0 => return self.lazy_round(),
            1 => return self.seal_round(longest),
            _ => {}
        }
        let end = End::draw(&mut self.random, longest);
        // Half of the kills come earlier, right after one of the changes.
        let changes = 1 << self.random.below(10);
        let changes = changes + self.random.below(changes);
        let by_changes = !matches!(end, End::StopAfterReady(_)) && self.random.below(2) == 0;
        let from = [None, Some("@told ready"), Some("@told ready")][self.random.below(3) as usize];
        let (shown, syncs) = self.watched(end, |command| {
            if by_changes {
                Recorder::kill_at(command, changes, "", from);
            }
        });
        let shown = shown.map_err(|text| format!("{end:?}: {text}"))?;
        self.count(end, &shown, syncs);
        if matches!(end, End::StopAfterReady(_)) || self.random.below(2) == 0 {
            return Ok(());
        }
        self.lose_power();
        Ok(())
    }

    /// A child that has only intervals to keep, until its power goes when several of them are over.
    fn lazy_round(&mut self) -> Result<(), String> {
        let after =
            Duration::from_millis(600) + Duration::from_millis(600).mul_f32(self.random.unit());
        let end = End::KillAfterReady(after);
        let (shown, syncs) = self.watched(end, write_lazily);
        let shown = shown.map_err(|text| format!("lazily, {end:?}: {text}"))?;
        self.count(end, &shown, syncs);
        self.lose_power();
        Ok(())
    }

    /// A child whose power goes while a segment or manifest is synced: there are few such moments, and each is another step of a seal.
    fn seal_round(&mut self, longest: Duration) -> Result<(), String> {
        let end = End::KillAfterReady(longest);
        let number = 1 + self.random.below(60);
        let (shown, syncs) = self.watched(end, |command| {
            Recorder::kill_in_sync(command, number, "/segments/", "@told ready");
        });
        let shown = shown.map_err(|text| format!("sealing, sync {number}: {text}"))?;
        self.count(end, &shown, syncs);
        self.lose_power();
        Ok(())
    }

    fn watched(
        &mut self,
        end: End,
        prepare: impl FnOnce(&mut Command),
    ) -> (Result<Round, String>, usize) {
        let mut command = child_command(self.disk.root(), self.oracle.serial + 1);
        let sync_us = SYNC_US[self.random.below(3) as usize];
        self.recorder
            .watch(&mut command, self.disk.root(), &self.journal, sync_us);
        prepare(&mut command);
        let shown = run(&mut command, end, &mut self.oracle);
        let syncs = self.disk.replay(&self.journal);
        let _ = std::fs::remove_file(&self.journal);
        (shown, syncs)
    }

    fn lose_power(&mut self) {
        let (bytes, names) = self.disk.at_risk();
        self.totals.losses += 1;
        self.totals.kills -= 1;
        self.totals.bytes_at_risk += bytes as u64;
        self.totals.names_at_risk += names as u64;
        let survival = Survival::draw(&mut self.random);
        self.disk.lose_power(survival, &mut self.random);
        self.disk.write_out();
        self.oracle.power_lost();
    }

    fn count(&mut self, end: End, shown: &Round, syncs: usize) {
        let totals = &mut self.totals;
        if matches!(end, End::StopAfterReady(_)) {
            totals.stops += 1;
        } else {
            totals.kills += 1;
        }
        totals.unserved += u64::from(!shown.ready);
        totals.acknowledged += shown.acknowledged;
        totals.sealed += shown.sealed;
        totals.syncs += syncs as u64;
        [totals.took_effect, totals.no_effect] = self.oracle.resolved;
        totals.forgotten = self.oracle.forgotten;
        totals.forgotten_ms_max = self.oracle.forgotten_ms_max;
    }
}

#[test]
fn power_losses_take_nothing_that_was_acknowledged() {
    let dir = crate::scratch();
    let mut trial = Trial::new(dir.path(), 7);
    for round in 0..12 {
        let outcome = trial.round(Duration::from_millis(400));
        outcome.unwrap_or_else(|text| panic!("round {round}: {text}"));
    }
    // What the last loss has left is judged too.
    let (shown, _) = trial.watched(End::StopAfterReady(Duration::ZERO), |_| {});
    shown.unwrap_or_else(|text| panic!("after the last round: {text}"));
    let totals = trial.totals;
    assert!(!totals.inconclusive(), "inconclusive: {totals:?}");
}

/// A manifest is renamed, its process killed before that is durable, and the next one finds files that this manifest does not name, but the one before
/// does: it must not remove them before the power may go.
#[test]
fn what_an_older_manifest_names_stays_until_the_newer_one_is_durable() {
    let dir = crate::scratch();
    let mut trial = Trial::new(dir.path(), 13);
    for round in 0..20 {
        let number = 1 + trial.random.below(8);
        let (shown, _) = trial.watched(End::KilledByRecorder, |command| {
            Recorder::kill_at_rename(command, number, "/manifest", "@told ready");
        });
        shown.unwrap_or_else(|text| panic!("round {round}, manifest {number}: {text}"));
        let (shown, _) = trial.watched(End::StopAfterReady(Duration::ZERO), |_| {});
        shown.unwrap_or_else(|text| panic!("start after round {round}: {text}"));
        trial
            .disk
            .lose_power(Survival::AnySubset, &mut trial.random);
        trial.disk.write_out();
        trial.oracle.power_lost();
    }
    let (shown, _) = trial.watched(End::StopAfterReady(Duration::ZERO), |_| {});
    shown.unwrap_or_else(|text| panic!("after the last round: {text}"));
}

/// An fsync of RocksDB's that fails once: of the WAL, a table, the manifest, the folder.
#[test]
fn an_fsync_that_fails_ends_the_process_and_nothing_is_acknowledged_after() {
    let dir = crate::scratch();
    let mut trial = Trial::new(dir.path(), 11);
    let mut told = 0;
    for round in 0..8 {
        // The manifest is synced by RocksDB, and by the guard before it notes its length.
        let (below, place) = match round {
            0 | 2 | 4 => (30, "/rocksdb"),
            1 | 3 | 5 => (400, "/rocksdb"),
            _ => (8, "/rocksdb/MANIFEST"),
        };
        let number = 1 + trial.random.below(below);
        let (shown, _) = trial.watched(End::FailsByItself, |command| {
            Recorder::fail_sync(command, number, place);
        });
        let shown = shown.unwrap_or_else(|text| panic!("round {round}, sync {number}: {text}"));
        // While it opens, the error of the opening is the message.
        if shown.ready {
            assert!(
                shown
                    .complaint
                    .contains("a durable write failed at the disk"),
                "round {round}, sync {number}: {}",
                shown.complaint
            );
            told += 1;
        }
        // The failed sync has made nothing durable, nor has a later one: what was acknowledged is there without it.
        trial.disk.lose_power(Survival::Nothing, &mut trial.random);
        trial.disk.write_out();
        trial.oracle.power_lost();
        let (shown, _) = trial.watched(End::StopAfterReady(Duration::ZERO), |_| {});
        shown.unwrap_or_else(|text| panic!("after round {round}, sync {number}: {text}"));
    }
    assert!(told > 0 && trial.oracle.acknowledged > 50, "inconclusive");
}

/// Not a test by itself: `scripts/crash` says for how long, with which seed, and where the totals are kept.
#[test]
fn long_form() {
    let Some(minutes) = std::env::var_os("VECINO_CRASH_MINUTES") else {
        return;
    };
    let minutes: f64 = minutes
        .to_str()
        .unwrap()
        .parse()
        .expect("VECINO_CRASH_MINUTES is a number");
    let seed: u64 = std::env::var("VECINO_CRASH_SEED")
        .unwrap()
        .parse()
        .expect("VECINO_CRASH_SEED is a number");
    let state = PathBuf::from(std::env::var_os("VECINO_CRASH_STATE").unwrap());
    let mut totals = std::fs::read_to_string(&state)
        .map_or_else(|_| Totals::default(), |text| Totals::read(&text));
    let until = Instant::now() + Duration::from_secs_f64(60.0 * minutes);
    let mut random = Random(seed ^ totals.kills ^ totals.losses << 20);
    while Instant::now() < until {
        // A new folder now and then: young stores and old ones fail differently.
        let seed = random.next();
        let dir = crate::scratch();
        let mut trial = Trial::new(dir.path(), seed);
        let rounds = 10 + random.below(90);
        for round in 1..=rounds {
            if let Err(text) = trial.round(Duration::from_millis(1500)) {
                totals.add(trial.totals);
                let rounds = totals.kills + totals.losses + totals.stops + 1;
                println!("VIOLATION after {rounds} rounds: {text}");
                if std::env::var_os("VECINO_CRASH_KEEP").is_some() {
                    println!("the folder is kept in {}", dir.keep().display());
                }
                panic!("round {round} of seed {seed}");
            }
            if Instant::now() >= until {
                break;
            }
        }
        totals.add(trial.totals);
        std::fs::write(&state, totals.text()).unwrap();
        println!("{}", totals.text().replace('\n', ", "));
    }
    assert!(!totals.inconclusive(), "inconclusive: {totals:?}");
}
