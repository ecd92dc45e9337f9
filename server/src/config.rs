//! What `vecino serve` can be told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Where clients of the dialect look first.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6333);

/// How deep filters may nest by default.
pub(crate) const FILTER_DEPTH_MAX: usize = 24;

/// Settings of one server.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Folder of everything that is stored; made if absent.
    pub data_dir: PathBuf,
    /// Address and port; port 0 takes a free one. Default [`LISTEN_DEFAULT`].
    pub listen: SocketAddr,
    /// Key that every request but the health checks must carry. Without one, a server that listens beyond loopback makes one.
    pub api_key: Option<String>,
    /// What a request may ask for. Bodies are smaller if the memory budget has no room for them.
    pub limits: Limits,
    /// The memory budget in bytes; by default half of what the machine or the control group has.
    pub memory_bytes: Option<u64>,
    /// Threads that seal, merge and build in the background; by default half of the cores, at least one.
    pub background_threads: Option<NonZeroUsize>,
}

impl ServeOptions {
    /// The defaults, with data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: LISTEN_DEFAULT,
            api_key: None,
            limits: Limits::default(),
            memory_bytes: None,
            background_threads: None,
        }
    }
}

/// What a request may ask for; beyond it, it is refused with the limit's name and value.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of a body, after decompression.
    pub body_bytes: usize,
    /// Points, documents, images or queries in one request.
    pub batch_points: usize,
    /// Pixels of a picture that a thumbnail is made of.
    pub image_pixels: u64,
    /// Nesting of a filter.
    pub filter_depth: usize,
    /// Nesting of prefetches.
    pub prefetch_depth: usize,
    /// How long the head of a request may take, from the connection's start or the end of the answer before: then the
    /// connection is closed. So it is also how long a connection is kept that asks nothing.
    pub head_time_max: Duration,
    /// How long the body of a request may take after its head.
    pub body_time_max: Duration,
    /// How long a client may leave an answer unread before its connection is closed: counted from the last byte it took.
    pub write_time_max: Duration,
    /// Connections served at a time, but never more than half of the files that the process may open. Further ones wait until
    /// one ends.
    pub connections: usize,
}

impl Default for Limits {
    /// 32 MB, as the dialect; 100,000 points, because a body of vectors reaches its bytes first; 64 megapixels, more than a
    /// phone's largest photo; filters 24 deep, because JSON itself is read 128 deep and a filter of any form takes at most
    /// five of them per level; the engine's own depth of prefetches; a minute of rest between two requests, longer than clients keep idle
    /// connections; five minutes, in which the largest body comes over a line of 1 Mbit/s; a minute for a client that has
    /// stalled; 4096 connections, far more than the threads behind them can serve, each some kilobytes while it rests.
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            batch_points: 100_000,
            image_pixels: 64_000_000,
            filter_depth: FILTER_DEPTH_MAX,
            prefetch_depth: cluster::engine::query::PREFETCH_DEPTH_MAX,
            head_time_max: Duration::from_secs(60),
            body_time_max: Duration::from_secs(300),
            write_time_max: Duration::from_secs(60),
            connections: 4096,
        }
    }
}
