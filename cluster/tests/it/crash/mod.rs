//! A child writes and is killed at a random moment; the next one tells what it finds. No acknowledged write may be lost, none that was never
//! attempted may be there, nothing deleted may come back, and memory, rows and segments must agree.
//!
//! - `told`: the lines between child and parent.
//! - `writer`: the child.
//! - `oracle`: what must be there.
//!
//! Here the kill is SIGKILL, which leaves everything that was written; `power_loss` takes part of it away.

pub mod oracle;
pub mod told;
mod writer;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::Random;
use oracle::{Oracle, State};
use told::Told;

const CHILD_FOLDER: &str = "VECINO_CRASH_CHILD_FOLDER";
const CHILD_SERIAL: &str = "VECINO_CRASH_CHILD_SERIAL";
const CHILD_LAZY_ONLY: &str = "VECINO_CRASH_CHILD_LAZY_ONLY";
/// A child that says nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Not a test by itself: the body of the child.
#[test]
fn child() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        let serial = std::env::var(CHILD_SERIAL).unwrap().parse().unwrap();
        let is_lazy_only = std::env::var_os(CHILD_LAZY_ONLY).is_some();
        writer::run(Path::new(&folder), serial, is_lazy_only);
    }
}

/// A command that runs the child in the folder.
pub fn child_command(folder: &Path, serial: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(CHILD_FOLDER, folder)
        .env(CHILD_SERIAL, serial.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Has the child write to nothing but collections with an interval, and seal nothing: no other sync comes before that of the interval.
pub fn write_lazily(command: &mut Command) {
    command.env(CHILD_LAZY_ONLY, "1");
}

/// How a round ends.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum End {
    /// SIGKILL so long after the child began, recovering or not.
    KillAfterStart(Duration),
    /// SIGKILL so long after it served.
    KillAfterReady(Duration),
    /// Told to stop so long after it served.
    StopAfterReady(Duration),
    /// Not killed: it must end by itself, and say that it failed.
    FailsByItself,
    /// Killed by the recorder, which gives itself SIGKILL.
    KilledByRecorder,
}

impl End {
    /// One of them by chance; the longest takes `longest` once it serves.
    pub fn draw(random: &mut Random, longest: Duration) -> Self {
        let mut part = |of: Duration| of.mul_f32(random.unit());
        let (short, long) = (part(Duration::from_millis(250)), part(longest));
        match random.below(10) {
            0 => Self::StopAfterReady(long),
            1..=2 => Self::KillAfterStart(short),
            _ => Self::KillAfterReady(long),
        }
    }
}

/// What a round has shown beside its violations.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Operations acknowledged.
    pub acknowledged: u64,
    /// Whether it came to serve.
    pub ready: bool,
    /// How often segments were seen to have been sealed or merged.
    pub sealed: u64,
    /// What it wrote to stderr.
    pub complaint: String,
}

/// Runs one child to its end, and has the oracle judge what it found when it opened, and when it stopped.
pub fn run(command: &mut Command, end: End, oracle: &mut Oracle) -> Result<Round, String> {
    let mut child = command.spawn().unwrap();
    let lines = read_lines(&mut child);
    let complaint = read_complaint(&mut child);
    let mut round = Round::default();
    let before = oracle.acknowledged;
    let mut due = match end {
        End::KillAfterStart(after) => Some(Instant::now() + after),
        End::KillAfterReady(_) | End::StopAfterReady(_) => None,
        End::FailsByItself | End::KilledByRecorder => Some(Instant::now() + SILENCE_MAX),
    };
    let mut ended = false;
    let mut stopped = false;
    let mut held = State::new();
    let outcome = loop {
        if due.is_some_and(|due| due <= Instant::now()) && !ended {
            ended = true;
            match end {
                End::StopAfterReady(_) => drop(child.stdin.take()),
                // SIGKILL. What it has told until it dies is still read.
                End::KillAfterStart(_) | End::KillAfterReady(_) => child.kill().unwrap(),
                // What was to end it was taken for nothing: its end by us is not the one wanted.
                End::FailsByItself | End::KilledByRecorder => {
                    child.kill().unwrap();
                    break Err("the child goes on".to_owned());
                }
            }
        }
        let patience = match due {
            Some(due) if !ended => due.saturating_duration_since(Instant::now()),
            _ => SILENCE_MAX,
        };
        let told = match lines.recv_timeout(patience) {
            Ok(told) => told,
            Err(RecvTimeoutError::Timeout) if !ended && due.is_some() => continue,
            Err(RecvTimeoutError::Timeout) => break Err("the child hangs".to_owned()),
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
        };
        match told {
            Told::Begin(operation) => oracle.begin(operation),
            Told::Done(writer, at_ms) => oracle.done(writer, at_ms),
            Told::Held(collection) => drop(held.entry(collection).or_default()),
            Told::Row(collection, id, serial) => {
                held.get_mut(&collection).unwrap().insert(id, serial);
            }
            Told::Sealed(count) => round.sealed += count,
            Told::Problem(text) => break Err(text),
            Told::Ready => {
                round.ready = true;
                if let Err(text) = oracle.judge(&std::mem::take(&mut held)) {
                    break Err(text);
                }
                if let End::KillAfterReady(after) | End::StopAfterReady(after) = end {
                    due = Some(Instant::now() + after);
                }
            }
            Told::Stopped => {
                stopped = true;
                if let Err(text) = oracle.judge(&std::mem::take(&mut held)) {
                    break Err(format!("at its end: {text}"));
                }
            }
        }
    };
    // It is dead already, or has shown what is wrong.
    let _ = child.kill();
    let status = child.wait().unwrap();
    round.acknowledged = oracle.acknowledged - before;
    let complaint = complaint.join().unwrap();
    outcome.map_err(|text| format!("{text}\n{complaint}"))?;
    let wanted = match end {
        End::StopAfterReady(_) => ended && stopped && status.success(),
        // By us, or by the recorder before.
        End::KillAfterStart(_) | End::KillAfterReady(_) | End::KilledByRecorder => {
            status.signal() == Some(9)
        }
        End::FailsByItself => !status.success(),
    };
    if !wanted {
        return Err(format!("{end:?}, but it ended with {status}:\n{complaint}"));
    }
    round.complaint = complaint;
    Ok(round)
}

fn read_lines(child: &mut Child) -> Receiver<Told> {
    let (sender, receiver) = channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in out.lines() {
            // A kill may cut a line within a character.
            let Ok(line) = line else { return };
            if let Some(told) = Told::read(&line)
                && sender.send(told).is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// What it writes to stderr: the words of a panic.
fn read_complaint(child: &mut Child) -> std::thread::JoinHandle<String> {
    let mut err = child.stderr.take().unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = std::io::Read::read_to_end(&mut err, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[test]
fn twenty_kills_lose_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(42);
    let mut oracle = Oracle::default();
    let mut served = 0;
    for round in 0..20 {
        let end = End::draw(&mut random, Duration::from_millis(300));
        let mut command = child_command(dir.path(), oracle.serial + 1);
        let shown = run(&mut command, end, &mut oracle);
        served += u64::from(
            shown
                .unwrap_or_else(|text| panic!("round {round}, {end:?}: {text}"))
                .ready,
        );
    }
    let acknowledged = oracle.acknowledged;
    assert!(
        acknowledged >= 10 * served.max(5),
        "inconclusive: {acknowledged} acknowledged in {served} rounds"
    );
}
