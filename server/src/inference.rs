//! Media to vectors, on the way in: which embedder a vector has, and one queue per embedder.

use std::collections::HashMap;

use cluster::Node;
use cluster::engine::{Collection, CollectionConfig, EmbedderConfig, SparseVector, Vector};
use embed::{
    EmbedError, Embedding, Handle, Identity, Kind, Modality, Purpose, QueueOptions, Registry,
};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::error::{ApiError, ApiResult};
use crate::wire::collection::{check_shape, embedder_config, unknown_vector};
use crate::wire::inference::Medium;

/// Embedders with different options that are kept ready; each has threads and a cache.
const HANDLES_MAX: usize = 32;
/// Bytes of vectors that each remembers by content: repeated queries cost nothing, and an idle server stays small.
const CACHE_BYTES: usize = 2 << 20;

/// The embedders of a server.
pub struct Inference {
    registry: Registry,
    /// By canonical name and options as JSON.
    handles: Mutex<HashMap<(String, String), Handle>>,
}

/// One medium to embed, for one vector of a collection.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name of the vector.
    pub vector: String,
    /// What to embed.
    pub medium: Medium,
    /// The model asked for; the collection's own if `None`.
    pub model: Option<String>,
    /// The options asked for; the collection's own if empty.
    pub options: Map<String, Value>,
}

/// What [`Inference::embed`] found out.
#[derive(Debug)]
pub struct Embedded {
    /// One per job, in their order.
    pub vectors: Vec<ApiResult<Vector>>,
    /// Embedders of vectors that had none recorded: to be recorded before the vectors are stored.
    pub to_record: Vec<(String, EmbedderConfig)>,
}

/// An embedder chosen for a job.
struct Choice {
    key: (String, String),
    handle: Handle,
    /// The collection does not know yet that this vector is made by it.
    to_record: Option<EmbedderConfig>,
}

