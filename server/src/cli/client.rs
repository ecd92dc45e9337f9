//! A small HTTP client for one Vecino server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use ureq::http::{Method, Request, header};

use super::failure::{Failure, Result};

/// Where a server listens if nothing is said.
pub const URL_DEFAULT: &str = "http://127.0.0.1:6333";

/// How long one request may take. A large batch of pictures on a busy machine takes seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// How long to go on trying when the server is busy or the connection breaks.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The largest answer read: a page of vectors in JSON.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

/// Which server to talk to.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Address of the server.
    #[arg(long, env = "VECINO_URL", default_value = URL_DEFAULT)]
    pub url: String,
    /// Key of the server, if it wants one.
    #[arg(long, env = "VECINO_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Wait so many seconds for the server to come up.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,
}

/// Connections to one server. Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    api_key: Option<String>,
    /// Whether it ever answered: then a refused connection is a restart, worth waiting for.
    reached: Arc<AtomicBool>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Seconds after which to try again, if the server says so.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// HTTP method.
    pub method: Method,
    /// Path and query, already encoded, beginning with `/`.
    pub path: &'a str,
    /// Content type and body, if there is one.
    pub body: Option<(&'a str, &'a [u8])>,
}

impl Client {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// The address is no http address.
    pub fn new(url: &str, api_key: Option<&str>) -> Result<Self> {
        let url = url.trim();
        let base = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let host = base
            .strip_prefix("http://")
            .or_else(|| base.strip_prefix("https://"))
            .unwrap_or_default();
        let host = host.trim_end_matches('/');
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(Failure::new("this is no http address")
                .at(url)
                .mend(format!("give one like {URL_DEFAULT}")));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .timeout_connect(Some(Duration::from_secs(10)))
            .max_idle_connections_per_host(16)
            .user_agent(concat!("vecino/", env!("CARGO_PKG_VERSION")))
            .build();
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            agent: config.new_agent(),
            base,
            api_key: api_key.filter(|key| !key.is_empty()).map(str::to_owned),
            reached: Arc::default(),
        })
    }

    /// A client for the server that the arguments name; waits for it as long as they say.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]; with `--wait`, no server came up in that time.
    pub fn connect(args: &ServerArgs) -> Result<Self> {
        let client = Self::new(&args.url, args.api_key.as_deref())?;
        if args.wait > 0 {
            client.wait_until_ready(Duration::from_secs(args.wait))?;
        }
        Ok(client)
    }

    fn wait_until_ready(&self, patience: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let answer = self.once(&get("/readyz"));
            match answer {
                Ok(reply) if reply.status < 500 => return Ok(()),
                _ if started.elapsed() < patience => std::thread::sleep(Duration::from_millis(50)),
                Ok(_) => {
                    return Err(Failure::new("the server is up but not ready yet")
                        .at(&self.base)
                        .mend("wait longer with --wait SECONDS"));
                }
                Err(error) => return Err(self.explain(&error)),
            }
        }
    }

    /// The server's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// One try of one call; any status is an answer.
    pub fn once(&self, call: &Call) -> Result<Reply, ureq::Error> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.base, call.path));
        if let Some(key) = &self.api_key {
            request = request.header("api-key", key);
        }
        let mut response = match call.body {
            Some((content_type, body)) => {
                let request = request
                    .header(header::CONTENT_TYPE, content_type)
                    .body(body)?;
                self.agent.run(request)?
            }
            None => self.agent.run(request.body(())?)?,
        };
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let reply = Reply {
            status: response.status().as_u16(),
            retry_after,
            body: response
                .body_mut()
                .with_config()
                .limit(ANSWER_BYTES_MAX)
                .read_to_vec()?,
        };
        self.reached.store(true, Ordering::Relaxed);
        Ok(reply)
    }

    /// One call, tried again while the server is busy (503, 429) or, once it has answered, the connection breaks: for a
    /// minute at most. Only for calls that may be repeated: reads, and writes that name their ids.
    ///
    /// # Errors
    ///
    /// No server answers.
    pub fn retrying(&self, call: &Call) -> Result<Reply> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            let (wanted, give_up) = match self.once(call) {
                Ok(reply) if matches!(reply.status, 429 | 503) => (reply.retry_after, Ok(reply)),
                Ok(reply) => return Ok(reply),
                Err(error)
                    if is_broken_connection(&error) && self.reached.load(Ordering::Relaxed) =>
                {
                    (None, Err(self.explain(&error)))
                }
                Err(error) => return Err(self.explain(&error)),
            };
            let next = wanted.unwrap_or(pause).min(PAUSE_MAX);
            if started.elapsed() + next > RETRY_FOR {
                return give_up;
            }
            std::thread::sleep(next);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One call whose answer must be a success; its `result`.
    ///
    /// # Errors
    ///
    /// No server answers, or it refuses: its words, and how to mend it.
    pub fn result(&self, call: &Call) -> Result<Value> {
        let reply = self.retrying(call)?;
        self.accept(call.path, &reply)?;
        let mut value: Value = serde_json::from_slice(&reply.body).map_err(|error| {
            Failure::new(format!("the answer is no JSON: {error}")).at(self.place(call.path))
        })?;
        Ok(value
            .get_mut("result")
            .map(Value::take)
            .unwrap_or(Value::Null))
    }

    /// [`Self::result`] of a GET.
    ///
    /// # Errors
    ///
    /// As [`Self::result`].
    pub fn get(&self, path: &str) -> Result<Value> {
        self.result(&get(path))
    }

    /// [`Self::result`] of a JSON body.
    ///
    /// # Errors
    ///
    /// As [`Self::result`].
    pub fn json(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        self.result(&Call {
            method,
            path,
            body: Some(("application/json", body.as_bytes())),
        })
    }

    /// Turns a status that is no success into a failure.
    ///
    /// # Errors
    ///
    /// That failure.
    pub fn accept(&self, path: &str, reply: &Reply) -> Result<()> {
        if reply.status < 300 {
            return Ok(());
        }
        let failure = Failure::new(reply.message()).at(self.place(path));
        Err(match reply.status {
            401 | 403 => failure.mend("give the server's key with --api-key or VECINO_API_KEY"),
            404 if path.starts_with("/collections/") => {
                failure.mend("see what there is with `vecino doctor`, or make it with `vecino load PATH --collection NAME`")
            }
            404 => failure.mend("see whether a Vecino server is behind this address, and of the same version"),
            409 => failure.mend("use what is there, choose another name, or delete it first"),
            413 => failure.mend("send less at once (--batch)"),
            503 => failure.mend("the server is starting or overloaded; try again"),
            507 => failure.mend("free space on the server's disk; searching goes on meanwhile"),
            _ => failure,
        })
    }

    fn place(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn explain(&self, error: &ureq::Error) -> Failure {
        if !is_broken_connection(error) && !is_unknown_host(error) {
            return Failure::new(error.to_string())
                .at(&self.base)
                .mend(format!("check the address; one looks like {URL_DEFAULT}"));
        }
        let listen = self.base.split("://").nth(1).unwrap_or_default();
        // Only an address can be listened on; a name has another mend.
        let mend = match listen.parse::<SocketAddr>() {
            Ok(_) => format!(
                "start one with `vecino serve --listen {listen}`, or name another with --url or VECINO_URL"
            ),
            Err(_) => format!(
                "check --url or VECINO_URL: it is the server's name or address with its port, like {URL_DEFAULT}; `vecino serve` starts one there"
            ),
        };
        Failure::new(format!("no server answers ({error})"))
            .at(&self.base)
            .mend(mend)
    }
}

