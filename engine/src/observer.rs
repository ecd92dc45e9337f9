//! The background thread by which graphs learn from the queries that are asked: what effort brings which recall is measured on a graph's own rows
//! when it is built, and may be wrong for queries of another kind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::builder::words;
use crate::error::Result;
use crate::segment::GraphFile;
use crate::thread::start_thread;

/// Queries that wait at most; the others are not learned from.
const WAITING_MAX: usize = 64;
/// Every second query is learned from at first, so that a hundred are known after two hundred.
const OFTEN_UNTIL: u64 = 512;
const OFTEN: u64 = 2;
/// Later one of so many: kinds of queries change slowly, and to learn costs a scan of the codes.
const SELDOM: u64 = 512;

/// A query that a graph was asked.
struct Asked {
    graph: Weak<GraphFile>,
    query: Vec<f32>,
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
    pub fn start() -> Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        start_thread("graph-observer", move || run(&receiver))?;
        Ok(Self { sender })
    }

    /// Notes a query, if it is the turn of one: `count` tells how many were asked. Never waits.
    pub fn note(&self, count: &AtomicU64, graph: impl FnOnce() -> Weak<GraphFile>, query: &[f32]) {
        let asked = count.fetch_add(1, Ordering::Relaxed);
        let every = if asked < OFTEN_UNTIL { OFTEN } else { SELDOM };
        if !asked.is_multiple_of(every) {
            return;
        }
        let asked = Asked {
            graph: graph(),
            query: query.to_vec(),
        };
        match self.sender.try_send(asked) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

fn run(receiver: &Receiver<Asked>) {
    while let Ok(Asked { graph, query }) = receiver.recv() {
        let Some(file) = graph.upgrade() else {
            continue;
        };
        // A bug of ours with one query must not end the learning from all others.
        match catch_unwind(AssertUnwindSafe(|| file.graph.observe(&query))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a query was not learned from"),
            Err(panic) => tracing::error!(panic = words(&*panic), "a query was not learned from"),
        }
    }
}
