//! Names to embedders.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::image::ImageEmbedder;
use crate::image::projection::MODES;
use crate::{Embedder, text};

/// Why a name gave no embedder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No embedder has this name.
    #[error("unknown model {name:?}: known are {}", known.join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// An option is unknown, of the wrong type or out of range.
    #[error("model {model}: {why}")]
    Options {
        /// The model's name.
        model: String,
        /// Which option, what is wrong, what is allowed.
        why: String,
    },
    /// The embedder's own weights are damaged.
    #[error("model {model} cannot be loaded: {why}")]
    Broken {
        /// The model's name.
        model: String,
        /// What is damaged.
        why: String,
    },
}

/// Makes an embedder from its options; `null` and `{}` mean the defaults.
pub type Constructor =
    Box<dyn Fn(&Value) -> Result<Arc<dyn Embedder>, RegistryError> + Send + Sync>;

/// Names to constructors. Names are compared without regard to case.
#[derive(Default)]
pub struct Registry {
    constructors: BTreeMap<String, Constructor>,
    /// Alias to name, both in lower case.
    aliases: BTreeMap<String, String>,
}

impl Registry {
    /// A registry without any name.
    pub fn empty() -> Self {
        Registry::default()
    }

    /// The embedders that need no download.
    pub fn builtin() -> Self {
        let mut registry = Registry::empty();
        registry.register("vecino/text", text::TextEmbedder::from_options);
        registry.register("vecino/bm25", text::Bm25Embedder::from_options);
        registry.alias("qdrant/bm25", "vecino/bm25");
        for mode in MODES {
            registry.register(mode.model_name(), move |options| {
                ImageEmbedder::from_options(mode, options)
            });
        }
        registry
    }

    /// Adds an embedder, or replaces the one of the same name.
    pub fn register<E, F>(&mut self, name: &str, constructor: F)
    where
        E: Embedder + 'static,
        F: Fn(&Value) -> Result<E, RegistryError> + Send + Sync + 'static,
    {
        let boxed: Constructor = Box::new(move |options| Ok(Arc::new(constructor(options)?)));
        self.constructors.insert(name.to_lowercase(), boxed);
    }

    /// Lets `name` be called `alias` too.
    pub fn alias(&mut self, alias: &str, name: &str) {
        self.aliases
            .insert(alias.to_lowercase(), name.to_lowercase());
    }

    /// The name that `name` stands for: lower case, aliases resolved. `None` if there is no such embedder.
    pub fn canonical(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        let name = self.aliases.get(&name).unwrap_or(&name);
        self.constructors
            .get_key_value(name)
            .map(|(name, _)| name.as_str())
    }

    /// The names, sorted, without aliases.
    pub fn names(&self) -> Vec<&str> {
        self.constructors.keys().map(String::as_str).collect()
    }

    /// Makes the embedder `name` with `options`.
    ///
    /// Cheap for the built-in ones: their weights lie in the program and are shared.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unknown`] lists the names there are; [`RegistryError::Options`] names the option.
    pub fn get(&self, name: &str, options: &Value) -> Result<Arc<dyn Embedder>, RegistryError> {
        let constructor = self
            .canonical(name)
            .and_then(|name| self.constructors.get(name));
        let constructor = constructor.ok_or_else(|| RegistryError::Unknown {
            name: name.chars().take(100).collect(),
            known: self.names().into_iter().map(str::to_owned).collect(),
        })?;
        constructor(options)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("names", &self.names())
            .field("aliases", &self.aliases)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_and_alias() {
        let registry = Registry::builtin();
        for name in ["vecino/bm25", "Qdrant/bm25", "qdrant/BM25", "Vecino/BM25"] {
            assert_eq!(registry.canonical(name), Some("vecino/bm25"));
            assert_eq!(
                registry.get(name, &Value::Null).unwrap().identity().name,
                "vecino/bm25"
            );
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = Registry::builtin()
            .get("clip", &Value::Null)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("\"clip\"")
                && error.contains("vecino/bm25")
                && error.contains("vecino/text"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (name, options) in [
            ("vecino/text", serde_json::json!({"speed": 1})),
            ("vecino/bm25", serde_json::json!({"speed": 1})),
            ("vecino/bm25", serde_json::json!({"k": -1.0, "speed": null})),
            ("vecino/bm25", serde_json::json!([1])),
        ] {
            let error = Registry::builtin().get(name, &options).err().unwrap();
            assert!(
                matches!(&error, RegistryError::Options { model, .. } if model == name),
                "{error}"
            );
        }
    }
}