impl Reply {
    /// The server's words about what went wrong, or the beginning of the body.
    pub fn message(&self) -> String {
        let value: Option<Value> = serde_json::from_slice(&self.body).ok();
        let error = value
            .as_ref()
            .and_then(|value| value.pointer("/status/error")?.as_str());
        match error {
            Some(error) => error.to_owned(),
            None => {
                let text = String::from_utf8_lossy(&self.body);
                format!(
                    "HTTP status {}: {}",
                    self.status,
                    super::output::one_line(&text, 200)
                )
            }
        }
    }
}

/// A GET of a path.
pub fn get(path: &str) -> Call<'_> {
    Call {
        method: Method::GET,
        path,
        body: None,
    }
}

/// `/collections/NAME` with the name percent-encoded, and `rest` behind it.
pub fn collection_path(name: &str, rest: &str) -> String {
    format!("/collections/{}{rest}", encode(name))
}

/// Percent-encodes all but letters, digits and `-._~`.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn is_unknown_host(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound => true,
        // The standard library has no kind for it.
        ureq::Error::Io(error) => error.to_string().contains("lookup address"),
        _ => false,
    }
}

fn is_broken_connection(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as Kind;
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            Kind::ConnectionRefused
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
                | Kind::UnexpectedEof
                | Kind::NotConnected
        ),
        ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded() {
        assert_eq!(
            collection_path("a b/ü", "/points"),
            "/collections/a%20b%2F%C3%BC/points"
        );
    }

    #[test]
    fn addresses_are_checked() {
        for (url, base) in [
            ("localhost:1/", "http://localhost:1"),
            ("https://x", "https://x"),
            ("http://a:1", "http://a:1"),
        ] {
            assert_eq!(Client::new(url, None).unwrap().base(), base);
        }
        for url in ["", "ftp://x", "http://", "a b"] {
            assert!(Client::new(url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn a_server_that_is_not_there() {
        let error = Client::new("127.0.0.1:9", None)
            .unwrap()
            .once(&get("/"))
            .unwrap_err();
        assert!(is_broken_connection(&error), "{error:?}");
    }

    #[test]
    fn the_servers_words() {
        let reply = |body: &str| Reply {
            status: 404,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        };
        assert_eq!(
            reply(r#"{"status":{"error":"no such thing"},"time":0}"#).message(),
            "no such thing"
        );
        assert_eq!(reply("<html>").message(), "HTTP status 404: <html>");
    }

    /// Answers one connection after the other with these bytes; none breaks the connection after the request.
    fn scripted(answers: &'static [&'static str]) -> String {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut socket, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).unwrap();
                socket.write_all(answer.as_bytes()).unwrap();
            }
        });
        url
    }

    const BUSY: &str =
        "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const DONE: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{\"result\": 7}";

    #[test]
    fn a_busy_server_and_a_broken_connection_are_tried_again() {
        let client = Client::new(&scripted(&[BUSY, BUSY, "", DONE]), None).unwrap();
        assert_eq!(client.get("/").unwrap(), 7);
    }

    #[test]
    fn other_statuses_are_answers() {
        const GONE: &str = "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let client = Client::new(&scripted(&[GONE]), None).unwrap();
        let failure = client.get("/collections/x").unwrap_err().to_string();
        assert!(
            failure.contains("404") && failure.contains("vecino load"),
            "{failure}"
        );
    }
}
