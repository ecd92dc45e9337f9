//! The write-ahead log cut, flipped, missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{
    Error, ErrorKind, Metric, OnLoss, PointId, RepairOutcome, dropped_logs, repair,
};
use cluster::{Node, NodeOptions};
use serde_json::json;

use super::{WINDOW, WINDOW_SLACK, folder, is_long};
use crate::{Random, dense, eventually, open, point};

/// So many that no partition gets enough writes to purge its log, which would be batches of its own.
const IDS: u64 = 500;
const STRETCHES: usize = 3;
const WRITES_OF_STRETCH: usize = 400;
/// Of which the guard knows nothing.
const WRITES_OF_TAIL: usize = 100;

/// A store as a kill left it, after single writes: serial 1 to point 1, serial 2 to point 2, ...
struct Written {
    store: PathBuf,
    wal: PathBuf,
    bytes: Vec<u8>,
    records: Vec<Record>,
    /// Moment of each acknowledgement.
    acknowledged: Vec<Instant>,
}

/// One batch in the log.
#[derive(Debug)]
struct Record {
    end: usize,
    /// How many writes are durable when this record is.
    appended: usize,
}

impl Written {
    fn new(dir: &Path) -> Self {
        let running = dir.join("running");
        let node = open(&running);
        node.create_collection("c", dense(4, Metric::L2, None))
            .unwrap();
        let mut acknowledged = Vec::new();
        let mut write = |count: usize| {
            for _ in 0..count {
                let serial = acknowledged.len() as u64 + 1;
                let written = point(serial % IDS, &[serial as f32; 4], json!({"serial": serial}));
                node.upsert("c", vec![written]).unwrap();
                acknowledged.push(Instant::now());
            }
        };
        let guard = |store: &Path| std::fs::read(store.join("guard")).unwrap();
        let mut noted = guard(&running);
        for _ in 0..STRETCHES {
            write(WRITES_OF_STRETCH);
            eventually("the guard notes what is durable", || {
                guard(&running) != noted
            });
            noted = guard(&running);
        }
        // What a kill would leave at a moment when the last writes are not noted yet: that is done once a second.
        let store = dir.join("written");
        loop {
            let noted = guard(&running);
            write(WRITES_OF_TAIL);
            folder::copy(&running, &store);
            if guard(&store) == noted {
                break;
            }
            std::fs::remove_dir_all(&store).unwrap();
        }
        drop(node);
        let wal = folder::files(&store, &["log"]).pop().unwrap();
        let bytes = std::fs::read(&wal).unwrap();
        let records = records(&bytes, acknowledged.len());
        Self {
            store,
            wal,
            bytes,
            records,
            acknowledged,
        }
    }

    /// How many writes must be there if the log is sound up to `place`.
    fn appended_before(&self, place: usize) -> usize {
        let sound = self.records.partition_point(|record| record.end <= place);
        self.records[..sound]
            .last()
            .map_or(0, |record| record.appended)
    }

    /// Where the last fsync ended.
    fn last_sync(&self) -> usize {
        let count = self.acknowledged.len();
        let last = self.records.iter().find(|record| record.appended == count);
        last.unwrap().end
    }
}

/// The batches: blocks of 32 KiB hold fragments of (CRC u32, length u16, kind u8, bytes). An entry's batch and that of its rows alternate.
fn records(bytes: &[u8], writes: usize) -> Vec<Record> {
    const BLOCK: usize = 32 << 10;
    let mut ends = Vec::new();
    let mut at = 0;
    while at + 7 <= bytes.len() {
        if BLOCK - at % BLOCK < 7 {
            at += BLOCK - at % BLOCK;
            continue;
        }
        let length = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        let kind = bytes[at + 6];
        at += 7 + length;
        // 1 is a whole batch, 4 the last fragment of one; other kinds above that say something about the log itself.
        if kind == 1 || kind == 4 {
            ends.push(at);
        }
    }
    let first = ends.len() - 2 * writes;
    let appended = |number: usize| (number + 2).saturating_sub(first) / 2;
    let ends = ends.into_iter().enumerate();
    ends.map(|(number, end)| Record {
        end,
        appended: appended(number).min(writes),
    })
    .collect()
}

