//! The queue in front of an embedder.
//!
//! Requests wait in two lines, queries and bulk. Worker threads of the handle's own take batches from them: queries first, but
//! after [`BULK_TURN`] batches of queries in a row one of bulk, so that bulk is slow under load and never stuck. A batch of bulk
//! takes as many inputs as the embedder's measured speed allows in [`QueueOptions::bulk_batch_ms`]: that is how long a query may
//! have to wait for a worker. A batch may hold parts of several requests, and a request may be spread over several batches; it
//! is answered when its last input is done.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::cache::{self, Cache, Key};
use crate::{EmbedError, Embedder, Embedding, Input, Kind, OwnedInput, Purpose};

/// Takes the answers of one request, one per input in their order. Called once, on a worker's thread (or on the caller's, if
/// there is nothing to do or no room): it should hand them on and return.
pub type Reply = Box<dyn FnOnce(Vec<Result<Embedding, EmbedError>>) + Send>;

/// Batches of queries in a row after which bulk that waits gets one.
const BULK_TURN: u32 = 8;

/// What an input costs at least, in bytes, when a batch is sized by the time per byte.
const INPUT_BYTES_MIN: usize = 64;

/// How a queue behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOptions {
    /// Threads that embed. At least 1.
    pub workers: usize,
    /// How long a batch of bulk may take, in milliseconds, as far as one can tell before: the longest wait of a query for a
    /// worker. One input is always taken.
    pub bulk_batch_ms: u64,
    /// Bytes of waiting inputs above which requests are refused with [`EmbedError::Busy`]. A request that finds the queue empty
    /// is always taken, however large.
    pub waiting_bytes_max: usize,
    /// Number of waiting inputs above which requests are refused.
    pub waiting_inputs_max: usize,
    /// Bytes of vectors kept by content. 0 keeps none.
    pub cache_bytes_max: usize,
}

impl Default for QueueOptions {
    /// One worker a core; 10 ms, because a query's budget is some tens; 256 MB and 65,536 inputs waiting; 8 MB of cache, about
    /// 8,000 dense vectors.
    fn default() -> Self {
        QueueOptions {
            workers: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            bulk_batch_ms: 10,
            waiting_bytes_max: 256 << 20,
            waiting_inputs_max: 65_536,
            cache_bytes_max: 8 << 20,
        }
    }
}

/// One embedder with a queue and threads. Clones share them; the threads end when the last clone is dropped and what waits is
/// answered. An idle handle costs no CPU.
#[derive(Clone)]
pub struct Handle {
    owner: Arc<Owner>,
}

/// Tells the workers to end when the last handle goes.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.lines.lock().closed = true;
        self.shared.woken.notify_all();
    }
}

struct Shared {
    embedder: Arc<dyn Embedder>,
    options: QueueOptions,
    lines: Mutex<Lines>,
    woken: Condvar,
    cache: Mutex<Cache>,
    cache_salt: u64,
}

#[derive(Default)]
struct Lines {
    queries: VecDeque<Waiting>,
    bulk: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Batches of queries taken since the last of bulk.
    query_turns: u32,
    /// Measured: moving average of seconds per byte of input. 0 before the first batch.
    seconds_per_byte: f64,
    closed: bool,
}

/// One input of a request.
struct Waiting {
    request: Arc<Request>,
    slot: usize,
    input: OwnedInput,
    purpose: Purpose,
}

struct Request {
    progress: Mutex<Progress>,
}

struct Progress {
    answers: Vec<Option<Result<Embedding, EmbedError>>>,
    open: usize,
    reply: Option<Reply>,
}

impl Request {
    fn answer(&self, slot: usize, answer: Result<Embedding, EmbedError>) {
        let mut progress = self.progress.lock();
        progress.answers[slot] = Some(answer);
        progress.open -= 1;
        if progress.open > 0 {
            return;
        }
        let answers = std::mem::take(&mut progress.answers);
        let reply = progress.reply.take();
        drop(progress);
        let answers = answers
            .into_iter()
            .map(|answer| answer.expect("none is open"))
            .collect();
        if let Some(reply) = reply {
            // A reply that panics must not end the worker; whoever waits for it sees its channel closed.
            let _ = catch_unwind(AssertUnwindSafe(|| reply(answers)));
        }
    }
}

