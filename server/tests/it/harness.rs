//! A server on a free loopback port, and a client for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::{Value, json};
use server::{Running, ServeOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::http::{HeaderMap, Request};

/// A running server and its folder; both go when it is dropped.
pub struct Server {
    runtime: Runtime,
    running: Option<Running>,
    agent: ureq::Agent,
    pub addr: SocketAddr,
    pub dir: TempDir,
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), |_| {})
    }

    pub fn start_with(dir: TempDir, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let mut options = ServeOptions::new(dir.path().join("data"));
        options.listen.set_port(0);
        change(&mut options);
        let runtime = server::runtime().unwrap();
        let running = runtime.block_on(server::spawn(options)).unwrap();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build();
        let mut addr = running.addr;
        addr.set_ip([127, 0, 0, 1].into());
        let server = Self {
            runtime,
            addr,
            running: Some(running),
            agent: config.new_agent(),
            dir,
        };
        while server.get("/readyz").status == 503 {}
        server
    }

    /// Stops the server and gives its folder back.
    pub fn stop(mut self) -> TempDir {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.shutdown()).unwrap();
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// One request with any headers and body.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = if body.is_empty() && method != "POST" && method != "PUT" {
            self.agent.run(request.body(()).unwrap()).unwrap()
        } else {
            self.agent.run(request.body(body).unwrap()).unwrap()
        };
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            bytes: response
                .body_mut()
                .with_config()
                .limit(1 << 30)
                .read_to_vec()
                .unwrap(),
        }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// A request with a JSON body (none for null), and the whole answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let reply = self.send(
            method,
            path,
            &[("content-type", "application/json")],
            &bytes,
        );
        (reply.status, reply.json())
    }

    /// The `result` of a request that must succeed.
    #[track_caller]
    pub fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        assert_eq!(answer["status"], "ok");
        assert!(answer["time"].as_f64().unwrap() >= 0.0);
        answer["result"].clone()
    }

    /// The error text of a request that must be refused with this status.
    #[track_caller]
    pub fn refused(&self, status: u16, method: &str, path: &str, body: &Value) -> String {
        let (got, answer) = self.call(method, path, body);
        assert_eq!(got, status, "{method} {path}: {answer}");
        error_of(&answer)
    }

    /// Creates a collection with one unnamed vector.
    pub fn create(&self, name: &str, dim: usize, distance: &str) {
        let body = json!({"vectors": {"size": dim, "distance": distance}});
        self.ok("PUT", &format!("/collections/{name}"), &body);
    }

    /// A multimodal collection.
    pub fn create_multimodal(&self, name: &str) {
        self.ok("PUT", &format!("/collections/{name}"), &Value::Null);
    }

    /// Raw bytes over a fresh connection, and all that comes back until the server closes it.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The text of an error's envelope.
#[track_caller]
pub fn error_of(answer: &Value) -> String {
    answer["status"]["error"]
        .as_str()
        .unwrap_or_else(|| panic!("no error in {answer}"))
        .to_owned()
}

#[track_caller]
pub fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
}

/// The ids of a list of points.
pub fn ids(points: &Value) -> Vec<Value> {
    points
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["id"].clone())
        .collect()
}

/// A folder beside the workspace, or `None` with a message.
pub fn beside_workspace(path: &str) -> Option<std::path::PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(path);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}
