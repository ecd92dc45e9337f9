//! The background thread that builds the graphs of sealed segments: it takes longer than sealing, which must not wait for it.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::CollectionId;
use crate::collection::{Collection, GraphStep};
use crate::env::Env;
use crate::error::Result;
use crate::observer::Observer;
use crate::thread::{panic_words, start_background_thread};

/// After so long a graph that had to wait is looked at again: for memory, for disk space, or because rows came too fast.
const AGAIN: Duration = Duration::from_secs(2);

/// The longest time until a graph is built again that could not be written. It begins with [`AGAIN`] and doubles.
const AGAIN_MAX: Duration = Duration::from_secs(5 * 60);

/// A collection that may lack graphs. Its number comes along, because asking it would keep it, for a moment, from being dropped.
type News = (CollectionId, Weak<Collection>);

/// The thread, and the way to wake it. It is not waited for: what it was building when this is dropped is given up.
pub(crate) struct GraphBuilder {
    sender: Sender<News>,
    /// Held by the thread while it keeps a collection from being dropped.
    stopped: Arc<Mutex<bool>>,
}

impl GraphBuilder {
    /// Starts the thread, which builds each graph on so many threads.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(threads: usize, env: &Env) -> Result<Self> {
        let (sender, receiver) = channel();
        let stopped = Arc::new(Mutex::new(false));
        let worker = Worker {
            threads,
            observer: Observer::start(env.clone())?,
            stopped: stopped.clone(),
            given_up: HashSet::new(),
            failing: HashMap::new(),
        };
        start_background_thread("graph-builder", move || worker.run(&receiver))?;
        Ok(Self { sender, stopped })
    }

    /// Tells it that the collection may lack graphs.
    pub fn wake(&self, collection: &Arc<Collection>) {
        // The thread ends only when this is dropped.
        let _ = self
            .sender
            .send((collection.id(), Arc::downgrade(collection)));
    }
}

impl Drop for GraphBuilder {
    fn drop(&mut self) {
        *self.stopped.lock() = true;
    }
}

struct Worker {
    threads: usize,
    observer: Observer,
    stopped: Arc<Mutex<bool>>,
    /// Collections whose graphs cannot be built until the next start.
    given_up: HashSet<CollectionId>,
    /// Collections whose last graph was not written: how long to wait, from when on.
    failing: HashMap<CollectionId, (Duration, Instant)>,
}

/// What to do with a collection next.
enum Next {
    Again,
    Later,
    Nothing,
    GiveUp,
}

impl Worker {
    /// Waits for news; asleep without a timer when there is nothing to build.
    fn run(mut self, receiver: &Receiver<News>) {
        let mut waiting: HashMap<CollectionId, Weak<Collection>> = HashMap::new();
        loop {
            let news = if waiting.is_empty() {
                receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                receiver.recv_timeout(AGAIN)
            };
            match news {
                Ok((id, collection)) => {
                    waiting.insert(id, collection);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            waiting.extend(receiver.try_iter());
            for (id, collection) in std::mem::take(&mut waiting) {
                loop {
                    match self.step(id, &collection) {
                        Next::Again => {}
                        Next::Later => {
                            waiting.insert(id, collection);
                            break;
                        }
                        Next::Nothing => break,
                        Next::GiveUp => {
                            self.given_up.insert(id);
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Builds one graph. The collection, and with it the store, can be dropped while it is built.
    fn step(&mut self, id: CollectionId, collection: &Weak<Collection>) -> Next {
        if self.given_up.contains(&id) {
            return Next::Nothing;
        }
        let failed = self.failing.get(&id).copied();
        if failed.is_some_and(|(wait, since)| since.elapsed() < wait) {
            return if collection.strong_count() > 0 {
                Next::Later
            } else {
                Next::Nothing
            };
        }
        let begun = self.with(collection, |collection| {
            collection.observe_by(&self.observer);
            collection.begin_graph()
        });
        let job = match begun {
            Some(GraphStep::Build(job)) => job,
            Some(GraphStep::Wait) => return Next::Later,
            Some(GraphStep::Nothing) | None => return Next::Nothing,
        };
        // A bug of ours in one collection must not end the building of all others.
        let built = catch_unwind(AssertUnwindSafe(|| job.build(self.threads)));
        let mut failure = None;
        let ended = self.with(collection, |collection| match built {
            Ok(graph) => match collection.end_graph(job, graph) {
                Ok(()) => Next::Again,
                Err(error) => {
                    let wait = failed.map_or(AGAIN, |(wait, _)| AGAIN_MAX.min(2 * wait));
                    tracing::error!(%error, collection = collection.name(), wait_seconds = wait.as_secs(), "a graph was not written; it is built again");
                    failure = Some((wait, Instant::now()));
                    Next::Later
                }
            },
            Err(panic) => {
                collection.give_up_graph();
                collection.note_trouble(&format!(
                    "a graph cannot be built until the next start, its points are searched by scan: {}",
                    panic_words(&*panic)
                ));
                Next::GiveUp
            }
        });
        match failure {
            Some(failure) => self.failing.insert(id, failure),
            None => self.failing.remove(&id),
        };
        ended.unwrap_or(Next::Nothing)
    }

    /// Lends the collection, unless it or the builder is gone.
    fn with<R>(
        &self,
        collection: &Weak<Collection>,
        work: impl FnOnce(&Collection) -> R,
    ) -> Option<R> {
        let stopped = self.stopped.lock();
        if *stopped {
            return None;
        }
        let strong = collection.upgrade()?;
        let result = work(&strong);
        // Before the lock is given back: whoever drops the builder then holds the last of it.
        drop(strong);
        Some(result)
    }
}
