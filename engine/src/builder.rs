//! Background threads that seal and merge segments, so that writes and searches never wait for it. Each has its own collections.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::CollectionId;
use crate::collection::Collection;
use crate::error::Result;
use crate::graph_builder::GraphBuilder;
use crate::storage::Store;
use crate::thread::start_thread;

/// The threads and the ways to wake them.
pub(crate) struct Builder {
    senders: Vec<Sender<Weak<Collection>>>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Between two steps the threads look whether they shall end.
    closing: AtomicBool,
    /// Woken when segments were sealed.
    graphs: GraphBuilder,
}

impl Shared {
    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

impl Builder {
    /// # Errors
    ///
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let mut builder = Self {
            senders: Vec::new(),
            threads: Vec::new(),
            shared: Arc::new(Shared {
                closing: AtomicBool::new(false),
                graphs: GraphBuilder::start(threads)?,
            }),
        };
        for _ in 0..threads {
            let (sender, receiver) = channel();
            let shared = builder.shared.clone();
            let started = start_thread("segment-builder", move || run(&receiver, &shared))?;
            builder.senders.push(sender);
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
        let at = collection.id().0 as usize % self.senders.len().max(1);
        if let Some(sender) = self.senders.get(at) {
            // The thread ends only when this sender is dropped.
            let _ = sender.send(Arc::downgrade(collection));
        }
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.senders.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Waits for news, or until a collection has rested long enough to be sealed. Asleep without a timer when there is nothing to seal.
fn run(receiver: &Receiver<Weak<Collection>>, shared: &Shared) {
    let mut waiting: HashMap<CollectionId, (Weak<Collection>, Instant)> = HashMap::new();
    let mut given_up: HashSet<CollectionId> = HashSet::new();
    loop {
        let next = waiting.values().map(|(_, due)| *due).min();
        let news = match next {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match news {
            Ok(collection) => {
                note(&mut waiting, &collection, Duration::ZERO);
                for more in receiver.try_iter() {
                    note(&mut waiting, &more, Duration::ZERO);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        let due: Vec<CollectionId> = waiting
            .iter()
            .filter(|(_, (_, due))| *due <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some((collection, _)) = waiting.remove(&id) else {
                continue;
            };
            let Some(strong) = collection.upgrade() else {
                continue;
            };
            if given_up.contains(&id) {
                continue;
            }
            // A bug of ours in one collection must not end the sealing of all others.
            match catch_unwind(AssertUnwindSafe(|| step(&strong, shared))) {
                Ok(Step::Rested(wait)) => {
                    let store = strong.store.clone();
                    // It can be deleted, and its memory freed, while garbage is collected.
                    drop(strong);
                    let mut more = collect_garbage(&store);
                    // Nobody would go on for a collection that is gone.
                    while more && collection.strong_count() == 0 && !shared.is_closing() {
                        more = collect_garbage(&store);
                    }
                    if more {
                        note(&mut waiting, &collection, Duration::ZERO);
                    } else if let Some(wait) = wait {
                        note(&mut waiting, &collection, wait);
                    }
                }
                Ok(Step::Ended) => {}
                Err(panic) => {
                    let panic = words(&*panic);
                    strong.note_trouble(&format!(
                        "background work on its segments stopped until the next start, its points stay readable and writable: {panic}"
                    ));
                    given_up.insert(id);
                }
            }
        }
    }
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

fn note(
    waiting: &mut HashMap<CollectionId, (Weak<Collection>, Instant)>,
    collection: &Weak<Collection>,
    wait: Duration,
) {
    if let Some(strong) = collection.upgrade() {
        waiting.insert(strong.id(), (collection.clone(), Instant::now() + wait));
    }
}

/// How work on a collection came to an end.
enum Step {
    /// Nothing is due; to be looked at again after this time, if at all.
    Rested(Option<Duration>),
    /// The threads shall end, or something failed: the next write tries again.
    Ended,
}

/// Does what is due, until it is done or the threads shall end.
fn step(collection: &Arc<Collection>, shared: &Shared) -> Step {
    loop {
        if shared.is_closing() {
            return Step::Ended;
        }
        match collection.build_step() {
            Ok(true) => {}
            Ok(false) => {
                shared.graphs.wake(collection);
                return Step::Rested(collection.next_check());
            }
            Err(error) => {
                // The rows stay searchable by scan; the next write tries again.
                tracing::error!(%error, collection = collection.name(), "sealing a segment failed");
                return Step::Ended;
            }
        }
    }
}

/// Gives back some of the disk space of removed vectors; whether there may be more.
fn collect_garbage(store: &Store) -> bool {
    store.collect_garbage().unwrap_or_else(|error| {
        tracing::error!(%error, "the disk of removed vectors was not given back");
        false
    })
}
