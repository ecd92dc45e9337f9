//! Background threads that seal and merge segments, so that writes and searches never wait for it, and compare them with their checksums when
//! nothing else is due. Each has its own collections.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::CollectionId;
use crate::collection::Collection;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::graph_builder::GraphBuilder;
use crate::segment::folder;
use crate::storage::Store;
use crate::storage::garbage::Collected;
use crate::thread::{panic_words, start_background_thread};

/// After so long a step that failed is tried again; the time doubles up to the longest, which is another while the disk is full.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_MAX: Duration = Duration::from_secs(5 * 60);
const AGAIN_MAX_FULL: Duration = Duration::from_secs(15);

/// Between two steps of comparing segments, of a mebibyte each: at most 50 MB a second are read, in a twentieth of a core.
const INSPECTION_REST: Duration = Duration::from_millis(20);

/// What a thread is told.
#[derive(Clone)]
enum News {
    /// The rows of a collection have changed.
    Changed(Weak<Collection>),
    /// The store has dropped files, which segments may use.
    Dropped,
}

/// The threads and the ways to wake them.
pub(crate) struct Builder {
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    /// One of each thread, which ends when it is dropped.
    senders: Mutex<Vec<Sender<News>>>,
    /// Between two steps the threads look whether they shall end.
    closing: AtomicBool,
    /// Woken when segments were sealed.
    graphs: GraphBuilder,
}

impl Shared {
    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    fn tell_all(&self, news: &News) {
        for sender in &*self.senders.lock() {
            // The thread ends only when this sender is dropped.
            let _ = sender.send(news.clone());
        }
    }
}

impl Builder {
    /// # Errors
    ///
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(threads: usize, env: &Env) -> Result<Self> {
        let threads = threads.max(1);
        let mut builder = Self {
            threads: Vec::new(),
            shared: Arc::new(Shared {
                senders: Mutex::default(),
                closing: AtomicBool::new(false),
                graphs: GraphBuilder::start(threads, env)?,
            }),
        };
        for _ in 0..threads {
            let (sender, receiver) = channel();
            let worker = Worker::new(builder.shared.clone());
            let started =
                start_background_thread("segment-builder", move || worker.run(&receiver))?;
            builder.shared.senders.lock().push(sender);
            builder.threads.push(started);
        }
        Ok(builder)
    }

    /// How many there are.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Tells them that the collection's rows have changed.
    pub fn wake(&self, collection: &Arc<Collection>) {
        let senders = self.shared.senders.lock();
        let at = collection.id().0 as usize % senders.len().max(1);
        if let Some(sender) = senders.get(at) {
            // The thread ends only when this sender is dropped.
            let _ = sender.send(News::Changed(Arc::downgrade(collection)));
        }
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.senders.lock().clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What one thread knows.
struct Worker {
    shared: Arc<Shared>,
    /// Every collection of this thread that has been heard of.
    known: HashMap<CollectionId, Weak<Collection>>,
    /// When to look at which.
    waiting: HashMap<CollectionId, Instant>,
    failing: HashMap<CollectionId, Failing>,
    given_up: HashSet<CollectionId>,
    garbage: GarbageWork,
    /// When to go on comparing segments; `None` if nothing is left to compare.
    inspection_due: Option<Instant>,
}

/// Of a collection whose last step failed.
struct Failing {
    kind: ErrorKind,
    /// Until it is tried again.
    wait: Duration,
}

impl Failing {
    /// Looking whether the disk has room again costs little; any other failure may come after much work.
    fn next(before: Option<&Self>, error: &Error) -> Self {
        let kind = error.kind();
        let longest = match kind {
            ErrorKind::StorageFull => AGAIN_MAX_FULL,
            _ => AGAIN_MAX,
        };
        let wait = before.map_or(AGAIN, |before| longest.min(2 * before.wait));
        Self { kind, wait }
    }
}

/// The disk of what was removed from the store: work of no collection, so that it goes on when they are gone or fail.
#[derive(Default)]
struct GarbageWork {
    store: Weak<Store>,
    due: Option<Instant>,
    is_failing: bool,
    given_up: bool,
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            known: HashMap::new(),
            waiting: HashMap::new(),
            failing: HashMap::new(),
            given_up: HashSet::new(),
            garbage: GarbageWork::default(),
            inspection_due: None,
        }
    }

