//! The background thread by which graphs learn while they serve.
//!
//! - What effort brings which recall is measured on a graph's own rows when it is built, and may be wrong for queries of another kind: a few of those
//!   that are asked are measured too.
//! - Which filters are met by a walk and which by a scan follows from what both cost on this machine, which is measured when a graph is asked
//!   with a filter for the first time since it was opened: its pages are in memory then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::env::Env;
use crate::error::Result;
use crate::segment::GraphFile;
use crate::thread::{panic_words, start_background_thread};

/// Queries that wait at most; the others are not learned from.
const WAITING_MAX: usize = 64;
/// Every second query is learned from at first, so that a hundred are known after two hundred.
const OFTEN_UNTIL: u64 = 512;
const OFTEN: u64 = 2;
/// Later one of so many: kinds of queries change slowly, and to learn costs a scan of the codes.
const SELDOM: u64 = 512;

/// What a graph is to learn.
enum Lesson {
    /// From a query that it was asked.
    Query(Vec<f32>),
    /// What its ways to answer cost.
    Costs,
}

/// A graph and its lesson.
struct Asked {
    graph: Weak<GraphFile>,
    lesson: Lesson,
}

/// The way to the thread. It ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct Observer {
    sender: SyncSender<Asked>,
}

impl Observer {
    /// # Errors
    ///
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(env: Env) -> Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        start_background_thread("graph-observer", move || run(&receiver, &env))?;
        Ok(Self { sender })
    }

    /// Notes a query, if it is the turn of one: `count` tells how many were asked. Never waits.
    pub fn note(&self, count: &AtomicU64, graph: impl FnOnce() -> Weak<GraphFile>, query: &[f32]) {
        let asked = count.fetch_add(1, Ordering::Relaxed);
        let every = if asked < OFTEN_UNTIL { OFTEN } else { SELDOM };
        if !asked.is_multiple_of(every) {
            return;
        }
        self.teach(graph(), Lesson::Query(query.to_vec()));
    }

    /// Has the costs of a graph measured; whether they will be. Never waits.
    pub fn measure_costs(&self, graph: Weak<GraphFile>) -> bool {
        self.teach(graph, Lesson::Costs)
    }

    /// Whether there was room for it.
    fn teach(&self, graph: Weak<GraphFile>, lesson: Lesson) -> bool {
        match self.sender.try_send(Asked { graph, lesson }) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn run(receiver: &Receiver<Asked>, env: &Env) {
    while let Ok(Asked { graph, lesson }) = receiver.recv() {
        let Some(file) = graph.upgrade() else {
            continue;
        };
        let learn = || match &lesson {
            Lesson::Query(query) => {
                if let Err(error) = file.graph.observe(query) {
                    tracing::debug!(%error, "a query was not learned from");
                }
            }
            Lesson::Costs => {
                let costs = file.graph.measure_costs(&|| env.elapsed());
                tracing::debug!(?costs, "what a filtered walk and a scan cost was measured");
            }
        };
        // A bug of ours with one lesson must not end the learning from all others.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(learn)) {
            tracing::error!(panic = panic_words(&*panic), "a graph did not learn");
        }
    }
}
