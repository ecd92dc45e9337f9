//! The proposer of a single node: one committer for all partitions, with group commit.
//!
//! A proposal that comes while another waits for the disk joins the next batch: the entries of all waiting requests, of whatever
//! partitions, go into one batch and one fsync, and are applied in one batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use engine::{Engine, Error, ErrorKind, Operation, Partition, Result, Share};

use crate::proposer::{Committed, Proposer};

/// Operations after which a batch takes no further request: bounds the memory of one RocksDB batch.
const BATCH_OPERATIONS_MAX: usize = 4096;

struct Proposal {
    shares: Vec<Share>,
    done: Box<dyn FnOnce(Result<Committed>) + Send>,
}

/// See the module.
pub struct LocalGroup {
    sender: Option<Sender<Proposal>>,
    committer: Option<JoinHandle<()>>,
}

impl LocalGroup {
    /// Starts the committer.
    pub fn start(engine: Arc<Engine>) -> Self {
        let (sender, receiver) = channel();
        let committer = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || run(&engine, &receiver))
            .expect("the operating system starts a thread");
        Self {
            sender: Some(sender),
            committer: Some(committer),
        }
    }
}

impl Proposer for LocalGroup {
    fn propose(&self, shares: Vec<Share>, done: Box<dyn FnOnce(Result<Committed>) + Send>) {
        let proposal = Proposal { shares, done };
        let sender = self
            .sender
            .as_ref()
            .expect("the committer runs until this is dropped");
        if let Err(unsent) = sender.send(proposal) {
            // The committer has panicked: a bug, and nothing can be written any more.
            (unsent.0.done)(Err(Error::new(
                ErrorKind::Unavailable,
                "the committer has stopped; restart the server",
            )));
        }
    }
}

impl Drop for LocalGroup {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(committer) = self.committer.take() {
            let _ = committer.join();
        }
    }
}

fn run(engine: &Engine, receiver: &Receiver<Proposal>) {
    while let Ok(first) = receiver.recv() {
        let mut operations = count(&first);
        let mut proposals = vec![first];
        while operations < BATCH_OPERATIONS_MAX
            && let Ok(next) = receiver.try_recv()
        {
            operations += count(&next);
            proposals.push(next);
        }
        commit(engine, proposals);
    }
}

fn count(proposal: &Proposal) -> usize {
    proposal
        .shares
        .iter()
        .map(|share| share.operations.len())
        .sum()
}

fn commit(engine: &Engine, proposals: Vec<Proposal>) {
    // One entry per partition, however many requests touch it; operations stay in the order of the requests.
    let mut by_partition: BTreeMap<Partition, Vec<Operation>> = BTreeMap::new();
    let mut waiting = Vec::with_capacity(proposals.len());
    for proposal in proposals {
        for share in proposal.shares {
            by_partition
                .entry(share.partition)
                .or_default()
                .extend(share.operations);
        }
        waiting.push(proposal.done);
    }
    let shares = by_partition
        .into_iter()
        .map(|(partition, operations)| Share {
            partition,
            operations,
        })
        .collect();
    let outcome = engine
        .append(shares)
        .and_then(|entries| engine.apply(entries));
    let operation_id = engine.sequence();
    for done in waiting {
        done(match &outcome {
            Ok(()) => Ok(Committed { operation_id }),
            Err(error) => Err(Error::new(error.kind(), error.to_string())),
        });
    }
}