    /// Waits for news, or until a collection has rested long enough to be sealed. Asleep without a timer when there is nothing to do.
    fn run(mut self, receiver: &Receiver<News>) {
        loop {
            let waiting = self.waiting.values().copied();
            let next = waiting
                .chain(self.garbage.due)
                .chain(self.inspection_due)
                .min();
            let news = match next {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match news {
                Ok(news) => {
                    self.hear(&news);
                    for more in receiver.try_iter() {
                        self.hear(&more);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            let due = self.waiting.iter().filter(|(_, due)| **due <= now);
            let due: Vec<CollectionId> = due.map(|(id, _)| *id).collect();
            for id in due {
                self.waiting.remove(&id);
                self.work_on(id);
            }
            if self.garbage.due.is_some_and(|due| due <= Instant::now()) {
                self.collect_garbage();
            }
            if self.inspection_due.is_some_and(|due| due <= Instant::now()) {
                self.inspect();
            }
        }
    }

    fn hear(&mut self, news: &News) {
        match news {
            News::Changed(collection) => self.hear_of(collection),
            News::Dropped => self.wake_known(),
        }
    }

    /// One that fails is not tried again sooner because it is written to.
    fn hear_of(&mut self, collection: &Weak<Collection>) {
        let Some(strong) = collection.upgrade() else {
            return;
        };
        let (id, now) = (strong.id(), Instant::now());
        // What a restore fills and what it publishes have one number.
        let is_known = |known: &Weak<Collection>| Weak::ptr_eq(known, collection);
        if !self.known.get(&id).is_some_and(is_known) {
            self.forget_gone();
            self.known.insert(id, collection.clone());
            self.inspection_due.get_or_insert(now + INSPECTION_REST);
        }
        if !self.failing.contains_key(&id) {
            self.waiting.insert(id, now);
        }
        self.garbage.store = Arc::downgrade(&strong.store);
        self.garbage.due = Some(now);
    }

    fn forget_gone(&mut self) {
        self.known.retain(|_, known| known.strong_count() > 0);
        self.failing.retain(|id, _| self.known.contains_key(id));
    }

    fn work_on(&mut self, id: CollectionId) {
        let Some(strong) = self.known.get(&id).and_then(Weak::upgrade) else {
            self.failing.remove(&id);
            return;
        };
        if self.given_up.contains(&id) {
            return;
        }
        // A bug of ours in one collection must not end the sealing of all others.
        match catch_unwind(AssertUnwindSafe(|| step(&strong, &self.shared))) {
            Ok(Step::Rested(wait)) => {
                if self.failing.remove(&id).is_some() {
                    tracing::info!(collection = strong.name(), "segments are sealed again");
                }
                if let Some(wait) = wait {
                    self.waiting.insert(id, Instant::now() + wait);
                }
            }
            Ok(Step::Failed(error)) => {
                let before = self.failing.get(&id);
                if before.is_none_or(|before| before.kind != error.kind()) {
                    // The rows stay searchable by scan.
                    tracing::error!(%error, collection = strong.name(), "sealing a segment failed; it is tried again by and by");
                }
                let failing = Failing::next(before, &error);
                self.waiting.insert(id, Instant::now() + failing.wait);
                self.failing.insert(id, failing);
            }
            Ok(Step::Closing) => return,
            Err(panic) => {
                let panic = panic_words(&*panic);
                strong.note_trouble(&format!(
                    "background work on its segments stopped until the next start, its points stay readable and writable: {panic}"
                ));
                self.given_up.insert(id);
            }
        }
        self.garbage.due = Some(Instant::now());
    }

    /// Compares a piece of a collection that has segments left to compare.
    fn inspect(&mut self) {
        self.inspection_due = None;
        for collection in self.known.values().filter_map(Weak::upgrade) {
            if self.shared.is_closing() {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| collection.inspect_step())) {
                Ok(false) => {}
                Ok(true) => {
                    self.inspection_due = Some(Instant::now() + INSPECTION_REST);
                    return;
                }
                Err(panic) => {
                    let panic = panic_words(&*panic);
                    tracing::error!(
                        panic,
                        collection = collection.name(),
                        "segments are not compared with their checksums until the next start"
                    );
                    collection.give_up_inspection();
                }
            }
        }
    }

    /// Gives back some of the disk of what was removed. No collection is held meanwhile: it can be deleted, and its memory freed.
    fn collect_garbage(&mut self) {
        self.garbage.due = None;
        let Some(store) = self.garbage.store.upgrade() else {
            return;
        };
        if self.garbage.given_up || self.shared.is_closing() {
            return;
        }
        let held = || folder::held_bytes(store.dir());
        let collected = catch_unwind(AssertUnwindSafe(|| store.collect_garbage(&held)));
        let wait = match collected {
            Ok(Ok(Collected::Nothing)) => None,
            Ok(Ok(Collected::More)) => {
                self.shared.tell_all(&News::Dropped);
                // Before the next step, whose room theirs is.
                self.wake_known();
                Some(Duration::ZERO)
            }
            Ok(Ok(Collected::Later(wait))) => {
                // What it waits for may be up to them.
                self.wake_known();
                Some(wait)
            }
            Ok(Err(error)) => {
                if !std::mem::replace(&mut self.garbage.is_failing, true) {
                    tracing::error!(%error, "the disk of what was removed was not given back; it is tried again by and by");
                    // Part of it may have been done.
                    self.shared.tell_all(&News::Dropped);
                }
                self.garbage.due = Some(Instant::now() + AGAIN);
                return;
            }
            Err(panic) => {
                let panic = panic_words(&*panic);
                tracing::error!(
                    panic,
                    "the disk of what is removed is not given back until the next start"
                );
                self.garbage.given_up = true;
                return;
            }
        };
        self.garbage.is_failing = false;
        self.garbage.due = wait.map(|wait| Instant::now() + wait);
    }

    /// Their segments may use files that the store has dropped now; and for one that fails there may be room.
    fn wake_known(&mut self) {
        self.forget_gone();
        let now = Instant::now();
        self.waiting.extend(self.known.keys().map(|id| (*id, now)));
    }
}

/// How work on a collection came to an end.
enum Step {
    /// Nothing is due; to be looked at again after this time, if at all.
    Rested(Option<Duration>),
    /// Something is due that cannot be done now.
    Failed(Error),
    /// The threads shall end.
    Closing,
}

/// Does what is due, until it is done or the threads shall end.
fn step(collection: &Arc<Collection>, shared: &Shared) -> Step {
    loop {
        if shared.is_closing() {
            return Step::Closing;
        }
        match collection.build_step() {
            Ok(true) => {}
            Ok(false) => {
                shared.graphs.wake(collection);
                return Step::Rested(collection.next_check());
            }
            Err(error) => return Step::Failed(error),
        }
    }
}
