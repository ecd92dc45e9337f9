//! Queries through a socket, to a server of our own or to one that runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use cluster::engine::{Metric, PointId};
use serde_json::{Value, json};
use ureq::http::Method;

use super::measure::Target;
use super::workload::{self, Workload};
use super::{BenchArgs, id_text};
use crate::cli::client::{Call, Client, collection_path, get};
use crate::cli::failure::{Failure, Result};
use crate::cli::serve;

/// Points fetched in one request.
const PAGE_POINTS: usize = 2000;
/// How long to wait for a server to come up, and for segments to be built.
const READY_MAX: Duration = Duration::from_secs(1800);

/// A server in this process, on a free port of the loopback address. Dropping it stops it.
pub struct LocalServer {
    runtime: Option<tokio::runtime::Runtime>,
    running: Option<server::Running>,
    addr: SocketAddr,
}

impl LocalServer {
    /// Starts it on a data folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be opened.
    pub fn start(folder: &Path) -> Result<Self> {
        let runtime = serve::runtime()?;
        let mut options = server::ServeOptions::new(folder);
        options.listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let running = runtime.block_on(server::spawn(options))?;
        let addr = running.addr;
        Ok(Self {
            runtime: Some(runtime),
            running: Some(running),
            addr,
        })
    }

    /// A client for it.
    ///
    /// # Errors
    ///
    /// Never for an address of a socket.
    pub fn client(&self) -> Result<Client> {
        Client::new(&format!("http://{}", self.addr), None)
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        if let (Some(runtime), Some(running)) = (self.runtime.take(), self.running.take()) {
            // What is measured has been measured; the folder is read only by now.
            let _ = runtime.block_on(running.shutdown());
        }
    }
}

