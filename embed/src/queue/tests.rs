use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use super::*;
use crate::{Batch, Identity, Limits, Metric, Modality};

/// Embeds a text as its length; says which batches it got, and waits to be let through each of them.
struct Gate {
    identity: Identity,
    batches: Mutex<Sender<(Purpose, Vec<String>)>>,
    tickets: Mutex<Receiver<()>>,
    calls: AtomicUsize,
}

/// What the test holds of the gate.
struct Keeper {
    batches: Receiver<(Purpose, Vec<String>)>,
    tickets: Sender<()>,
}

fn gate() -> (Arc<Gate>, Keeper) {
    let ((batches, got), (tickets, wait)) = (mpsc::channel(), mpsc::channel());
    let identity = Identity {
        name: "gate".into(),
        version: "1".into(),
        checksum: String::new(),
    };
    let gate = Gate {
        identity,
        batches: batches.into(),
        tickets: wait.into(),
        calls: AtomicUsize::new(0),
    };
    (
        Arc::new(gate),
        Keeper {
            batches: got,
            tickets,
        },
    )
}

impl Embedder for Gate {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn modalities(&self) -> &[Modality] {
        &[Modality::Text]
    }
    fn kind(&self) -> Kind {
        Kind::Dense {
            dim: 1,
            metric: Metric::Dot,
        }
    }
    fn limits(&self) -> Limits {
        let gather = Duration::ZERO;
        Limits {
            text_bytes_max: 100,
            image_bytes_max: 0,
            image_pixels_max: 0,
            batch_max: 4,
            gather,
        }
    }
    fn embed(&self, inputs: &[Input<'_>], purpose: Purpose) -> Batch {
        let texts: Vec<String> = inputs
            .iter()
            .map(|input| match input {
                Input::Text(text) => (*text).to_owned(),
                Input::Image(_) => unreachable!(),
            })
            .collect();
        self.calls.fetch_add(inputs.len(), Ordering::SeqCst);
        let _ = self.batches.lock().send((purpose, texts.clone()));
        let _ = self.tickets.lock().recv();
        if texts.iter().any(|text| text == "panic") {
            panic!("as the test asked");
        }
        let row = |text: String| match text.as_str() {
            "bad" => Err(EmbedError::Decode("bad".into())),
            "nan" => Ok(vec![f32::NAN]),
            text => Ok(vec![text.len() as f32]),
        };
        Batch::from_rows(1, texts.into_iter().map(row).collect())
    }
}

impl Keeper {
    /// Waits for the next batch and lets it through.
    fn pass(&self) -> (Purpose, Vec<String>) {
        let batch = self.batches.recv().unwrap();
        self.tickets.send(()).unwrap();
        batch
    }
}

fn options() -> QueueOptions {
    QueueOptions {
        workers: 1,
        bulk_batch_ms: 60_000,
        ..QueueOptions::default()
    }
}

fn texts(texts: &[&str]) -> Vec<OwnedInput> {
    texts.iter().map(|&text| OwnedInput::from(text)).collect()
}

type Answers = Vec<Result<Embedding, EmbedError>>;

fn submit(handle: &Handle, inputs: &[&str], purpose: Purpose) -> Receiver<Answers> {
    let (sender, receiver) = mpsc::channel();
    handle.submit(
        texts(inputs),
        purpose,
        Box::new(move |answers| drop(sender.send(answers))),
    );
    receiver
}

fn dense(x: f32) -> Result<Embedding, EmbedError> {
    Ok(Embedding::Dense(vec![x]))
}

#[test]
fn an_error_belongs_to_its_input() {
    let (gate, keeper) = gate();
    let handle = Handle::new(gate, options());
    let answers = submit(&handle, &["a", "bad", "nan", "four"], Purpose::Query);
    keeper.pass();
    let answers = answers.recv().unwrap();
    assert_eq!(answers[0], dense(1.0));
    assert_eq!(answers[1], Err(EmbedError::Decode("bad".into())));
    assert!(matches!(&answers[2], Err(EmbedError::NotFinite { model, .. }) if model == "gate"));
    assert_eq!(answers[3], dense(4.0));
}

#[test]
fn queries_go_first_and_bulk_is_not_starved() {
    let (gate, keeper) = gate();
    let handle = Handle::new(gate, options());
    let first = submit(&handle, &["first"], Purpose::Query);
    let held = keeper.batches.recv().unwrap();
    assert_eq!(held, (Purpose::Query, vec!["first".to_owned()]));
    // While the worker is held: bulk comes before many queries, and is served after BULK_TURN batches of them.
    let bulk = submit(&handle, &["b1"], Purpose::Document);
    let many: Vec<String> = (0..80).map(|i| format!("query {i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let queries = submit(&handle, &many, Purpose::Query);
    assert_eq!(handle.waiting(), (80, 1));
    keeper.tickets.send(()).unwrap();
    let order: Vec<Purpose> = (0..21).map(|_| keeper.pass().0).collect();
    let bulk_at: Vec<usize> = (0..21).filter(|&i| order[i] == Purpose::Document).collect();
    assert_eq!(
        bulk_at,
        [BULK_TURN as usize - 1],
        "the first batch of queries counts too"
    );
    assert_eq!(queries.recv().unwrap().len(), 80);
    assert_eq!(bulk.recv().unwrap(), [dense(2.0)]);
    assert_eq!(first.recv().unwrap(), [dense(5.0)]);
}

#[test]
fn a_full_queue_refuses_whole_requests() {
    let (gate, keeper) = gate();
    let handle = Handle::new(
        gate,
        QueueOptions {
            waiting_bytes_max: 10,
            ..options()
        },
    );
    let first = submit(&handle, &["larger than the queue"], Purpose::Document);
    keeper.batches.recv().unwrap();
    let second = submit(&handle, &["12345", "1234"], Purpose::Document);
    let third = submit(&handle, &["12", "3"], Purpose::Query);
    let busy = Err(EmbedError::Busy {
        model: "gate".into(),
    });
    assert_eq!(
        third.recv().unwrap(),
        [busy.clone(), busy],
        "answered while the others wait"
    );
    keeper.tickets.send(()).unwrap();
    keeper.pass();
    assert_eq!(first.recv().unwrap(), [dense(21.0)]);
    assert_eq!(second.recv().unwrap(), [dense(5.0), dense(4.0)]);
    let again = submit(&handle, &["12", "3"], Purpose::Query);
    keeper.pass();
    assert_eq!(
        again.recv().unwrap(),
        [dense(2.0), dense(1.0)],
        "there is room again"
    );
}

#[test]
fn bulk_is_cut_by_time() {
    let (gate, _keeper) = gate();
    let shared = Shared {
        embedder: gate,
        options: QueueOptions {
            bulk_batch_ms: 10,
            ..options()
        },
        lines: Mutex::default(),
        woken: Condvar::new(),
        cache: Mutex::new(Cache::new(0)),
        cache_salt: 0,
    };
    let progress = Progress {
        answers: vec![],
        open: 100,
        reply: None,
    };
    let request = Arc::new(Request {
        progress: Mutex::new(progress),
    });
    let waiting = |slot| Waiting {
        request: Arc::clone(&request),
        slot,
        input: OwnedInput::from("x".repeat(100)),
        purpose: Purpose::Document,
    };
    let mut lines = Lines {
        bulk: (0..100).map(waiting).collect(),
        ..Lines::default()
    };
    assert_eq!(
        lines.bulk_count(1000, shared.options),
        4,
        "a few to learn from"
    );
    // About 100 bytes in 1 ms: ten fit into 10 ms.
    shared.learn(Duration::from_millis(1), 101);
    lines.seconds_per_byte = shared.lines.lock().seconds_per_byte;
    assert_eq!(lines.bulk_count(1000, shared.options), 10);
    assert_eq!(lines.bulk_count(3, shared.options), 3);
    lines.seconds_per_byte = 1.0;
    assert_eq!(
        lines.bulk_count(1000, shared.options),
        1,
        "one input is always taken"
    );
    lines.seconds_per_byte = 1e-9;
    assert_eq!(
        lines.bulk_count(
            1000,
            QueueOptions {
                workers: 2,
                ..shared.options
            }
        ),
        50,
        "a worker's share"
    );
}

#[test]
fn equal_inputs_are_embedded_once() {
    let (gate, keeper) = gate();
    let handle = Handle::new(Arc::clone(&gate) as Arc<dyn Embedder>, options());
    let answers = submit(&handle, &["same", "same", "bad", "same"], Purpose::Query);
    assert_eq!(keeper.pass().1, ["same", "bad"]);
    assert_eq!(answers.recv().unwrap()[3], dense(4.0));
    // Remembered; but neither errors nor the other purpose.
    let answers = submit(&handle, &["bad", "same"], Purpose::Query);
    assert_eq!(keeper.pass().1, ["bad"]);
    assert_eq!(answers.recv().unwrap()[1], dense(4.0));
    let answers = submit(&handle, &["same"], Purpose::Document);
    assert_eq!(keeper.pass(), (Purpose::Document, vec!["same".to_owned()]));
    answers.recv().unwrap();
    assert_eq!(gate.calls.load(Ordering::SeqCst), 4);
}

#[test]
fn a_panic_is_an_error_and_the_worker_lives() {
    let (gate, keeper) = gate();
    let handle = Handle::new(gate, options());
    let answers = submit(&handle, &["panic", "x"], Purpose::Query);
    keeper.pass();
    assert!(
        answers
            .recv()
            .unwrap()
            .iter()
            .all(|answer| matches!(answer, Err(EmbedError::Internal { .. })))
    );
    handle.submit(
        texts(&["y"]),
        Purpose::Query,
        Box::new(|_| panic!("a reply that panics")),
    );
    keeper.pass();
    let answers = submit(&handle, &["xyz"], Purpose::Query);
    keeper.pass();
    assert_eq!(answers.recv().unwrap(), [dense(3.0)]);
}

#[test]
fn what_waits_is_answered_after_the_handle_is_gone() {
    let (gate, keeper) = gate();
    let handle = Handle::new(Arc::clone(&gate) as Arc<dyn Embedder>, options());
    let many: Vec<String> = (0..10).map(|i| "x".repeat(i + 1)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answers = submit(&handle, &many, Purpose::Document);
    drop(handle);
    drop(keeper.tickets);
    assert_eq!(
        answers.recv().unwrap(),
        (1..=10).map(|i| dense(i as f32)).collect::<Vec<_>>()
    );
    // The workers end, and with them the last references to the embedder.
    while Arc::strong_count(&gate) > 1 {
        std::thread::yield_now();
    }
}

#[test]
fn no_input_is_answered_at_once() {
    let (gate, _keeper) = gate();
    assert!(
        Handle::new(gate, options())
            .embed_blocking(Vec::new(), Purpose::Query)
            .is_empty()
    );
}
