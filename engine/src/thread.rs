//! Threads that work in the background.

use std::thread::{Builder, JoinHandle};

use crate::error::{Error, ErrorKind, Result};

/// Starts a thread of this name.
///
/// # Errors
///
/// `Unavailable` if the operating system gives none.
pub fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let started = Builder::new().name(name.to_owned()).spawn(run);
    started.map_err(|error| {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "start the thread `{name}`: {error}; let the process have more threads (`ulimit -u`, or `pids.max` of the control group)"
            ),
        )
    })
}
