//! The HTTP edge of Vecino: the dialect that existing clients speak, what we add to it, and media to vectors on the way in.
//!
//! What this crate is not: it stores nothing and searches nothing. It reads requests into the model of [`cluster::engine`],
//! lets [`embed`] turn texts and pictures into vectors, calls a [`cluster::Node`], and writes answers.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! let data = tempfile::tempdir()?;
//! let runtime = server::runtime()?;
//! runtime.block_on(async {
//!     let mut options = server::ServeOptions::new(data.path());
//!     options.listen.set_port(0);
//!     let running = server::spawn(options).await?;
//!     println!("http://{}/ui", running.addr);
//!     running.shutdown().await
//! })
//! # }
//! ```

mod app;
mod auth;
mod blocking;
mod config;
mod connections;
mod error;
mod http;
mod hybrid;
mod inference;
mod ingest;
mod memory;
mod room;
mod telemetry;
mod thumbnails;
mod ui;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use cluster::engine::{EngineOptions, GiveBack, MemoryShares};
use cluster::{Node, NodeOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use auth::Auth;
pub use config::{LISTEN_DEFAULT, Limits, ServeOptions};
pub use telemetry::init_logging;

use app::{App, AppState};
use inference::Inference;
use room::Room;
use telemetry::Metrics;
use thumbnails::Thumbnails;

/// Threads that serve sockets. They never compute for long, so two are enough for many connections.
const SOCKET_THREADS: usize = 2;
/// Threads that block on disk or compute an answer: enough that searches go on while writes wait for their fsync.
const WORK_THREADS_MAX: usize = 32;
/// How long open connections may finish after a signal to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// A server that runs in the background of a runtime.
pub struct Running {
    /// Where it listens, with the port that was taken.
    pub addr: SocketAddr,
    /// The key that requests must carry, given or made.
    pub api_key: Option<String>,
    /// Whether the key was made for this run, so that it must be shown.
    pub api_key_generated: bool,
    stop: watch::Sender<bool>,
    /// True once the data is open; closed if it cannot be opened.
    opened: watch::Receiver<bool>,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Stops accepting, lets open requests finish within ten seconds, and closes the storage.
    ///
    /// # Errors
    ///
    /// What ended the server, if it had ended before.
    pub async fn shutdown(self) -> anyhow::Result<()> {
        // Nobody listens if it has ended already; then `serving` says why.
        let _ = self.stop.send(true);
        self.ended().await
    }

    /// Waits until the server ends by itself, which it does only if its storage cannot be opened or its socket breaks.
    ///
    /// # Errors
    ///
    /// Why it ended.
    pub async fn ended(self) -> anyhow::Result<()> {
        // The sender must live until then: its end means stop.
        let Self {
            serving,
            stop: _stop,
            ..
        } = self;
        serving.await.context("join the server")?
    }
}

/// A runtime of the size that a server needs: few threads, so that an idle one is small.
///
/// # Errors
///
/// If the system starts no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    memory::bound_arenas();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SOCKET_THREADS)
        .max_blocking_threads(WORK_THREADS_MAX)
        .enable_all()
        .thread_name("vecino")
        .build()
}

/// Listens and serves until SIGINT or SIGTERM, then stops gracefully.
///
/// # Errors
///
/// If the address cannot be taken or the storage cannot be opened; the error says what to do.
pub async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let data_dir = options.data_dir.display().to_string();
    let signal = stop_signal().context("listen for signals")?;
    let mut running = spawn(options).await?;
    let mut signal = pin!(signal);
    let mut opened = running.opened.clone();
    // Before the data is open, the address is of no use: it may turn out that the server cannot serve.
    let opened = async move { opened.wait_for(|&open| open).await.is_ok() };
    tokio::select! {
        () = &mut signal => return running.shutdown().await,
        true = opened => announce(&running, &data_dir),
        ended = &mut running.serving => return ended.context("join the server")?,
    }
    tokio::select! {
        () = signal => running.shutdown().await,
        ended = &mut running.serving => ended.context("join the server")?,
    }
}

fn announce(running: &Running, data_dir: &str) {
    eprintln!(
        "Vecino {} listens on http://{} with data in {data_dir}",
        env!("CARGO_PKG_VERSION"),
        running.addr
    );
    eprintln!("Search page: http://{}/ui", running.addr);
    if let Some(key) = running
        .api_key
        .as_deref()
        .filter(|_| running.api_key_generated)
    {
        eprintln!(
            "No API key was given and the address is not loopback, so one was made for this run: {key}"
        );
        eprintln!("Send it as header `api-key`; choose your own with --api-key or VECINO_API_KEY.");
    }
}

