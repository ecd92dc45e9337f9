//! A process that holds one index and answers on two pipes: a peer's, in Python, or ours.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// A running worker. It ends when this is dropped.
pub struct Worker {
    name: String,
    child: Child,
    /// `None` once it was closed, which tells the worker to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What building took.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Built {
    /// CPU seconds of all threads.
    pub cpu_s: f64,
    /// Seconds that passed.
    pub wall_s: f64,
    /// Growth of the resident set, in bytes.
    pub bytes: f64,
}

/// What searching took.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Searched {
    /// CPU seconds of all threads.
    pub cpu_s: f64,
    /// Seconds that passed.
    pub wall_s: f64,
    /// Queries asked.
    pub queries: f64,
}

impl Worker {
    /// Starts `command` over the two files.
    ///
    /// # Errors
    ///
    /// The program cannot be started.
    pub fn start(name: &str, mut command: Command, base: &Path, queries: &Path) -> Result<Self> {
        command
            .args([base, queries])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command
            .spawn()
            .with_context(|| format!("start the worker of {name}"))?;
        let requests = child.stdin.take();
        let answers = child
            .stdout
            .take()
            .context("the worker's output is a pipe")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// The peer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Builds the index, in the place of the one before.
    ///
    /// # Errors
    ///
    /// The worker fails, as in the calls below.
    pub fn build(&mut self, threads: usize) -> Result<Built> {
        let answer = self.ask(&json!({ "do": "build", "threads": threads }))?;
        Ok(Built {
            cpu_s: self.number(&answer, "cpu_s")?,
            wall_s: self.number(&answer, "wall_s")?,
            bytes: self.number(&answer, "bytes")?,
        })
    }

    /// Asks all queries, `rounds` times.
    ///
    /// # Errors
    ///
    /// See [`Self::build`].
    pub fn search(
        &mut self,
        k: usize,
        parameter: u32,
        threads: usize,
        rounds: usize,
    ) -> Result<Searched> {
        let request = json!({ "do": "search", "k": k, "parameter": parameter, "threads": threads, "rounds": rounds });
        let answer = self.ask(&request)?;
        Ok(Searched {
            cpu_s: self.number(&answer, "cpu_s")?,
            wall_s: self.number(&answer, "wall_s")?,
            queries: self.number(&answer, "queries")?,
        })
    }

    /// The offsets that each query gets, best first.
    ///
    /// # Errors
    ///
    /// See [`Self::build`].
    pub fn answers(&mut self, k: usize, parameter: u32) -> Result<Vec<Vec<u32>>> {
        let mut answer = self.ask(&json!({ "do": "answers", "k": k, "parameter": parameter }))?;
        let ids: Vec<Vec<i64>> = serde_json::from_value(answer["ids"].take())
            .with_context(|| format!("{}: ids are lists of numbers", self.name))?;
        // A peer that finds fewer fills up with -1.
        let offsets = |ids: Vec<i64>| {
            ids.into_iter()
                .filter_map(|id| u32::try_from(id).ok())
                .collect()
        };
        Ok(ids.into_iter().map(offsets).collect())
    }

    fn ask(&mut self, request: &Value) -> Result<Value> {
        let requests = self.requests.as_mut().context("the worker was ended")?;
        let sent = writeln!(requests, "{request}").and_then(|()| requests.flush());
        let mut line = String::new();
        let read = sent.and_then(|()| self.answers.read_line(&mut line));
        match read {
            Ok(bytes) if bytes > 0 => serde_json::from_str(&line)
                .with_context(|| format!("{} answered {line:?}", self.name)),
            _ => bail!(
                "the worker of {} ended at {request}; run it by hand to see why",
                self.name
            ),
        }
    }

    fn number(&self, answer: &Value, field: &str) -> Result<f64> {
        let number = answer[field].as_f64();
        let number =
            number.with_context(|| format!("{}: no number \"{field}\" in {answer}", self.name))?;
        ensure!(
            number.is_finite() && number >= 0.0,
            "{}: {field} is {number}",
            self.name
        );
        Ok(number)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.requests.take());
        // It removes its temporary files when its input ends; what became of it changes nothing here.
        let _ = self.child.wait();
    }
}
