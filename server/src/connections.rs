//! Connections: taken, served one request after the other, ended in order.
//!
//! Instead of `axum::serve`, which gives a client for ever to send the head of a request and to read the answer, takes any number
//! of connections, and whose connections outlive it when it is cut off.

mod write_timeout;

use std::future::Future;
use std::pin::pin;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::write_timeout::WriteTimeout;
use crate::{Limits, until_true};

/// Serves until `stop`; then takes no more connections and waits for the open ones, each of which finishes the request it is
/// at. Dropping the future cuts them.
///
/// Of `limits`, those of connections are kept here: a connection whose next request has no whole head after `head_time_max`, or
/// whose answer is not taken for `write_time_max`, is closed; beyond `connections`, clients wait until one ends.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max);
    let connections_max = limits.connections.min(files_for_connections());
    let mut told = false;
    let (close, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            // The trait's `accept` waits where the socket's own has errors: when files run out, and for clients that left.
            (stream, _) = Listener::accept(&mut listener), if connections.len() < connections_max => {
                // Answers are written whole: waiting for more would only delay the last packet.
                drop(stream.set_nodelay(true));
                let service = TowerToHyperService::new(router.clone());
                let stream = WriteTimeout::new(stream, limits.write_time_max);
                let connection = http.serve_connection(TokioIo::new(stream), service);
                connections.spawn(finish(connection, closed.clone()));
                if connections.len() == connections_max && !told {
                    told = true;
                    tracing::warn!(connections_max, "further connections wait until one ends; this is said once");
                }
            }
            // Those that have ended are forgotten.
            Some(_) = connections.join_next() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    // Each connection listens, or has ended.
    let _ = close.send(true);
    while connections.join_next().await.is_some() {}
}

/// Half of the files that the process may open: the storage needs the others, and breaks when it gets none.
fn files_for_connections() -> usize {
    // No limit is unlimited.
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 2).unwrap_or(usize::MAX).max(1)
}

type Connection = http1::Connection<TokioIo<WriteTimeout>, TowerToHyperService<Router>>;

/// Serves one connection to its end, which comes after the present request once `closed` is true.
async fn finish(connection: Connection, closed: watch::Receiver<bool>) {
    let mut connection = pin!(connection);
    // How it ends is the client's affair: it may leave, dribble, or speak something else.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = until_true(closed) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io::{Read, Write};
    use std::sync::mpsc;
    use std::time::Duration;

    use axum::routing::get;

    use super::*;

    /// They went on with their requests, and held the storage, after a server had been cut off.
    #[test]
    fn connections_end_with_their_server() {
        let runtime = crate::runtime().unwrap();
        let (began, beginning) = mpsc::channel();
        let endless = move || {
            began.send(()).unwrap();
            pending::<()>()
        };
        let router = Router::new().route("/", get(endless));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = runtime.spawn(serve(listener, router, Limits::default(), pending()));
        let mut client = std::net::TcpStream::connect(addr).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        beginning.recv().unwrap();
        serving.abort();
        let mut answer = Vec::new();
        assert_eq!(client.read_to_end(&mut answer).unwrap(), 0);
    }
}