impl Inference {
    /// The embedders of a registry.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            handles: Mutex::default(),
        }
    }

    /// Identity and shape of an embedder.
    ///
    /// # Errors
    ///
    /// 422 if there is none of this name, or its options are wrong.
    pub fn describe(
        &self,
        model: &str,
        options: &Map<String, Value>,
    ) -> ApiResult<(Identity, Kind)> {
        let (_, handle) = self.handle(model, options)?;
        Ok((
            handle.embedder().identity().clone(),
            handle.embedder().kind(),
        ))
    }

    /// Inputs that wait in all queues: queries and bulk.
    pub fn waiting(&self) -> (usize, usize) {
        let handles = self.handles.lock();
        handles
            .values()
            .map(Handle::waiting)
            .fold((0, 0), |sum, (q, b)| (sum.0 + q, sum.1 + b))
    }

    fn handle(
        &self,
        model: &str,
        options: &Map<String, Value>,
    ) -> ApiResult<((String, String), Handle)> {
        let options = Value::Object(options.clone());
        let name = self.registry.canonical(model).unwrap_or(model).to_owned();
        let key = (name, options.to_string());
        if let Some(handle) = self.handles.lock().get(&key) {
            return Ok((key, handle.clone()));
        }
        let embedder = self.registry.get(model, &options)?;
        let queue = QueueOptions {
            cache_bytes_max: CACHE_BYTES,
            ..QueueOptions::default()
        };
        let handle = Handle::new(embedder, queue);
        let mut handles = self.handles.lock();
        if handles.len() >= HANDLES_MAX
            && let Some(other) = handles.keys().find(|other| **other != key).cloned()
        {
            handles.remove(&other);
        }
        let handle = handles.entry(key.clone()).or_insert(handle).clone();
        Ok((key, handle))
    }

    /// Which vectors of a collection can be searched by a kind of media, by name: dense ones and sparse ones. One whose embedder
    /// cannot be opened is left out: the others still answer.
    pub fn vectors_for(&self, config: &CollectionConfig, modality: Modality) -> VectorsFor {
        let mut found = VectorsFor::default();
        for (name, recorded) in &config.embedders {
            if let Ok((_, handle)) = self.handle(&recorded.model, &recorded.options) {
                found.add_if(name, &handle, modality);
            }
        }
        found
    }

    /// Which vectors of a collection what is uploaded must get, by name.
    ///
    /// # Errors
    ///
    /// That of the first embedder that cannot be opened, naming it: points without its vector would not be found by it.
    pub fn vectors_to_make(
        &self,
        config: &CollectionConfig,
        modality: Modality,
    ) -> ApiResult<VectorsFor> {
        let mut found = VectorsFor::default();
        for (name, recorded) in &config.embedders {
            let opened = self.handle(&recorded.model, &recorded.options);
            let (_, handle) = opened.map_err(|error| {
                error.at(format!(
                    "vector \"{name}\" is made by {}, which cannot be opened",
                    recorded.model
                ))
            })?;
            found.add_if(name, &handle, modality);
        }
        Ok(found)
    }

    /// Embeds all jobs, each embedder's in one request to its queue, all queues at once.
    ///
    /// # Errors
    ///
    /// Each job has its own. Nothing is recorded or stored.
    pub async fn embed(
        &self,
        collection: &Collection,
        jobs: Vec<Job>,
        purpose: Purpose,
    ) -> Embedded {
        let config = collection.config();
        let mut vectors: Vec<Option<ApiResult<Vector>>> = Vec::new();
        vectors.resize_with(jobs.len(), || None);
        let mut groups: HashMap<(String, String), Group> = HashMap::new();
        let mut to_record: HashMap<String, EmbedderConfig> = HashMap::new();
        for (slot, job) in jobs.into_iter().enumerate() {
            match self.choose(&config, &job) {
                Err(error) => vectors[slot] = Some(Err(error)),
                Ok(Choice {
                    key,
                    handle,
                    to_record: record,
                }) => {
                    if let Some(record) = record {
                        // Two models for one vector in one request: the first one named counts.
                        let first = to_record
                            .entry(job.vector.clone())
                            .or_insert_with(|| record.clone());
                        if *first != record {
                            vectors[slot] = Some(Err(mismatch(&job.vector, first, &record)));
                            continue;
                        }
                    }
                    let group = groups.entry(key).or_insert_with(|| Group::new(handle));
                    group.add(slot, &job.medium);
                }
            }
        }
        let waits: Vec<_> = groups
            .into_values()
            .map(|group| group.submit(purpose))
            .collect();
        for (slots, receiver) in waits {
            let answers = receiver.await.unwrap_or_default();
            for (slot, answer) in slots.into_iter().zip(answers) {
                vectors[slot] = Some(to_vector(answer));
            }
        }
        let broken = || Err(ApiError::unavailable("the embedder stopped: try again"));
        Embedded {
            vectors: vectors
                .into_iter()
                .map(|vector| vector.unwrap_or_else(broken))
                .collect(),
            to_record: to_record.into_iter().collect(),
        }
    }

    /// The embedder of a job: the one recorded for its vector, or the one it names if none is recorded.
    fn choose(&self, config: &CollectionConfig, job: &Job) -> ApiResult<Choice> {
        let recorded = config.embedders.get(&job.vector);
        let Some(recorded) = recorded else {
            return self.choose_named(config, job);
        };
        if let Some(model) = &job.model {
            let canonical = self.registry.canonical(model);
            if canonical != Some(recorded.model.as_str()) {
                let known = canonical.map_or("unknown here", |_| "another model");
                return Err(ApiError::unprocessable(format!(
                    "vector \"{}\" is made by model {}, this asks for {} ({known}): leave `model` out, or use a vector made by it",
                    job.vector,
                    recorded.model,
                    crate::error::quote(model)
                )));
            }
        }
        if !job.options.is_empty() && job.options != recorded.options {
            return Err(ApiError::unprocessable(format!(
                "vector \"{}\" is made by {} with options {}, this asks for {}: leave `options` out",
                job.vector,
                recorded.model,
                Value::Object(recorded.options.clone()),
                Value::Object(job.options.clone()),
            )));
        }
        let (key, handle) = self.handle(&recorded.model, &recorded.options)?;
        let current = embedder_config(handle.embedder().identity(), recorded.options.clone());
        // A collection written down without version takes whichever there is.
        if !recorded.checksum.is_empty() && current != *recorded {
            return Err(mismatch(&job.vector, recorded, &current));
        }
        Ok(Choice {
            key,
            handle,
            to_record: None,
        })
    }

    fn choose_named(&self, config: &CollectionConfig, job: &Job) -> ApiResult<Choice> {
        let declared = config.vectors.contains_key(&job.vector)
            || config.sparse_vectors.contains_key(&job.vector);
        if !declared {
            return Err(unknown_vector(config, &job.vector));
        }
        let Some(model) = &job.model else {
            return Err(ApiError::unprocessable(format!(
                "vector \"{}\" has no embedder: name one as `model` ({})",
                job.vector,
                self.registry.names().join(", ")
            )));
        };
        let (key, handle) = self.handle(model, &job.options)?;
        let identity = handle.embedder().identity();
        check_shape(
            config,
            &job.vector,
            &identity.name,
            handle.embedder().kind(),
        )?;
        let to_record = Some(embedder_config(identity, job.options.clone()));
        Ok(Choice {
            key,
            handle,
            to_record,
        })
    }
}

