//! The program `vecino`: the server and the tools around it. `vecino --help` lists them.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
