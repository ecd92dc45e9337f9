//! The server under measurement: one of this process on a free loopback port, or one that runs elsewhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;
use ureq::http::{Method, Request, header};

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(300);
/// How long a server may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often to ask whether it is.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// The largest answer read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Which server to measure.
#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// Address of a running server. Without it, one is started in this process, with a temporary folder.
    #[arg(long)]
    url: Option<String>,
    /// Key of that server.
    #[arg(long, env = "VECINO_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

/// A server that is ready, and connections to it.
pub struct Target {
    client: Client,
    own: Option<Own>,
}

struct Own {
    runtime: tokio::runtime::Runtime,
    running: server::Running,
    _dir: TempDir,
}

impl Target {
    /// Starts a server, or waits for the one named.
    ///
    /// # Errors
    ///
    /// It cannot start, or is not ready within a minute.
    pub fn open(args: &TargetArgs) -> Result<Self> {
        if let Some(url) = &args.url {
            let client = Client::new(url, args.api_key.as_deref());
            client.wait_until_ready()?;
            return Ok(Self { client, own: None });
        }
        let dir = tempfile::tempdir().context("make a temporary folder")?;
        let runtime = server::runtime().context("start a runtime")?;
        let mut options = server::ServeOptions::new(dir.path().join("data"));
        options.listen.set_port(0);
        let running = runtime.block_on(server::spawn(options))?;
        let client = Client::new(&format!("http://{}", running.addr), None);
        client.wait_until_ready()?;
        let own = Own {
            runtime,
            running,
            _dir: dir,
        };
        Ok(Self {
            client,
            own: Some(own),
        })
    }

    /// Where the server is, for the report.
    pub fn place(&self) -> &str {
        match self.own {
            Some(_) => "a server in this process",
            None => &self.client.base,
        }
    }

    /// Makes the default, multimodal collection under a name that no other run has. It goes when it is dropped.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub fn collection(&self, name: &str) -> Result<TemporaryCollection<'_>> {
        let name = format!("benches-{name}-{}", std::process::id());
        self.client
            .send(Method::PUT, &format!("/collections/{name}"), None)?;
        Ok(TemporaryCollection {
            client: &self.client,
            name,
        })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(Own {
            runtime,
            running,
            _dir,
        }) = self.own.take()
            && let Err(error) = runtime.block_on(running.shutdown())
        {
            eprintln!("the server ended badly: {error:#}");
        }
    }
}

/// A collection that is dropped from the server with this value.
pub struct TemporaryCollection<'a> {
    client: &'a Client,
    name: String,
}

impl TemporaryCollection<'_> {
    /// `/collections/NAME` with `rest` behind it.
    pub fn path(&self, rest: &str) -> String {
        format!("/collections/{}{rest}", self.name)
    }

    /// The client that reaches it.
    pub fn client(&self) -> &Client {
        self.client
    }
}

impl Drop for TemporaryCollection<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.client.send(Method::DELETE, &self.path(""), None) {
            eprintln!("the collection {} stays: {error:#}", self.name);
        }
    }
}

/// Connections to one server, shared by clones.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    api_key: Option<String>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(url: &str, api_key: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_MAX))
            .build();
        Self {
            agent: config.new_agent(),
            base: url.trim_end_matches('/').to_owned(),
            api_key: api_key.map(str::to_owned),
        }
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    ///
    /// It does not within a minute.
    pub fn wait_until_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let last = match self.once(Method::GET, "/readyz", None) {
                Ok((200, _)) => return Ok(()),
                Ok((status, _)) => anyhow::anyhow!("it answers {status}"),
                Err(error) => error,
            };
            if started.elapsed() > READY_MAX {
                return Err(last.context(format!("{} is not ready after {READY_MAX:?}", self.base)));
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// One request, with content type and body if there is one; status and body of whatever answer.
    ///
    /// # Errors
    ///
    /// No answer comes.
    pub fn once(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<(u16, Vec<u8>)> {
        let place = || format!("{method} {}{path}", self.base);
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.base));
        if let Some(key) = &self.api_key {
            request = request.header("api-key", key);
        }
        let answer = match body {
            Some((content_type, body)) => {
                let request = request
                    .header(header::CONTENT_TYPE, content_type)
                    .body(body);
                self.agent.run(request.with_context(place)?)
            }
            None => self.agent.run(request.body(()).with_context(place)?),
        };
        let mut answer = answer.with_context(place)?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec();
        Ok((answer.status().as_u16(), body.with_context(place)?))
    }

    /// The `result` of a request that must succeed.
    ///
    /// # Errors
    ///
    /// No answer comes, or it is a refusal: the server's words.
    pub fn send(&self, method: Method, path: &str, body: Option<(&str, &[u8])>) -> Result<Value> {
        let (status, bytes) = self.once(method, path, body)?;
        let text = || String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
        ensure!(status == 200, "{path} answers {status}: {}", text());
        let mut answer: Value = serde_json::from_slice(&bytes)
            .with_context(|| format!("{path} answers no JSON: {}", text()))?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => bail!("{path} answers no result: {}", text()),
        }
    }

    /// [`Self::send`] of a POST of JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(
            Method::POST,
            path,
            Some(("application/json", body.to_string().as_bytes())),
        )
    }
}