impl Handle {
    /// Starts the workers of a queue in front of `embedder`.
    pub fn new(embedder: Arc<dyn Embedder>, options: QueueOptions) -> Self {
        let cache = Cache::new(options.cache_bytes_max);
        let shared = Arc::new(Shared {
            options,
            lines: Mutex::default(),
            woken: Condvar::new(),
            cache_salt: cache.salt(),
            cache: Mutex::new(cache),
            embedder,
        });
        for worker in 0..options.workers.max(1) {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("embed-{worker}"))
                .spawn(move || work(&shared))
                .expect("the system can start a thread");
        }
        Handle {
            owner: Arc::new(Owner { shared }),
        }
    }

    /// The embedder behind the queue.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.owner.shared.embedder
    }

    /// Number of inputs that wait, queries and bulk.
    pub fn waiting(&self) -> (usize, usize) {
        let lines = self.owner.shared.lines.lock();
        (lines.queries.len(), lines.bulk.len())
    }

    /// Queues `inputs` and returns at once; `reply` gets an answer for each. [`Purpose::Query`] goes before
    /// [`Purpose::Document`].
    ///
    /// If the queue is full, `reply` gets [`EmbedError::Busy`] for every input at once: a request is taken whole or not at all.
    pub fn submit(&self, inputs: Vec<OwnedInput>, purpose: Purpose, reply: Reply) {
        let count = inputs.len();
        if count == 0 {
            return reply(Vec::new());
        }
        let shared = &self.owner.shared;
        let bytes: usize = inputs.iter().map(|input| input.as_input().byte_len()).sum();
        let mut lines = shared.lines.lock();
        let waiting = lines.queries.len() + lines.bulk.len();
        let full = lines.waiting_bytes + bytes > shared.options.waiting_bytes_max
            || waiting + count > shared.options.waiting_inputs_max;
        if full && waiting > 0 {
            drop(lines);
            let busy = EmbedError::Busy {
                model: shared.embedder.identity().name.clone(),
            };
            return reply(vec![Err(busy); count]);
        }
        let progress = Progress {
            answers: vec![None; count],
            open: count,
            reply: Some(reply),
        };
        let request = Arc::new(Request {
            progress: Mutex::new(progress),
        });
        lines.waiting_bytes += bytes;
        let line = match purpose {
            Purpose::Query => &mut lines.queries,
            Purpose::Document => &mut lines.bulk,
        };
        line.extend(inputs.into_iter().enumerate().map(|(slot, input)| {
            let request = Arc::clone(&request);
            Waiting {
                request,
                slot,
                input,
                purpose,
            }
        }));
        drop(lines);
        if count == 1 {
            shared.woken.notify_one();
        } else {
            shared.woken.notify_all();
        }
    }

    /// Queues `inputs` and waits for the answers: one per input, in their order.
    ///
    /// Never call it on a thread of an async runtime: use [`Handle::submit`] with a one-shot channel there.
    pub fn embed_blocking(
        &self,
        inputs: Vec<OwnedInput>,
        purpose: Purpose,
    ) -> Vec<Result<Embedding, EmbedError>> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        // The receiver waits below until this has been called, so sending cannot fail.
        self.submit(
            inputs,
            purpose,
            Box::new(move |answers| drop(sender.send(answers))),
        );
        receiver.recv().expect("every request is answered")
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("identity", self.embedder().identity())
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// A worker's life: take a batch, embed it, answer; until the queue is closed and empty.
fn work(shared: &Shared) {
    while let Some(batch) = take(shared) {
        let misses = answer_known(shared, batch);
        if !misses.is_empty() {
            embed(shared, misses);
        }
    }
}

/// Waits for inputs and takes a batch of one class. `None` when the queue is closed and empty.
fn take(shared: &Shared) -> Option<Vec<Waiting>> {
    let limits = shared.embedder.limits();
    let mut lines = shared.lines.lock();
    while lines.queries.is_empty() && lines.bulk.is_empty() {
        if lines.closed {
            return None;
        }
        shared.woken.wait(&mut lines);
    }
    gather(shared, &mut lines, limits.batch_max, limits.gather);
    let bulk_turn = lines.query_turns >= BULK_TURN && !lines.bulk.is_empty();
    if !lines.queries.is_empty() && !bulk_turn {
        lines.query_turns += 1;
        let count = lines.queries.len().min(limits.batch_max.max(1));
        return Some(lines.take_front(Purpose::Query, count));
    }
    lines.query_turns = 0;
    let count = lines.bulk_count(limits.batch_max.max(1), shared.options);
    Some(lines.take_front(Purpose::Document, count))
}

/// Waits up to `patience` for a fuller batch. Another worker may take everything meanwhile; then this waits on.
fn gather(
    shared: &Shared,
    lines: &mut parking_lot::MutexGuard<'_, Lines>,
    batch_max: usize,
    patience: Duration,
) {
    let deadline = Instant::now() + patience;
    loop {
        let waiting = lines.queries.len() + lines.bulk.len();
        let late = patience.is_zero() || Instant::now() >= deadline;
        if lines.closed || waiting >= batch_max || (late && waiting > 0) {
            return;
        }
        if waiting == 0 {
            shared.woken.wait(lines);
        } else {
            shared.woken.wait_until(lines, deadline);
        }
    }
}

impl Lines {
    fn take_front(&mut self, purpose: Purpose, count: usize) -> Vec<Waiting> {
        let line = match purpose {
            Purpose::Query => &mut self.queries,
            Purpose::Document => &mut self.bulk,
        };
        let batch: Vec<Waiting> = line.drain(..count).collect();
        self.waiting_bytes -= batch
            .iter()
            .map(|waiting| waiting.input.as_input().byte_len())
            .sum::<usize>();
        batch
    }

