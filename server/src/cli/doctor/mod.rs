//! `vecino doctor`: what is right and wrong with the machine, the data folder and the server, a line each; and the repair of a data folder.

mod data;
mod embedders;
mod machine;
mod repair;
mod service;
mod usage;

use std::path::PathBuf;

use clap::Args;
use cluster::engine::OnLoss;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::failure::Result;
use super::output::{Output, Paint};
use super::serve::DATA_DEFAULT;

pub use machine::{cores, cpu_features, cpu_name};

/// What to check.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Folder of the data.
    #[arg(long, value_name = "DIR", env = "VECINO_DATA_DIR", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// Mend the data in this folder, which no server may use, instead of checking: build again what is derived, restore what has a copy, and
    /// tell what is lost.
    #[arg(long, value_name = "DIR")]
    repair: Option<PathBuf>,
    /// Remove what is left of what is lost, so that the rest can be served again.
    #[arg(long, requires = "repair")]
    accept_loss: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
#[derive(Debug)]
struct Finding {
    status: Status,
    subject: &'static str,
    detail: String,
    mend: Option<String>,
    /// Figures for `--json`.
    data: Value,
}

impl Finding {
    fn new(status: Status, subject: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            subject,
            detail: detail.into(),
            mend: None,
            data: Value::Null,
        }
    }

    fn mend(mut self, advice: impl Into<String>) -> Self {
        self.mend = Some(advice.into());
        self
    }

    fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    fn to_json(&self) -> Value {
        json!({ "status": self.status.name(), "subject": self.subject, "detail": self.detail, "mend": self.mend, "data": self.data })
    }

    fn to_text(&self, paint: Paint) -> String {
        let name = format!("{:<4}", self.status.name());
        let status = match self.status {
            Status::Ok => paint.good(&name),
            Status::Warn => paint.odd(&name),
            Status::Fail => paint.bad(&name),
        };
        let mend = self
            .mend
            .as_ref()
            .map(|mend| format!("\n                 mend: {mend}"))
            .unwrap_or_default();
        format!("{status}  {:<10} {}{mend}\n", self.subject, self.detail)
    }
}

/// What was looked at, which nobody may have named.
struct LookedAt<'a> {
    folder: PathBuf,
    url: &'a str,
}

impl LookedAt<'_> {
    fn to_text(&self, paint: Paint) -> String {
        let text = format!(
            "looking at the data folder {} (--data names another) and the server at {} (--url)\n",
            self.folder.display(),
            self.url
        );
        paint.faint(&text)
    }
}

/// Runs the command. Returns whether nothing fails.
///
/// # Errors
///
/// The server's address is none.
pub fn run(args: &DoctorArgs, output: Output) -> Result<bool> {
    if let Some(folder) = &args.repair {
        let on_loss = match args.accept_loss {
            true => OnLoss::Accept,
            false => OnLoss::Ask,
        };
        return repair::run(folder, on_loss, output);
    }
    let client = Client::connect(&args.server)?;
    let mut findings = vec![machine::cpu(), machine::memory(), machine::open_files()];
    findings.extend(embedders::all());
    findings.push(data::free_space(&args.data));
    findings.extend(data::folder(&args.data));
    findings.extend(service::all(&client));
    let failing = findings
        .iter()
        .filter(|finding| finding.status == Status::Fail)
        .count();
    let odd = findings
        .iter()
        .filter(|finding| finding.status == Status::Warn)
        .count();
    let looked_at = LookedAt {
        folder: std::path::absolute(&args.data).unwrap_or_else(|_| args.data.clone()),
        url: client.base(),
    };
    let answer = json!({ "sound": failing == 0, "data": looked_at.folder, "url": looked_at.url, "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>() });
    output.answer(&answer, |paint| {
        let mut text = looked_at.to_text(paint);
        text.extend(findings.iter().map(|finding| finding.to_text(paint)));
        text.push_str(&match (failing, odd) {
            (0, 0) => "all is well\n".to_owned(),
            (0, _) => format!("it works; {odd} to look at\n"),
            _ => format!("{failing} to mend, {odd} to look at\n"),
        });
        text
    });
    Ok(failing == 0)
}
