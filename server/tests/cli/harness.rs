//! A server process, and the program run against it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const VECINO: &str = env!("CARGO_BIN_EXE_vecino");

/// `vecino serve` on a free port. The process ends when this is dropped; the folder is a temporary one.
pub struct Server {
    process: Child,
    pub url: String,
    /// Holds `data`, and is where the program is run.
    pub folder: TempDir,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), &[])
    }

    pub fn start_with(folder: TempDir, args: &[&str]) -> Self {
        let mut process = Command::new(VECINO)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .args(args)
            .env_remove("VECINO_API_KEY")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("the server ended early: {said}")
            };
            if let Some((_, rest)) = line.split_once("listens on http://") {
                break format!("http://{}", rest.split_whitespace().next().unwrap());
            }
            said.push_str(&line);
        };
        // A pipe that nobody reads would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            url,
            folder,
        }
    }

    /// Ends the process and gives the folder back.
    pub fn stop(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file beside the data.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        write(self.folder.path(), name, bytes)
    }

    /// Runs the program against this server.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with_input(args, b"")
    }

    /// The same, with something on standard input.
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        run_in(
            self.folder.path(),
            args,
            input,
            &[("VECINO_URL", &self.url)],
        )
    }

    /// Runs it with `--json`; it must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(&[args, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.json()
    }

    /// Loads and returns the report.
    pub fn load(&self, path: &Path, collection: &str, more: &[&str]) -> Value {
        self.json(
            &[
                &["load", path.to_str().unwrap(), "--collection", collection],
                more,
            ]
            .concat(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It failed with code 1 and said all of `words` on standard error.
    pub fn failed_with(&self, words: &[&str]) {
        assert_eq!(self.code, 1, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// Runs the program in a folder.
pub fn run_in(folder: &Path, args: &[&str], input: &[u8], env: &[(&str, &str)]) -> Ran {
    let mut process = Command::new(VECINO)
        .args(args)
        .current_dir(folder)
        .env_remove("VECINO_API_KEY")
        .env_remove("VECINO_URL")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that ends without reading breaks the pipe, which is its right.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let mut stderr = process.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut out = String::new();
    process
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    let code = process.wait().unwrap().code().unwrap_or(-1);
    writer.join().unwrap();
    Ran {
        code,
        out,
        err: errors.join().unwrap(),
    }
}

/// Writes a file and the folders above it.
pub fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Waits until all of a collection lies in sealed segments, which happens a second after the last write.
pub fn wait_until_sealed(server: &Server, collection: &str) {
    let url = format!("{}/collections/{collection}", server.url);
    loop {
        let mut reply = ureq::get(&url).call().unwrap();
        let info: Value = serde_json::from_slice(&reply.body_mut().read_to_vec().unwrap()).unwrap();
        let result = &info["result"];
        if result["status"] == "green" && result["indexed_vectors_count"] == result["points_count"]
        {
            return;
        }
        std::thread::yield_now();
    }
}