/// Names of the vectors that take a kind of media.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorsFor {
    /// Dense ones, by name.
    pub dense: Vec<String>,
    /// Sparse ones, by name.
    pub sparse: Vec<String>,
}

impl VectorsFor {
    fn add_if(&mut self, name: &str, handle: &Handle, modality: Modality) {
        if !handle.embedder().modalities().contains(&modality) {
            return;
        }
        match handle.embedder().kind() {
            Kind::Dense { .. } => self.dense.push(name.to_owned()),
            Kind::Sparse { .. } => self.sparse.push(name.to_owned()),
        }
    }
}

/// The jobs of one embedder.
struct Group {
    handle: Handle,
    inputs: Vec<embed::OwnedInput>,
    /// The job of each input.
    slots: Vec<usize>,
}

type Answers = Vec<Result<Embedding, EmbedError>>;

impl Group {
    fn new(handle: Handle) -> Self {
        Self {
            handle,
            inputs: Vec::new(),
            slots: Vec::new(),
        }
    }

    fn add(&mut self, slot: usize, medium: &Medium) {
        self.slots.push(slot);
        self.inputs.push(medium.to_input());
    }

    fn submit(self, purpose: Purpose) -> (Vec<usize>, oneshot::Receiver<Answers>) {
        let (sender, receiver) = oneshot::channel();
        // Nobody listens any more if the client went away: the vectors are for nobody then.
        let reply = Box::new(move |answers| drop(sender.send(answers)));
        self.handle.submit(self.inputs, purpose, reply);
        (self.slots, receiver)
    }
}

fn to_vector(answer: Result<Embedding, EmbedError>) -> ApiResult<Vector> {
    match answer? {
        Embedding::Dense(numbers) => Ok(Vector::Dense(numbers)),
        Embedding::Sparse(sparse) => Ok(Vector::Sparse(SparseVector::new(
            sparse.indices,
            sparse.values,
        )?)),
    }
}

fn mismatch(vector: &str, recorded: &EmbedderConfig, asked: &EmbedderConfig) -> ApiError {
    let name = |config: &EmbedderConfig| {
        let options = match config.options.is_empty() {
            true => String::new(),
            false => format!(" with options {}", Value::Object(config.options.clone())),
        };
        format!(
            "{} {} ({}){options}",
            config.model, config.version, config.checksum
        )
    };
    ApiError::unprocessable(format!(
        "vector \"{vector}\" is made by model {}, this would use {}: vectors of two models do not compare, use another vector",
        name(recorded),
        name(asked)
    ))
}

/// Remembers in a collection which embedders make its vectors.
///
/// # Errors
///
/// 422 if another request recorded another embedder meanwhile.
pub fn record(
    node: &Node,
    collection: &str,
    to_record: Vec<(String, EmbedderConfig)>,
) -> ApiResult<()> {
    if to_record.is_empty() {
        return Ok(());
    }
    let mut conflict = None;
    node.update_collection(collection, |config| {
        for (vector, wanted) in &to_record {
            let found = config
                .embedders
                .entry(vector.clone())
                .or_insert_with(|| wanted.clone());
            if found != wanted {
                conflict = Some(mismatch(vector, found, wanted));
            }
        }
    })?;
    conflict.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An upload lacked the vector without a word.
    #[test]
    fn an_embedder_that_cannot_be_opened_is_named() {
        let inference = Inference::new(Registry::builtin());
        let (identity, _) = inference.describe("vecino/text", &Map::new()).unwrap();
        let mut config = CollectionConfig::default();
        let known = embedder_config(&identity, Map::new());
        let gone = EmbedderConfig {
            model: "gone/model".into(),
            ..known.clone()
        };
        config.embedders.insert("a".into(), known);
        let all = inference.vectors_to_make(&config, Modality::Text).unwrap();
        assert_eq!(all.dense, ["a"]);
        config.embedders.insert("b".into(), gone);
        let error = inference
            .vectors_to_make(&config, Modality::Text)
            .unwrap_err();
        assert_eq!(error.status.as_u16(), 422);
        for part in ["vector \"b\"", "gone/model"] {
            assert!(error.message.contains(part), "{error}");
        }
        // The other one still answers.
        assert_eq!(inference.vectors_for(&config, Modality::Text), all);
    }
}
