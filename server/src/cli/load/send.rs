//! Batches of items on their way to the server, a few at a time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use serde_json::Value;
use ureq::http::Method;

use super::errors_file::ErrorsFile;
use super::item::{Item, Route};
use super::{HOPELESS_ROWS, Loader};
use crate::cli::client::{Call, Client, collection_path};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::one_line;

/// Most pictures in one request: about a second of work for the server.
const IMAGES_MAX: usize = 32;
/// Most bytes in one request of more than one item; well below what the server takes, so that several fit into its memory.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How often the progress is told while the last answers come in.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// What came of it.
pub struct Outcome {
    /// Rows that the server has taken.
    pub taken: u64,
    /// Why it ended early, if it did.
    pub stop: Option<Failure>,
}

/// The connections. Items with the same id take the same one, in order.
pub struct Sender<'scope> {
    lanes: Vec<Lane>,
    workers: Vec<ScopedJoinHandle<'scope, ()>>,
    state: Arc<State>,
    batch_rows: usize,
}

struct Lane {
    batches: SyncSender<Vec<Item>>,
    pending: Vec<Item>,
    pending_bytes: usize,
}

#[derive(Default)]
struct State {
    taken: AtomicU64,
    refused: AtomicU64,
    stopped: AtomicBool,
    stop: Mutex<Option<Failure>>,
}

impl<'scope> Sender<'scope> {
    /// Starts the connections' threads.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        loader: &'env Loader,
        errors: &'env ErrorsFile,
    ) -> Self {
        let state = Arc::new(State::default());
        let mut sender = Self {
            lanes: vec![],
            workers: vec![],
            state: state.clone(),
            batch_rows: loader.batch.max(1),
        };
        for _ in 0..loader.connections.max(1) {
            // One batch waits while one is under way: the reader works on the next meanwhile.
            let (batches, receiver) = sync_channel(1);
            let worker = Worker {
                client: loader.client.clone(),
                collection: &loader.collection,
                errors,
                state: state.clone(),
            };
            sender
                .workers
                .push(scope.spawn(move || worker.run(&receiver)));
            sender.lanes.push(Lane {
                batches,
                pending: vec![],
                pending_bytes: 0,
            });
        }
        sender
    }

    /// Takes an item; blocks while its connection is behind.
    pub fn push(&mut self, item: Item) {
        let mut hasher = DefaultHasher::new();
        item.id.to_string().hash(&mut hasher);
        let lane_idx = (hasher.finish() % self.lanes.len() as u64) as usize;
        let lane = &mut self.lanes[lane_idx];
        let rows_max = if item.route == Route::Images {
            self.batch_rows.min(IMAGES_MAX)
        } else {
            self.batch_rows
        };
        let another_route = lane
            .pending
            .first()
            .is_some_and(|first| first.route != item.route);
        if another_route
            || lane.pending.len() >= rows_max
            || lane.pending_bytes + item.body.len() > BATCH_BYTES_MAX
        {
            lane.flush();
        }
        lane.pending_bytes += item.body.len();
        lane.pending.push(item);
    }

    /// Rows taken so far.
    pub fn taken(&self) -> u64 {
        self.state.taken.load(Ordering::Relaxed)
    }

    /// Whether going on is of no use.
    pub fn stopped(&self) -> bool {
        self.state.stopped.load(Ordering::Relaxed)
    }

    /// Sends the rest and waits for the answers; calls `tell` with the rows taken meanwhile.
    pub fn finish(self, mut tell: impl FnMut(u64)) -> Outcome {
        for mut lane in self.lanes {
            lane.flush();
        }
        while self.workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(TELL_EVERY);
            tell(self.state.taken.load(Ordering::Relaxed));
        }
        let stop = self
            .state
            .stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Outcome {
            taken: self.state.taken.load(Ordering::Relaxed),
            stop,
        }
    }
}

impl Lane {
    fn flush(&mut self) {
        self.pending_bytes = 0;
        if !self.pending.is_empty() {
            // A worker lives until its lane is dropped.
            let _ = self.batches.send(std::mem::take(&mut self.pending));
        }
    }
}

struct Worker<'env> {
    client: Client,
    collection: &'env str,
    errors: &'env ErrorsFile,
    state: Arc<State>,
}

