//! The one trait between a request and the logs of the partitions it touches.

use engine::{Error, ErrorKind, Outcome, Partition, Result, Share};

/// What became of a proposal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Committed {
    /// Grows with every write of the node.
    pub operation_id: u64,
    /// The operations that changed nothing, by partition and position within its share.
    pub exceptions: Vec<(Partition, usize, Outcome)>,
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
        receiver.recv().unwrap_or_else(|_| {
            // The proposer dropped `done`: it has panicked, which is a bug of ours but none of the caller's.
            Err(Error::new(
                ErrorKind::Unavailable,
                "the committer has stopped, it is unknown whether the write took effect; restart the server",
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proposer whose thread has died with the proposal in its hands.
    struct Dead;

    impl Proposer for Dead {
        fn propose(&self, _: Vec<Share>, done: Box<dyn FnOnce(Result<Committed>) + Send>) {
            drop(done);
        }
    }

    #[test]
    fn a_proposal_that_nobody_answers_is_an_error() {
        let error = Dead.propose_and_wait(Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("it is unknown"), "{error}");
    }
}
