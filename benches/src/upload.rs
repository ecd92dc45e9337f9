//! Texts and pictures on their way to a server, some requests at a time, as `vecino load` sends them.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datasets::Row;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::target::{Client, TemporaryCollection};

/// Requests in flight.
pub const CONNECTIONS: usize = 3;
/// Most pictures in a request.
const PICTURES_MAX: usize = 32;
/// Most texts in a request.
const TEXTS_MAX: usize = 1000;
/// A request of more than one item has at most so many bytes.
const BYTES_MAX: usize = 4 << 20;
/// The largest picture read.
const PICTURE_BYTES_MAX: u64 = 20 << 20;

/// What became of the rows.
#[derive(Clone, Debug, Default)]
pub struct Uploaded {
    /// Rows stored.
    pub stored: usize,
    /// Rows refused, by the reader or by the server.
    pub skipped: usize,
    /// Why the first of them was.
    pub reason: Option<String>,
    /// Seconds from the first row read to the last answer.
    pub seconds: f64,
}

impl Uploaded {
    /// Rows stored a second.
    pub fn rate(&self) -> f64 {
        self.stored as f64 / self.seconds.max(1e-9)
    }

    /// `729 stored, 0 skipped`, and why.
    pub fn to_text(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})"));
        format!(
            "{} stored, {} skipped{}",
            self.stored,
            self.skipped,
            reason.unwrap_or_default()
        )
    }

    fn skip(&mut self, reason: String) {
        self.skipped += 1;
        self.reason.get_or_insert(reason);
    }
}

/// A request in the making.
#[derive(Default)]
struct Batch {
    items: usize,
    body: Vec<u8>,
}

impl Batch {
    /// Whether one more line would be too much.
    fn is_full(&self, line: &[u8], items_max: usize) -> bool {
        self.items == items_max || (self.items > 0 && self.body.len() + line.len() > BYTES_MAX)
    }

    fn push(&mut self, line: &[u8]) {
        self.items += 1;
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
    }
}

/// [`upload_to`] a temporary collection.
///
/// # Errors
///
/// As there.
pub fn upload(
    collection: &TemporaryCollection<'_>,
    rows: impl Iterator<Item = Result<Row>>,
) -> Result<Uploaded> {
    upload_to(collection.client(), &collection.path(""), rows)
}

/// Sends rows to the collection at `path`; the id of a row is its number. Rows have a picture all, or none.
///
/// # Errors
///
/// The server does not answer or refuses a whole request.
pub fn upload_to(
    client: &Client,
    path: &str,
    rows: impl Iterator<Item = Result<Row>>,
) -> Result<Uploaded> {
    let started = Instant::now();
    let mut rows = rows.enumerate().peekable();
    let pictures = rows
        .peek()
        .is_some_and(|(_, row)| row.as_ref().is_ok_and(|row| row.image.is_some()));
    let (route, items_max) = if pictures {
        ("/images", PICTURES_MAX)
    } else {
        ("/documents", TEXTS_MAX)
    };
    let path = format!("{path}{route}");
    let mut uploaded = Uploaded::default();
    // One request waits while the others are under way: the reader works on the next meanwhile.
    let (sender, receiver) = sync_channel::<Batch>(1);
    let receiver = Mutex::new(receiver);
    let send_all = || send_all(client, &path, &receiver);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(send_all)).collect();
        let mut batch = Batch::default();
        for (id, row) in rows {
            match row.and_then(|row| line(id, row)) {
                Ok(line) => {
                    if batch.is_full(&line, items_max)
                        && sender.send(std::mem::take(&mut batch)).is_err()
                    {
                        break;
                    }
                    batch.push(&line);
                }
                Err(error) => uploaded.skip(format!("{error:#}")),
            }
        }
        if batch.items > 0 {
            // If nobody takes it, the workers' error says why.
            let _ = sender.send(batch);
        }
        drop(sender);
        for worker in workers {
            let part = worker
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a connection's thread panicked")))?;
            uploaded.stored += part.stored;
            uploaded.skipped += part.skipped;
            uploaded.reason = uploaded.reason.take().or(part.reason);
        }
        anyhow::Ok(())
    })?;
    uploaded.seconds = started.elapsed().as_secs_f64();
    Ok(uploaded)
}

/// One connection: sends until there is nothing more. When one fails, the others stop at the next request.
fn send_all(client: &Client, path: &str, batches: &Mutex<Receiver<Batch>>) -> Result<Uploaded> {
    let mut uploaded = Uploaded::default();
    loop {
        let next = batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(batch) = next else { return Ok(uploaded) };
        let body = Some(("application/x-ndjson", batch.body.as_slice()));
        let answer = client.send(Method::POST, path, body).inspect_err(|_| {
            // The reader must not wait for connections that are gone.
            let batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
            while batches.recv().is_ok() {}
        })?;
        let items = answer["items"]
            .as_array()
            .context("an upload answers no items")?;
        ensure!(
            items.len() == batch.items,
            "{} items were sent, {} answered",
            batch.items,
            items.len()
        );
        for item in items {
            match item["error"].as_str() {
                Some(error) => uploaded.skip(error.to_owned()),
                None => uploaded.stored += 1,
            }
        }
    }
}

/// A row as one JSON object.
fn line(id: usize, row: Row) -> Result<Vec<u8>> {
    let mut object = json!({ "id": id, "payload": Value::Object(row.payload) });
    if let Some(text) = row.text {
        object["text"] = text.into();
    }
    if let Some(image) = row.image {
        let bytes = image
            .read(PICTURE_BYTES_MAX)
            .with_context(|| format!("read {}", row.source))?;
        object["image"] = STANDARD.encode(bytes).into();
    }
    Ok(serde_json::to_vec(&object)?)
}