impl Worker<'_> {
    fn run(&self, batches: &Receiver<Vec<Item>>) {
        while let Ok(batch) = batches.recv() {
            if self.state.stopped.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(failure) = self.deliver(&batch) {
                self.stop(failure);
            }
        }
    }

    fn stop(&self, failure: Failure) {
        self.state.stopped.store(true, Ordering::Relaxed);
        self.state
            .stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(failure);
    }

    /// Sends a batch of one route. If the server refuses it for what is in it, halves of it are sent, down to the bad rows.
    fn deliver(&self, batch: &[Item]) -> Result<()> {
        if self.state.stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(first) = batch.first() else {
            return Ok(());
        };
        let (method, rest, content_type, body) = match first.route {
            Route::Images => (
                Method::POST,
                "/images",
                "application/x-ndjson",
                joined(batch, b"", b"\n", b"\n"),
            ),
            Route::Documents => (
                Method::POST,
                "/documents",
                "application/x-ndjson",
                joined(batch, b"", b"\n", b"\n"),
            ),
            Route::Points => (
                Method::PUT,
                "/points?wait=true",
                "application/json",
                joined(batch, b"{\"points\":[", b",", b"]}"),
            ),
        };
        let path = collection_path(self.collection, rest);
        let reply = self.client.retrying(&Call {
            method,
            path: &path,
            body: Some((content_type, &body)),
        })?;
        match reply.status {
            // A native upload of which nothing could be stored still tells of each item.
            422 if first.route != Route::Points
                && items_of(&reply.body).is_some_and(|items| items.len() == batch.len()) =>
            {
                self.settle(batch, &reply.body)
            }
            400 | 413 | 415 | 422 if batch.len() == 1 => {
                self.refuse(first, reason_alone(&reply.message()))
            }
            400 | 413 | 415 | 422 => {
                let (left, right) = batch.split_at(batch.len() / 2);
                self.deliver(left)?;
                self.deliver(right)
            }
            _ => {
                self.client.accept(&path, &reply)?;
                self.settle(batch, &reply.body)
            }
        }
    }

    /// Counts what a success took; native uploads tell of each item.
    fn settle(&self, batch: &[Item], body: &[u8]) -> Result<()> {
        let answers = if batch[0].route == Route::Points {
            None
        } else {
            items_of(body)
        };
        let error_at = |idx: usize| {
            answers
                .as_ref()
                .and_then(|answers| answers.get(idx)?.get("error")?.as_str())
        };
        let refused = (0..batch.len())
            .filter(|&idx| error_at(idx).is_some())
            .count();
        self.state
            .taken
            .fetch_add((batch.len() - refused) as u64, Ordering::Relaxed);
        for (idx, item) in batch.iter().enumerate() {
            if let Some(error) = error_at(idx) {
                self.refuse(item, reason_alone(error))?;
            }
        }
        Ok(())
    }

    fn refuse(&self, item: &Item, reason: &str) -> Result<()> {
        self.errors.add(&item.source, Some(&item.id), reason)?;
        let refused = self.state.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused >= HOPELESS_ROWS && self.state.taken.load(Ordering::Relaxed) == 0 {
            return Err(Failure::new(format!("the first {refused} rows were all refused, the last one because: {}", one_line(reason, 400)))
                .at(item.source.clone())
                .mend("load into another collection, or read the rows otherwise; the reasons are in the errors file"));
        }
        Ok(())
    }
}

/// A reason without the "item 3 of 100 (id 5): " before it: which row it was, the place says, and the batch is nobody's affair.
fn reason_alone(reason: &str) -> &str {
    let alone = || {
        let (place, alone) = reason.strip_prefix("item ")?.split_once("): ")?;
        place.contains(" (id ").then_some(alone)
    };
    alone().unwrap_or(reason)
}

/// What a native upload answers about each item.
fn items_of(body: &[u8]) -> Option<Vec<Value>> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    match answer.pointer_mut("/result/items").map(Value::take) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    }
}

fn joined(batch: &[Item], open: &[u8], between: &[u8], close: &[u8]) -> Vec<u8> {
    let bytes: usize = batch
        .iter()
        .map(|item| item.body.len() + between.len())
        .sum();
    let mut out = Vec::with_capacity(bytes + open.len() + close.len());
    out.extend_from_slice(open);
    for (idx, item) in batch.iter().enumerate() {
        if idx > 0 {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(&item.body);
    }
    out.extend_from_slice(close);
    out
}