/// Waits until a collection answers.
///
/// # Errors
///
/// It does not in time, or there is none.
pub fn wait_until_ready(client: &Client, name: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        // A server that could not open its folder no longer listens: then the next call says so.
        let over = client
            .once(&get("/readyz"))
            .map_or(true, |reply| reply.status == 200);
        if over || started.elapsed() > READY_MAX {
            return client.get(&collection_path(name, "")).map(drop);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until all that is stored lies in sealed segments.
///
/// # Errors
///
/// The server does not answer.
pub fn wait_until_built(client: &Client, name: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let info = client.get(&collection_path(name, ""))?;
        let count = |key: &str| info.get(key).and_then(Value::as_u64).unwrap_or(0);
        let green = info.get("status").and_then(Value::as_str) == Some("green");
        if (green && count("indexed_vectors_count") >= count("points_count"))
            || started.elapsed() > READY_MAX
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fetches the vectors of a collection. Returns the name of the vector too.
///
/// # Errors
///
/// There is no such collection or vector.
pub fn workload(args: &BenchArgs, client: &Client, name: &str) -> Result<(Workload, String)> {
    let info = client.get(&collection_path(name, ""))?;
    let vectors = info
        .pointer("/config/params/vectors")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let unnamed = vectors.contains_key("size");
    let names = if unnamed {
        vec![String::new()]
    } else {
        vectors.keys().cloned().collect()
    };
    let using = workload::choose_vector(args.using.as_deref(), names)?;
    let config = if unnamed {
        Value::Object(vectors)
    } else {
        vectors.get(&using).cloned().unwrap_or_default()
    };
    let dim = config.get("size").and_then(Value::as_u64).unwrap_or(0) as usize;
    let metric = metric(
        config
            .get("distance")
            .and_then(Value::as_str)
            .unwrap_or_default(),
    )?;
    let rows = fetch(client, name, &using)?;
    Ok((workload::from_rows(args, name, rows, metric, dim)?, using))
}

fn metric(name: &str) -> Result<Metric> {
    Ok(match name {
        "Cosine" => Metric::Cosine,
        "Dot" => Metric::Dot,
        "Euclid" => Metric::L2,
        "Manhattan" => Metric::L1,
        "Chebyshev" => Metric::LInf,
        other => {
            return Err(
                Failure::new(format!("the server names an unknown distance, {other:?}"))
                    .mend("use the program of the server's version"),
            );
        }
    })
}

fn fetch(client: &Client, name: &str, using: &str) -> Result<Vec<(PointId, Vec<f32>)>> {
    let path = collection_path(name, "/points/scroll");
    let mut body = json!({ "limit": PAGE_POINTS, "with_payload": false, "with_vector": if using.is_empty() { json!(true) } else { json!([using]) } });
    let mut rows = vec![];
    loop {
        let mut page = client.json(Method::POST, &path, &body)?;
        let next = page.get("next_page_offset").cloned().unwrap_or_default();
        let points = page
            .get_mut("points")
            .and_then(Value::as_array_mut)
            .map(std::mem::take)
            .unwrap_or_default();
        for point in points {
            let vector = point.get("vector").cloned().unwrap_or_default();
            let vector = if vector.is_array() {
                vector
            } else {
                vector.get(using).cloned().unwrap_or_default()
            };
            // A point may lack this vector.
            if let Ok(vector) = serde_json::from_value::<Vec<f32>>(vector) {
                rows.push((id(point.get("id").unwrap_or(&Value::Null))?, vector));
            }
        }
        if next.is_null() {
            return Ok(rows);
        }
        body["offset"] = next;
    }
}

fn id(value: &Value) -> Result<PointId> {
    match value.as_u64() {
        Some(number) => Ok(PointId::Num(number)),
        None => Ok(id_text(value).parse()?),
    }
}

/// What searches the vector, as the server explains its answer to the first query.
///
/// # Errors
///
/// The server refuses.
pub fn structures(
    client: &Client,
    name: &str,
    using: &str,
    workload: &Workload,
) -> Result<Vec<String>> {
    let mut body = query_body(workload, 0, using);
    body["params"] = json!({ "explain": true });
    let answer = client.json(Method::POST, &collection_path(name, "/points/query"), &body)?;
    let segments = answer
        .pointer("/explain/segments")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let text = |segment: &Value| {
        format!(
            "{} over {} rows",
            id_text(&segment["index"]),
            segment["rows"]
        )
    };
    Ok(segments.iter().map(text).collect())
}

fn query_body(workload: &Workload, query_idx: usize, using: &str) -> Value {
    let vector: Vec<f32> = workload.queries.row(query_idx).to_vec();
    let mut body = json!({ "query": [], "limit": workload.limit(), "with_payload": false });
    body["query"] = vector.into();
    if !using.is_empty() {
        body["using"] = using.into();
    }
    body
}

/// Queries to a server.
pub struct OverHttp {
    client: Client,
    path: String,
    /// Written before the clock starts.
    bodies: Vec<String>,
}

impl OverHttp {
    /// For the vector `using` of a collection.
    pub fn new(client: &Client, name: &str, using: &str, workload: &Workload) -> Self {
        let bodies = (0..workload.queries.nrows())
            .map(|query_idx| query_body(workload, query_idx, using).to_string());
        Self {
            client: client.clone(),
            path: collection_path(name, "/points/query"),
            bodies: bodies.collect(),
        }
    }
}

impl Target for OverHttp {
    type Raw = Vec<u8>;

    fn connect(&self) -> impl FnMut(usize) -> Result<Self::Raw> {
        move |query_idx| {
            let body = Some(("application/json", self.bodies[query_idx].as_bytes()));
            let reply = self.client.retrying(&Call {
                method: Method::POST,
                path: &self.path,
                body,
            })?;
            self.client.accept(&self.path, &reply)?;
            Ok(reply.body)
        }
    }

    fn ids(&self, raw: Self::Raw) -> Result<Vec<PointId>> {
        let answer: Value = serde_json::from_slice(&raw)
            .map_err(|error| Failure::new(format!("the answer is no JSON: {error}")))?;
        let points = answer
            .pointer("/result/points")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        points.iter().map(|point| id(&point["id"])).collect()
    }
}
