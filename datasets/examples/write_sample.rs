//! Writes the sample into a folder: `cargo run --release -p datasets --example write_sample -- FOLDER [SEED]`.

use std::path::Path;
use std::process::ExitCode;

use datasets::sample::{SEED, write_folder};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed = arguments.get(1).map_or(Ok(SEED), |seed| seed.parse());
    let (Some(folder), Ok(seed)) = (arguments.first(), seed) else {
        eprintln!("usage: write_sample FOLDER [SEED]");
        return ExitCode::FAILURE;
    };
    match write_folder(Path::new(folder), seed) {
        Ok(pictures) => {
            println!("{pictures} pictures in {folder}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("write {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}