    /// How many inputs of bulk fit into the time of a batch, going by the measured speed; a worker's share at most, so that
    /// one does not take everything while others are idle.
    fn bulk_count(&self, batch_max: usize, options: QueueOptions) -> usize {
        let share = self.bulk.len().div_ceil(options.workers.max(1));
        let most = share.min(batch_max);
        let budget_seconds = options.bulk_batch_ms as f64 / 1e3;
        let mut seconds = 0.0;
        for (count, waiting) in self.bulk.iter().take(most).enumerate() {
            seconds += cost_bytes(&waiting.input) as f64 * self.seconds_per_byte;
            if count > 0 && seconds > budget_seconds {
                return count;
            }
            // Before anything is measured: a few, to learn from.
            if self.seconds_per_byte == 0.0 && count >= 4 {
                return count;
            }
        }
        most
    }
}

fn cost_bytes(input: &OwnedInput) -> usize {
    input.as_input().byte_len().max(INPUT_BYTES_MIN)
}

/// Answers what the cache knows; gives back the rest with its keys.
fn answer_known(shared: &Shared, batch: Vec<Waiting>) -> Vec<(Key, Waiting)> {
    if shared.options.cache_bytes_max == 0 {
        // The key only has to differ within the batch then.
        return batch
            .into_iter()
            .enumerate()
            .map(|(i, waiting)| (i as Key, waiting))
            .collect();
    }
    let keys: Vec<Key> = batch
        .iter()
        .map(|waiting| cache::key(shared.cache_salt, waiting.input.as_input(), waiting.purpose))
        .collect();
    let known: Vec<Option<Embedding>> = {
        let mut cache = shared.cache.lock();
        keys.iter().map(|&key| cache.get(key)).collect()
    };
    let mut misses = Vec::new();
    for ((waiting, key), known) in batch.into_iter().zip(keys).zip(known) {
        match known {
            Some(embedding) => waiting.request.answer(waiting.slot, Ok(embedding)),
            None => misses.push((key, waiting)),
        }
    }
    misses
}

/// Embeds each different input once, remembers and answers.
fn embed(shared: &Shared, misses: Vec<(Key, Waiting)>) {
    let mut place_of: HashMap<Key, usize> = HashMap::with_capacity(misses.len());
    let mut inputs: Vec<Input<'_>> = Vec::with_capacity(misses.len());
    let mut bytes = 0;
    for (key, waiting) in &misses {
        place_of.entry(*key).or_insert_with(|| {
            bytes += cost_bytes(&waiting.input);
            inputs.push(waiting.input.as_input());
            inputs.len() - 1
        });
    }
    let started = Instant::now();
    let answers = call(shared, &inputs, misses[0].1.purpose);
    shared.learn(started.elapsed(), bytes);

    if shared.options.cache_bytes_max > 0 {
        let mut cache = shared.cache.lock();
        for (key, place) in &place_of {
            if let Ok(embedding) = &answers[*place] {
                cache.put(*key, embedding.clone());
            }
        }
    }
    for (key, waiting) in misses {
        waiting
            .request
            .answer(waiting.slot, answers[place_of[&key]].clone());
    }
}

/// Calls the embedder and checks what comes back: a panic or a batch of the wrong size is an error of every input, a vector
/// that cannot be stored an error of its own.
fn call(
    shared: &Shared,
    inputs: &[Input<'_>],
    purpose: Purpose,
) -> Vec<Result<Embedding, EmbedError>> {
    let embedder = &shared.embedder;
    let model = || embedder.identity().name.clone();
    let broken = |why: &str| {
        vec![
            Err(EmbedError::Internal {
                model: model(),
                why: why.into()
            });
            inputs.len()
        ]
    };
    let Ok(batch) = catch_unwind(AssertUnwindSafe(|| embedder.embed(inputs, purpose))) else {
        return broken("it panicked");
    };
    if batch.len() != inputs.len() {
        return broken("it gave another number of vectors than it got inputs");
    }
    let kind = embedder.kind();
    let check = |embedding: Embedding| match fault(&embedding, kind) {
        None => Ok(embedding),
        Some(why) => Err(EmbedError::NotFinite {
            model: model(),
            why,
        }),
    };
    batch
        .into_iter()
        .map(|answer| answer.and_then(check))
        .collect()
}

fn fault(embedding: &Embedding, kind: Kind) -> Option<String> {
    match (embedding, kind) {
        (Embedding::Dense(vector), Kind::Dense { dim, .. }) if vector.len() != dim => {
            Some(format!("{} numbers, wanted {dim}", vector.len()))
        }
        (Embedding::Dense(_), Kind::Sparse { .. }) | (Embedding::Sparse(_), Kind::Dense { .. }) => {
            Some("dense and sparse are mixed up".to_owned())
        }
        _ if !embedding.is_finite() => Some("NaN or infinity".to_owned()),
        _ => None,
    }
}

impl Shared {
    /// Learns the speed from a batch: the average moves a quarter of the way.
    fn learn(&self, took: Duration, bytes: usize) {
        let seconds_per_byte = took.as_secs_f64() / bytes.max(1) as f64;
        let mut lines = self.lines.lock();
        lines.seconds_per_byte = match lines.seconds_per_byte {
            0.0 => seconds_per_byte,
            before => before + (seconds_per_byte - before) / 4.0,
        };
    }
}

#[cfg(test)]
mod tests;