/// The highest serial, after making sure that exactly the writes up to it are there.
fn held(node: &Node) -> usize {
    let Ok(collection) = node.collection("c") else {
        return 0;
    };
    let (payload, vectors) = (Selection::All, VectorSelection::None);
    let page = collection
        .scroll(None, None, usize::MAX, &payload, &vectors)
        .unwrap();
    let mut held = BTreeMap::new();
    for record in page.points {
        let serial = record.payload.unwrap()["serial"].as_u64().unwrap();
        assert_eq!(record.id, PointId::Num(serial % IDS));
        held.insert(serial % IDS, serial);
    }
    let last = held.values().copied().max().unwrap_or(0);
    let wanted: BTreeMap<u64, u64> = (1..=last).map(|serial| (serial % IDS, serial)).collect();
    assert_eq!(held, wanted, "a prefix of the writes, whole");
    assert_eq!(node.check(), Vec::<String>::new());
    last as usize
}

fn try_open(store: &Path) -> Result<Node, Error> {
    let node = Node::open(store, NodeOptions::default())?;
    node.wait_until_ready();
    Ok(node)
}

#[derive(Copy, Clone, Debug)]
enum Damage {
    Cut,
    Flip,
    /// 512 bytes, a sector.
    Zero,
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>, place: usize) {
        match self {
            Self::Cut => bytes.truncate(place),
            Self::Flip => bytes[place] ^= 0x41,
            Self::Zero => {
                let end = bytes.len().min(place + 512);
                bytes[place..end].fill(0);
            }
        }
    }
}

#[test]
fn a_damaged_log_loses_nothing_or_its_loss_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let written = Written::new(dir.path());
    let (count, length) = (written.acknowledged.len(), written.bytes.len());
    assert!(count > 200, "inconclusive: {count} writes");
    let mut random = Random(3);
    let mut places = Vec::new();
    for (number, record) in written.records.iter().enumerate() {
        // All of them in the long form; here some, and the last ones.
        if is_long()
            || written.records.len() - number < 8
            || random.below(written.records.len() as u64) < 12
        {
            places.extend(
                [record.end - 1, record.end, record.end + 1].map(|place| (place, Damage::Cut)),
            );
        }
    }
    for _ in 0..if is_long() { 2000 } else { 200 } {
        let damage = [Damage::Cut, Damage::Flip, Damage::Zero][random.below(3) as usize];
        places.push((random.below(length as u64) as usize, damage));
    }
    // What the last fsync did not cover, as far as a power cut may take it: every byte in the long form.
    let last = written.last_sync();
    let step = if is_long() {
        1
    } else {
        (length - last) / 20 + 1
    };
    places.extend(
        (last..length)
            .step_by(step)
            .map(|place| (place, Damage::Cut)),
    );
    places.extend([(last, Damage::Zero), (last + 1, Damage::Flip)]);
    // Where RocksDB would take zeros for the end of a block.
    let begins = written.records.iter().map(|record| record.end);
    let tail = begins.filter(|&place| place >= last || is_long());
    places.extend(tail.map(|place| (place, Damage::Zero)));
    places.retain(|(place, _)| *place < length);
    let scratch = crate::scratch();
    let (mut told, mut whole, mut unnoticed, mut dropped) = (0, 0, 0, 0);
    let mut window = Duration::ZERO;
    for (place, damage) in &places {
        let store = scratch.path().join("damaged");
        folder::copy(&written.store, &store);
        let mut bytes = written.bytes.clone();
        damage.apply(&mut bytes, *place);
        std::fs::write(
            store.join("rocksdb").join(written.wal.file_name().unwrap()),
            bytes,
        )
        .unwrap();
        let wanted = written.appended_before(*place);
        match try_open(&store) {
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::Corrupted,
                    "{damage:?} at {place}: {error}"
                );
                assert!(
                    *place < written.last_sync(),
                    "{damage:?} at {place}, after the last fsync: {error}"
                );
                told += 1;
            }
            Ok(node) => {
                let held = held(&node);
                assert!(
                    held >= wanted,
                    "{damage:?} at {place}: {held} of {wanted} writes"
                );
                if held == count {
                    whole += 1;
                } else {
                    unnoticed += 1;
                    drop(node);
                    dropped += u64::from(is_told(&store, *damage, *place, length));
                    window =
                        window.max(written.acknowledged[count - 1] - written.acknowledged[held]);
                }
            }
        }
        std::fs::remove_dir_all(&store).unwrap();
    }
    println!(
        "{count} writes, {length} bytes of log, {} damages: {told} refused, {whole} with every write, {unnoticed} opened with a tail missing, \
         of writes acknowledged within {} ms before the end",
        places.len(),
        window.as_millis()
    );
    println!("of the tails that are missing {dropped} are told");
    assert!(told > 20 && whole > 10 && dropped > 5, "inconclusive");
    assert!(
        window <= WINDOW + WINDOW_SLACK,
        "writes of the last {window:?} went unnoticed"
    );
}

