//! The one trait between a request and the logs of the partitions it touches.

use engine::{Result, Share};

/// What became of a proposal.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Committed {
    /// Grows with every write of the node.
    pub operation_id: u64,
}

/// Takes one request's shares, one per partition, and brings each into its partition's log.
pub trait Proposer: Send + Sync {
    /// Hands the shares over. `done` is called once, from another thread: after the shares are durable, applied and visible to searches on this
    /// node, or with the error; none or all of the shares of one call took effect on a single node.
    fn propose(&self, shares: Vec<Share>, done: Box<dyn FnOnce(Result<Committed>) + Send>);

    /// [`Self::propose`], waiting for the outcome.
    ///
    /// # Errors
    ///
    /// As [`engine::Engine::append`] and [`engine::Engine::apply`].
    fn propose_and_wait(&self, shares: Vec<Share>) -> Result<Committed> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.propose(
            shares,
            Box::new(move |outcome| {
                // The receiver waits below.
                let _ = sender.send(outcome);
            }),
        );
        receiver.recv().expect("a proposal is always answered")
    }
}
