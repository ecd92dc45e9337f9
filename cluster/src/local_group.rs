//! The proposer of a single node: one committer for all partitions, with group commit.
//!
//! A proposal that comes while another waits for the disk joins the next batch: the entries of all waiting requests, of whatever
//! partitions, go into one batch and one fsync, and are applied in one batch.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use engine::{Engine, Error, ErrorKind, Operation, Outcome, Partition, Result, Share};

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
    ///
    /// # Errors
    ///
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(engine: Arc<Engine>) -> Result<Self> {
        let (sender, receiver) = channel();
        let committer = engine::start_thread("committer", move || run(&engine, &receiver))?;
        Ok(Self {
            sender: Some(sender),
            committer: Some(committer),
        })
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
    let mut batch = Batch::default();
    let mut waiting = Vec::with_capacity(proposals.len());
    let mut requests: HashMap<String, u128> = HashMap::new();
    for proposal in proposals {
        if let Some(error) = refusal(engine, &mut requests, &proposal) {
            (proposal.done)(Err(error));
            continue;
        }
        let deletes = (mixed && proposal.only_deletes()).then(|| proposal.shares.clone());
        let places = batch.take(proposal.shares);
        waiting.push((proposal.done, places, deletes));
    }
    let outcome = batch.write(engine);
    for (done, places, deletes) in waiting {
        done(match (&outcome, deletes) {
            (Ok(written), _) => Ok(written.of(&places)),
            (Err(error), Some(deletes)) if error.kind() == ErrorKind::StorageFull => {
                write_alone(engine, deletes)
            }
            (Err(error), _) => Err(Error::new(error.kind(), error.to_string())),
        });
    }
}

/// Why a proposal does not go into the log: its request's name was used with another body, by a request of `requests`, which go into the same
/// batch, or by one that is applied. The committer applies everything that it appends before it asks, so nothing lies in between.
fn refusal(
    engine: &Engine,
    requests: &mut HashMap<String, u128>,
    proposal: &Proposal,
) -> Option<Error> {
    let tag = proposal
        .operations()
        .find_map(|operation| match operation {
            Operation::Request { tag, .. } => Some(tag),
            _ => None,
        })?;
    match engine.conflicting_request(&proposal.shares) {
        Ok(None) => {}
        Ok(Some(tag)) => return Some(tag.conflict()),
        Err(error) => return Some(error),
    }
    let digest = *requests
        .entry(tag.id().to_owned())
        .or_insert_with(|| tag.digest());
    (digest != tag.digest()).then(|| tag.conflict())
}

fn write_alone(engine: &Engine, shares: Vec<Share>) -> Result<Committed> {
    let mut batch = Batch::default();
    let places = batch.take(shares);
    Ok(batch.write(engine)?.of(&places))
}

/// What goes into the logs together: one entry per partition, however many requests touch it; operations stay in the order of the requests.
#[derive(Default)]
struct Batch {
    by_partition: BTreeMap<Partition, Vec<Operation>>,
}

/// Where the operations of one share stand in the entry of its partition.
struct Place {
    partition: Partition,
    operations: Range<usize>,
}

impl Batch {
    fn take(&mut self, shares: Vec<Share>) -> Vec<Place> {
        let place = |share: Share| {
            let operations = self.by_partition.entry(share.partition).or_default();
            let from = operations.len();
            operations.extend(share.operations);
            Place {
                partition: share.partition,
                operations: from..operations.len(),
            }
        };
        shares.into_iter().map(place).collect()
    }

    /// Brings the operations into the logs and applies them.
    fn write(self, engine: &Engine) -> Result<Written> {
        let partitions: Vec<Partition> = self.by_partition.keys().copied().collect();
        let shares = self
            .by_partition
            .into_iter()
            .map(|(partition, operations)| Share {
                partition,
                operations,
            });
        let outcomes = engine.apply(engine.append(shares.collect())?)?;
        Ok(Written {
            operation_id: engine.sequence(),
            outcomes: partitions.into_iter().zip(outcomes).collect(),
        })
    }
}

/// What became of a batch.
struct Written {
    operation_id: u64,
    outcomes: BTreeMap<Partition, Vec<Outcome>>,
}

impl Written {
    /// What became of the request whose shares stand in these places.
    fn of(&self, places: &[Place]) -> Committed {
        let mut exceptions = Vec::new();
        for place in places {
            let outcomes = &self.outcomes[&place.partition][place.operations.clone()];
            let other = outcomes.iter().enumerate();
            let other = other.filter(|(_, outcome)| **outcome != Outcome::Done);
            exceptions.extend(other.map(|(at, outcome)| (place.partition, at, *outcome)));
        }
        Committed {
            operation_id: self.operation_id,
            exceptions,
        }
    }
}

#[cfg(test)]
mod tests;