/// Whether a start told durably that it dropped the end of the log; once a repair has told it, it is told no more.
fn is_told(store: &Path, damage: Damage, place: usize, length: usize) -> bool {
    let dropped = dropped_logs(store).unwrap();
    let Some(of_log) = dropped.first() else {
        // A log that just ends is what every kill leaves, one that ends in zeros what a power cut may leave.
        let ends = match damage {
            Damage::Cut => true,
            Damage::Zero => place + 512 >= length,
            Damage::Flip => false,
        };
        assert!(ends, "{damage:?} at {place} of {length} is not told");
        return false;
    };
    assert_eq!(of_log.logs.len(), 1, "{of_log}");
    let report = repair(store, OnLoss::Ask).unwrap();
    assert_eq!(report.outcome, RepairOutcome::Repaired, "{report:?}");
    assert_eq!((report.dropped, report.left), (dropped, Vec::new()));
    assert_eq!(dropped_logs(store).unwrap(), Vec::new());
    let again = repair(store, OnLoss::Ask).unwrap();
    assert_eq!(again.outcome, RepairOutcome::Sound, "{again:?}");
    true
}

#[test]
fn a_missing_log_file_is_always_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("written");
    let node = open(&store);
    node.create_collection("c", dense(4, Metric::L2, None))
        .unwrap();
    let filler = "x".repeat(60_000);
    let mut serial = 0;
    while folder::files(&store, &["log"]).len() < 4 {
        let points = (0..20).map(|at| {
            let serial = serial + at;
            point(
                serial,
                &[serial as f32; 4],
                json!({"serial": serial, "filler": filler}),
            )
        });
        node.upsert("c", points.collect()).unwrap();
        serial += 20;
        assert!(serial < 20_000, "the log never got a second file");
    }
    // A clean end would write so much down in tables that no log is needed. The end of the log is guarded within a second of the last write.
    let logs = folder::files(&store, &["log"]);
    let mut noticed = 0;
    for log in &logs {
        let name = log.file_name().unwrap();
        eventually(
            &format!("the loss of {name:?} is noticed, or nothing"),
            || {
                let damaged = dir.path().join("damaged");
                folder::copy(&store, &damaged);
                let _ = std::fs::remove_file(damaged.join("rocksdb").join(name));
                let opened = try_open(&damaged);
                let harmless = match &opened {
                    Ok(node) => {
                        let collection = node.collection("c");
                        collection.is_ok_and(|collection| collection.info().points as u64 == serial)
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupted, "{name:?}: {error}");
                        noticed += 1;
                        true
                    }
                };
                drop(opened);
                std::fs::remove_dir_all(&damaged).unwrap();
                harmless
            },
        );
    }
    assert!(
        noticed > 1,
        "inconclusive: {noticed} of {logs:?} were needed"
    );
    drop(node);
    // Undamaged, it is all there.
    let node = open(&store);
    assert_eq!(
        node.collection("c").unwrap().count(None).unwrap() as u64,
        serial
    );
}
