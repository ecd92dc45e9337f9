//! What a child tells its parent, line by line on stdout.
//!
//! An intention is told before the call and its end after it, so an unacknowledged write may be seen or not; a line that a kill has cut tells
//! nothing. Each line is written by one call, with a mark in front: the test harness writes to stdout too.

use std::io::Write;

/// What a writer does, in one call of the node.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Writes these points, each with the operation's serial.
    Upsert(Vec<u64>),
    /// Deletes these points.
    Delete(Vec<u64>),
    /// Deletes the writer's points of this group by a filter.
    DeleteGroup(u64),
    /// Creates the collection.
    Create,
    /// Drops the collection.
    Drop,
}

/// An operation of one writer.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub writer: u64,
    pub serial: u64,
    pub collection: String,
    pub action: Action,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// An operation begins.
    Begin(Operation),
    /// The operation of this writer was acknowledged, at this millisecond since 1970.
    Done(u64, u64),
    /// A collection is there.
    Held(String),
    /// A point is there: collection, id, serial.
    Row(String, u64, u64),
    /// All that is there has been told: the node serves.
    Ready,
    /// Segments were seen to have been sealed or merged so many times.
    Sealed(u64),
    /// Something is wrong.
    Problem(String),
    /// All that was there at the end has been told: the node stops.
    Stopped,
}

const MARK: &str = "@told ";

impl Told {
    /// Tells the parent.
    pub fn tell(&self) {
        let line = format!("{MARK}{}.\n", self.words());
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }

    fn words(&self) -> String {
        match self {
            Self::Begin(operation) => {
                let list = |ids: &[u64]| {
                    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
                    ids.join(",")
                };
                let (what, argument) = match &operation.action {
                    Action::Upsert(ids) => ("upsert", list(ids)),
                    Action::Delete(ids) => ("delete", list(ids)),
                    Action::DeleteGroup(group) => ("group", group.to_string()),
                    Action::Create => ("create", String::new()),
                    Action::Drop => ("drop", String::new()),
                };
                let Operation {
                    writer,
                    serial,
                    collection,
                    ..
                } = operation;
                format!("begin {writer} {serial} {collection} {what} {argument}")
            }
            Self::Done(writer, at_ms) => format!("done {writer} {at_ms}"),
            Self::Held(collection) => format!("held {collection}"),
            Self::Row(collection, id, serial) => format!("row {collection} {id} {serial}"),
            Self::Ready => "ready".into(),
            Self::Sealed(count) => format!("sealed {count}"),
            Self::Problem(text) => format!("problem {}", text.replace('\n', " ")),
            Self::Stopped => "stopped".into(),
        }
    }

    /// Reads a line without its end; `None` if it is another's or cut.
    pub fn read(line: &str) -> Option<Self> {
        let words = &line[line.find(MARK)? + MARK.len()..];
        let words = words.strip_suffix('.')?;
        if let Some(text) = words.strip_prefix("problem ") {
            return Some(Self::Problem(text.to_owned()));
        }
        let number = |text: &str| text.parse::<u64>().ok();
        let words: Vec<&str> = words.split(' ').collect();
        Some(match words[..] {
            ["begin", writer, serial, collection, what, argument] => {
                let ids = || {
                    argument
                        .split(',')
                        .map(number)
                        .collect::<Option<Vec<u64>>>()
                };
                Self::Begin(Operation {
                    writer: number(writer)?,
                    serial: number(serial)?,
                    collection: collection.to_owned(),
                    action: match what {
                        "upsert" => Action::Upsert(ids()?),
                        "delete" => Action::Delete(ids()?),
                        "group" => Action::DeleteGroup(number(argument)?),
                        "create" => Action::Create,
                        "drop" => Action::Drop,
                        _ => return None,
                    },
                })
            }
            ["done", writer, at_ms] => Self::Done(number(writer)?, number(at_ms)?),
            ["held", collection] => Self::Held(collection.to_owned()),
            ["row", collection, id, serial] => {
                Self::Row(collection.to_owned(), number(id)?, number(serial)?)
            }
            ["ready"] => Self::Ready,
            ["sealed", count] => Self::Sealed(number(count)?),
            ["stopped"] => Self::Stopped,
            _ => return None,
        })
    }
}

#[test]
fn what_is_told_is_read_and_what_is_cut_is_not() {
    let told = Told::Begin(Operation {
        writer: 2,
        serial: 17,
        collection: "shared".into(),
        action: Action::Upsert(vec![2001, 2002]),
    });
    let line = format!("test crash::child ... {MARK}{}.", told.words());
    assert_eq!(Told::read(&line), Some(told));
    for end in 0..line.len() {
        assert_eq!(Told::read(&line[..end]), None, "{}", &line[..end]);
    }
}
