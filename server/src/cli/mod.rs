//! The command line: what `vecino COMMAND` does.
//!
//! Answers go to standard output, as text or, with `--json`, as one JSON document; progress and remarks go to standard
//! error. A command that fails says what, where and how to mend it; with `--json` the document is then `{"error": {..}}`.

mod bench;
mod client;
mod doctor;
mod failure;
mod load;
mod output;
mod sample;
mod search;
mod serve;
mod size;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;

use failure::{EXIT_FAILED, EXIT_SKIPPED, Failure, Result};
use output::Output;

const EXAMPLES: &str = "\
Examples:
  vecino serve                                            start a server on http://127.0.0.1:6333
  vecino load ~/Pictures --collection pictures            load a folder of pictures
  vecino search 'a green apple' --collection pictures     find them by words
  vecino search apple.jpg --collection pictures           find pictures that look like one
  vecino load colors.csv --vector-columns r,g,b -c colors load three columns as vectors
  vecino search '[201, 63, 56]' -c colors --explain       find the nearest, and say how
  vecino bench colors                                     measure recall and speed on your own data
  vecino doctor                                           look for what is wrong
  vecino doctor --repair vecino-data                      mend a damaged data folder

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 loaded, but some rows were left out.";

/// Vecino finds neighbours: a vector database that takes texts and pictures.
#[derive(Parser, Debug)]
#[command(name = "vecino", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// Answer with one JSON document.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Load a folder of pictures or a file into a collection.
    Load(load::LoadArgs),
    /// Find the nearest points to a text, a picture or a vector.
    Search(search::SearchArgs),
    /// Measure recall and speed, in process and over HTTP.
    Bench(bench::BenchArgs),
    /// Check the machine, the data folder and the server.
    Doctor(doctor::DoctorArgs),
    /// Load about 200 drawn pictures with captions into the collection `sample`, or write them into a folder.
    Sample(sample::SampleArgs),
}

/// Reads the arguments and runs the command.
pub fn run() -> ExitCode {
    // Wrong usage ends here, with clap's own message and exit code 2; `--help` and `--version` with 0.
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    match dispatch(&arguments.command, output) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            tell(&failure, output);
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn dispatch(command: &Command, output: Output) -> Result<u8> {
    cluster::engine::ensure_processor()?;
    let skipped_unless = |complete: bool| if complete { 0 } else { EXIT_SKIPPED };
    match command {
        Command::Serve(args) => serve::run(args).map(|()| 0),
        Command::Load(args) => load::run(args, output).map(skipped_unless),
        Command::Search(args) => search::run(args, output).map(|()| 0),
        Command::Bench(args) => bench::run(args, output).map(|()| 0),
        Command::Doctor(args) => {
            doctor::run(args, output).map(|sound| if sound { 0 } else { EXIT_FAILED })
        }
        Command::Sample(args) => sample::run(args, output).map(skipped_unless),
    }
}

fn tell(failure: &Failure, output: Output) {
    if output.is_json() {
        output.answer(&json!({ "error": failure.to_json() }), |_| String::new());
    } else {
        eprintln!("{failure}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_examples_parse() {
        for line in EXAMPLES
            .lines()
            .filter_map(|line| line.strip_prefix("  vecino "))
        {
            let command = line.split("   ").next().unwrap_or(line);
            let words = split_words(command.split(" load three").next().unwrap_or(command));
            let parsed = Arguments::try_parse_from(
                std::iter::once("vecino".to_owned()).chain(words.clone()),
            );
            assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
        }
    }

    /// Splits as a shell does, knowing single quotes only.
    fn split_words(line: &str) -> Vec<String> {
        let mut words = vec![];
        for (idx, part) in line.split('\'').enumerate() {
            if idx % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }
}
