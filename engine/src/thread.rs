//! Threads that work in the background.

use std::any::Any;
use std::thread::{Builder, JoinHandle};

use crate::error::{Error, ErrorKind, Result};

/// How much a background thread leaves to others: beside one that answers a request it gets a tenth of a core (`man 7 sched`), and all of a core that
/// nobody else wants.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Starts a thread of this name, and lets those go first who answer requests: for work that nobody waits for. The threads that it starts do so too.
///
/// # Errors
///
/// As [`start_thread`].
pub fn start_background_thread(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    start_thread(name, || {
        step_back();
        run();
    })
}

/// What a system refuses, or does for whole processes only, is done without: all threads share the cores alike then.
fn step_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}

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

/// What a panic said.
pub fn panic_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc::channel;

    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn only_background_threads_and_those_that_they_start_step_back() {
        let mine = getpriority_process(None).unwrap();
        let (sender, receiver) = channel();
        let work = move || {
            let ask = || getpriority_process(None).unwrap();
            let of_child = std::thread::spawn(ask).join().unwrap();
            sender.send([ask(), of_child]).unwrap();
        };
        let thread = start_background_thread("test", work).unwrap();
        assert_eq!(receiver.recv().unwrap(), [NICE; 2]);
        thread.join().unwrap();
        assert_eq!(getpriority_process(None).unwrap(), mine);
        assert_ne!(mine, NICE);
    }
}
