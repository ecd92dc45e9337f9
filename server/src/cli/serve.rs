//! `vecino serve`: runs the server until it is told to stop.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use cluster::engine::MemoryShares;

use super::failure::{Failure, Result};
use super::size::parse_bytes;

/// Folder of the data if nothing is said.
pub const DATA_DEFAULT: &str = "./vecino-data";

const LOGGING: &str = "\
Logs go to standard error. VECINO_LOG says how much (error, warn, info, debug; default info), VECINO_LOG_FORMAT=json in
which form.";

/// How to run the server.
#[derive(Args, Debug)]
#[command(after_help = LOGGING)]
pub struct ServeArgs {
    /// Folder of everything that is stored; made if absent.
    #[arg(long, value_name = "DIR", env = "VECINO_DATA_DIR", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = "VECINO_LISTEN", default_value_t = server::LISTEN_DEFAULT)]
    listen: SocketAddr,
    /// Key that every request must carry. Made and printed if the address is not loopback and none is given.
    #[arg(
        long,
        value_name = "KEY",
        env = "VECINO_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// Memory budget: bytes, or as 512M or 2G, at least 128M. With less, caches are smaller and builds wait; writes that do not
    /// fit are refused, reads go on. Mapped files come on top, which the system takes back when it needs the memory. By default
    /// half of what the machine, or the control group, has.
    #[arg(long, value_name = "SIZE", env = "VECINO_MEMORY", value_parser = memory_bytes)]
    memory: Option<u64>,
    /// Threads that seal, merge and build in the background, 1 to 256. By default half of the cores, at least one.
    #[arg(long, value_name = "N", env = "VECINO_BACKGROUND_THREADS", value_parser = threads)]
    background_threads: Option<NonZeroUsize>,
}

fn memory_bytes(text: &str) -> std::result::Result<u64, String> {
    let bytes = parse_bytes(text)?;
    MemoryShares::of(bytes).map_err(|error| error.message().to_owned())?;
    Ok(bytes)
}

fn threads(text: &str) -> std::result::Result<NonZeroUsize, String> {
    let threads = text
        .parse()
        .ok()
        .filter(|threads: &NonZeroUsize| threads.get() <= 256);
    threads.ok_or_else(|| {
        format!("{text:?} is no number of threads: give a whole number from 1 to 256, as 2")
    })
}

/// Runs the command; returns after an orderly shutdown.
///
/// # Errors
///
/// The address is taken, or the data folder cannot be opened.
pub fn run(args: &ServeArgs) -> Result<()> {
    server::init_logging();
    let mut options = server::ServeOptions::new(&args.data);
    options.listen = args.listen;
    // An empty variable in the environment is no key.
    options.api_key = args.api_key.clone().filter(|key| !key.is_empty());
    options.memory_bytes = args.memory;
    options.background_threads = args.background_threads;
    let runtime = runtime()?;
    runtime
        .block_on(server::serve(options))
        .map_err(|error| explain(&error, args))
}

/// A runtime for the server.
///
/// # Errors
///
/// The system gives no threads.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    server::runtime().map_err(|error| Failure::new(format!("start the runtime: {error}")))
}

fn explain(error: &anyhow::Error, args: &ServeArgs) -> Failure {
    let text = format!("{error:#}");
    let kind = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    let failure = Failure::new(text.clone());
    match kind {
        Some(std::io::ErrorKind::AddrInUse) => Failure::new("the address is taken")
            .at(args.listen.to_string())
            .mend("a server runs there already: use it, stop it, or listen elsewhere with --listen 127.0.0.1:PORT"),
        Some(std::io::ErrorKind::PermissionDenied) => failure.mend("choose a folder that you may write with --data, and a port above 1023 with --listen"),
        Some(std::io::ErrorKind::AddrNotAvailable) => {
            failure.at(args.listen.to_string()).mend("this machine does not have that address; listen on 127.0.0.1 or 0.0.0.0")
        }
        // The engine's words would give the same advice a second time.
        _ if is_locked(&text) => Failure::new("the data folder is in use")
            .at(args.data.display().to_string())
            .mend("another vecino uses this folder: use that one, stop it, or choose another folder with --data"),
        _ => failure.at(args.data.display().to_string()).mend(format!(
            "run `vecino doctor --data {}` to see what is wrong",
            args.data.display()
        )),
    }
}

/// Whether an error says that another process has the data folder open.
fn is_locked(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("lock")
        && (text.contains("temporarily unavailable")
            || text.contains("hold")
            || text.contains("in use")
            || text.contains("resource"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_with_an_example() {
        assert_eq!(threads("256").unwrap().get(), 256);
        for text in ["", "0", "257", "-1", "2.5", "two"] {
            assert!(threads(text).unwrap_err().contains("1 to 256, as 2"));
        }
        assert_eq!(memory_bytes("1G"), Ok(1 << 30));
        for text in ["", "1M", "0", "1X", "much"] {
            assert!(memory_bytes(text).unwrap_err().contains("512M"), "{text}");
        }
    }
}