/// Listens, then opens the storage in the background: `/readyz` tells when all collections are loaded.
///
/// # Errors
///
/// If the address cannot be taken, or the memory budget is too small. A storage that cannot be opened ends the server: see [`Running::shutdown`].
pub async fn spawn(mut options: ServeOptions) -> anyhow::Result<Running> {
    let listen = options.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let place = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("listen on {listen}, where another server runs")
            }
            _ => format!("listen on {listen}"),
        };
        anyhow::Error::new(error).context(place)
    })?;
    let addr = listener.local_addr().context("read the address")?;
    let auth = Auth::new(options.api_key.clone(), addr);
    let shares = match options.memory_bytes {
        Some(bytes) => MemoryShares::of(bytes)?,
        None => MemoryShares::of_machine(),
    };
    let room = Room::new(shares.bodies);
    let body_bytes = &mut options.limits.body_bytes;
    *body_bytes = room.body_bytes_max().min(*body_bytes);
    let api_key = auth.key().map(str::to_owned);
    let api_key_generated = auth.generated();
    let app: App = Arc::new(AppState {
        auth,
        room,
        node: OnceLock::new(),
        inference: Inference::new(embed::Registry::builtin()),
        metrics: Metrics::default(),
        thumbnails: Thumbnails::default(),
        options,
    });
    let (stop, stopped) = watch::channel(false);
    let (open, opened) = watch::channel(false);
    let serving = tokio::spawn(run(app, listener, stopped, open));
    Ok(Running {
        addr,
        api_key,
        api_key_generated,
        stop,
        opened,
        serving,
    })
}

/// Serves until told to stop or the storage refuses to open.
async fn run(
    app: App,
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
    open: watch::Sender<bool>,
) -> anyhow::Result<()> {
    let router = http::router(Arc::clone(&app));
    let (close, closed) = watch::channel(false);
    let limits = app.options.limits;
    let serving = connections::serve(listener, router, limits, until_true(closed));
    let mut server = tokio::spawn(serving);
    let opened = open_data(Arc::clone(&app)).await;
    let mut loading = None;
    if let Ok(node) = &opened {
        open.send_replace(true);
        let node = Arc::clone(node);
        loading = Some(tokio::task::spawn_blocking(move || log_loading(&node)));
        tokio::select! {
            () = until_true(stopped) => {}
            ended = &mut server => return ended.context("join the listener"),
        }
    }
    // The receiver lives in the server, which still runs.
    let _ = close.send(true);
    if tokio::time::timeout(SHUTDOWN_GRACE, &mut server)
        .await
        .is_err()
    {
        tracing::warn!("connections were cut after {} s", SHUTDOWN_GRACE.as_secs());
        server.abort();
        // They are gone when it is.
        let _ = server.await;
    }
    let node = opened?;
    // It only logs, and ends with the loading, which closing the storage would wait for too.
    if let Some(loading) = loading {
        let _ = loading.await;
    }
    let closing = tokio::task::spawn_blocking(move || drop((node, app)));
    closing.await.context("close the data")?;
    tracing::info!("stopped");
    Ok(())
}

async fn open_data(app: App) -> anyhow::Result<Arc<Node>> {
    let opening = tokio::task::spawn_blocking(move || {
        let dir = &app.options.data_dir;
        tracing::info!(data = %dir.display(), "opening the data");
        let engine = EngineOptions {
            memory_bytes: app.options.memory_bytes,
            give_back: GiveBack::by(memory::give_back),
            background_threads: app.options.background_threads,
            ..EngineOptions::default()
        };
        let node = Node::open(dir, NodeOptions { engine })
            .with_context(|| format!("open the data in {}", dir.display()))?;
        let node = Arc::new(node);
        // It is set here only.
        let _ = app.node.set(Arc::clone(&node));
        anyhow::Ok(node)
    });
    opening.await.context("join the opening")?
}

/// Says when the collections begin to load, and when they are there.
fn log_loading(node: &Node) {
    let started = Instant::now();
    let collections = node.collections().len();
    tracing::info!(collections, "loading");
    node.wait_until_ready();
    let loaded = node.collections().into_iter();
    let points: usize = loaded
        .filter_map(|name| Some(node.collection(&name).ok()?.info().points))
        .sum();
    let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    tracing::info!(collections, points, seconds, "loaded");
}

async fn until_true(mut watched: watch::Receiver<bool>) {
    // A sender that is gone means stop, too.
    let _ = watched.wait_for(|&value| value).await;
}

#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler the process ends at once, which is what was asked.
        let _ = tokio::signal::ctrl_c().await;
    })
}
