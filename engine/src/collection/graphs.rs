//! Graphs over sealed segments, built in the background and kept in files.

use std::sync::Arc;

use index::Graph;

use super::{Collection, WorkKind};
use crate::budget::{Claim, Purpose};
use crate::error::Result;
use crate::observer::Observer;
use crate::segment::{Segment, policy};

/// A graph that is to be built.
pub(crate) struct GraphJob {
    segment: Arc<Segment>,
    vector: String,
    _claim: Claim,
}

impl GraphJob {
    /// Builds it on so many threads; none if there can be none for these rows, or nobody has the segment any more: it was merged away, or its
    /// collection deleted or closed.
    pub fn build(&self, threads: usize) -> Option<Graph> {
        let is_mine_only = || Arc::strong_count(&self.segment) == 1;
        self.segment.dense[&self.vector].build_graph(threads, &is_mine_only)
    }
}

/// What is to be done about graphs.
pub(crate) enum GraphStep {
    Build(GraphJob),
    /// There is one to be built, but not now: rows come fast, or there is no memory, or no room on the disk.
    Wait,
    Nothing,
}

impl Collection {
    /// The next graph to be built: the largest for which there is memory.
    pub(crate) fn begin_graph(&self) -> GraphStep {
        #[cfg(test)]
        if self.is_paused.load(std::sync::atomic::Ordering::SeqCst) {
            return GraphStep::Nothing;
        }
        self.next_graph()
    }

    fn next_graph(&self) -> GraphStep {
        self.work.set_waiting_graph(None);
        if self.folder.is_removed() {
            return GraphStep::Nothing;
        }
        let (lacking, growing) = {
            let state = self.state.read();
            (state.lacking_graphs(), state.growing_size())
        };
        if lacking.is_empty() {
            return GraphStep::Nothing;
        }
        let budget = self.store.budget();
        let left = budget.left_for_builds();
        let mut next = None;
        for segment in lacking {
            let Some(vector) = segment.lacking_graph().map(str::to_owned) else {
                continue;
            };
            let bytes = segment.graph_bytes(&vector);
            if bytes > left {
                let what = self.lack_of_memory("a graph", segment.len(), bytes);
                self.work.set_waiting_graph(Some(what));
            } else if policy::graph_due(segment.age(), growing)
                && next.as_ref().is_none_or(|(_, _, most)| bytes > *most)
            {
                next = Some((segment, vector, bytes));
            }
        }
        let Some((segment, vector, bytes)) = next else {
            return GraphStep::Wait;
        };
        // Before minutes are spent on it.
        let room = self
            .store
            .ensure_space_for_file(segment.graph_file_bytes(&vector));
        if let Err(lack) = room {
            let what = format!("a graph of {} rows waits: {lack}", segment.len());
            self.work.set_waiting_graph(Some(what));
            return GraphStep::Wait;
        }
        self.work.begin_graph(WorkKind::Build, segment.len());
        GraphStep::Build(GraphJob {
            _claim: budget.claim(Purpose::Builds, bytes),
            segment,
            vector,
        })
    }

    /// Has the graphs learn from the queries that are asked.
    pub(crate) fn observe_by(&self, observer: &Observer) {
        for part in &self.view().parts {
            let graphs = part
                .segment
                .dense
                .values()
                .filter_map(|column| column.graph());
            graphs.for_each(|graph| graph.observe_by(observer));
        }
    }

    /// Notes that building one has ended without any.
    pub(crate) fn give_up_graph(&self) {
        self.work.end_graph();
    }

    /// Brings a graph that was built to its file and to searches.
    ///
    /// # Errors
    ///
    /// What the disk says; `StorageFull`.
    pub(crate) fn end_graph(&self, job: GraphJob, graph: Option<Graph>) -> Result<()> {
        self.work.end_graph();
        let Some(graph) = graph else {
            return Ok(());
        };
        // Merged away meanwhile, with its files.
        if self.view().segment(job.segment.uid).is_none() {
            return Ok(());
        }
        let bytes = graph.codes().as_bytes().len() + size_of_val(graph.edges());
        self.store.ensure_space_for_file(bytes as u64)?;
        self.folder.write_graph(&job.segment, &job.vector, &graph)?;
        drop((graph, job));
        self.claims.update(&self.state.read());
        Ok(())
    }

    /// Builds every graph that is lacking.
    #[cfg(test)]
    pub(crate) fn build_graphs_now(&self) {
        self.state.write().rest();
        while let GraphStep::Build(job) = self.next_graph() {
            let graph = job.build(1);
            self.end_graph(job, graph).unwrap();
        }
    }
}
