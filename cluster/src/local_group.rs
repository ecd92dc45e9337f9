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

/// Operations after which a batch takes no further request.
const BATCH_OPERATIONS_MAX: usize = 4096;
/// Bytes after which a batch takes no further request: with one request more, its log entries can still be read back, and it fits in memory
/// whatever waits.
const BATCH_BYTES_MAX: usize = 16 << 20;

struct Proposal {
    shares: Vec<Share>,
    done: Box<dyn FnOnce(Result<Committed>) + Send>,
}

impl Proposal {
    fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.shares.iter().flat_map(|share| &share.operations)
    }

    fn only_deletes(&self) -> bool {
        self.shares.iter().all(Share::only_deletes)
    }
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
        commit(engine, gather(first, receiver));
    }
}

/// The first proposal and those that wait behind it, up to the limits of a batch.
fn gather(first: Proposal, receiver: &Receiver<Proposal>) -> Vec<Proposal> {
    let mut operations = first.operations().count();
    let mut bytes: usize = first.operations().map(Operation::bytes).sum();
    let mut proposals = vec![first];
    while operations < BATCH_OPERATIONS_MAX
        && bytes < BATCH_BYTES_MAX
        && let Ok(next) = receiver.try_recv()
    {
        operations += next.operations().count();
        bytes += next.operations().map(Operation::bytes).sum::<usize>();
        proposals.push(next);
    }
    proposals
}

fn commit(engine: &Engine, proposals: Vec<Proposal>) {
    // A batch with points in it is refused when the disk is nearly full; the deletes among them make room and are then tried by themselves.
    let mixed = proposals.iter().any(Proposal::only_deletes)
        && !proposals.iter().all(Proposal::only_deletes);
    let mut shares = Vec::new();
    let mut waiting = Vec::with_capacity(proposals.len());
    for proposal in proposals {
        let deletes = (mixed && proposal.only_deletes()).then(|| proposal.shares.clone());
        shares.extend(proposal.shares);
        waiting.push((proposal.done, deletes));
    }
    let outcome = write(engine, shares);
    for (done, deletes) in waiting {
        done(match (&outcome, deletes) {
            (Ok(committed), _) => Ok(*committed),
            (Err(error), Some(deletes)) if error.kind() == ErrorKind::StorageFull => {
                write(engine, deletes)
            }
            (Err(error), _) => Err(Error::new(error.kind(), error.to_string())),
        });
    }
}

/// Brings the shares into the logs and applies them: one entry per partition, however many requests touch it; operations stay in the order of
/// the requests.
fn write(engine: &Engine, shares: Vec<Share>) -> Result<Committed> {
    let mut by_partition: BTreeMap<Partition, Vec<Operation>> = BTreeMap::new();
    for share in shares {
        by_partition
            .entry(share.partition)
            .or_default()
            .extend(share.operations);
    }
    let shares = by_partition
        .into_iter()
        .map(|(partition, operations)| Share {
            partition,
            operations,
        })
        .collect();
    engine.apply(engine.append(shares)?)?;
    Ok(Committed {
        operation_id: engine.sequence(),
    })
}

#[cfg(test)]
mod tests;
