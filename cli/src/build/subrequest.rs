//! Questions about a Dockerfile that build nothing: `--call`, `--check`.

use slipway_proto::control::SolveResponse;

use crate::arguments::BuildArguments;
use crate::error::Failure;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subrequest {
    Check,
    Outline,
    Targets,
    Describe,
    Graph,
    /// Errors and findings with columns; JSON for editors.
    Diagnostics,
}

/// What `--call` asks for; `None` is a build.
pub fn of(arguments: &BuildArguments) -> Result<Option<Subrequest>, Failure> {
    if arguments.check {
        return Ok(Some(Subrequest::Check));
    }
    match arguments.call.as_str() {
        "" | "build" => Ok(None),
        "check" | "lint" => Ok(Some(Subrequest::Check)),
        "outline" => Ok(Some(Subrequest::Outline)),
        "targets" => Ok(Some(Subrequest::Targets)),
        "subrequests.describe" => Ok(Some(Subrequest::Describe)),
        "convertllb" => Ok(Some(Subrequest::Graph)),
        "diagnostics" => Ok(Some(Subrequest::Diagnostics)),
        other => Err(Failure::usage(format!(
            "--call {other:?}: use build, check, outline, targets, subrequests.describe, convertllb or diagnostics"
        ))),
    }
}

impl Subrequest {
    pub fn id(self) -> &'static str {
        match self {
            Self::Check => "frontend.lint",
            Self::Outline => "frontend.outline",
            Self::Targets => "frontend.targets",
            Self::Describe => "frontend.subrequests.describe",
            Self::Graph => "frontend.convertllb",
            Self::Diagnostics => "slipway.diagnostics",
        }
    }

    /// Prints the answer; a check that found something fails.
    pub fn print(self, response: &SolveResponse) -> Result<(), Failure> {
        let answer = &response.exporter_response;
        // Editors read JSON; people have the messages of a build.
        let shown = if self == Self::Diagnostics { "result.json" } else { "result.txt" };
        match answer.get(shown).or_else(|| answer.get("result.json")) {
            Some(text) => print!("{text}"),
            None => return Err(Failure::new(format!("the frontend does not answer {}", self.id()))),
        }
        match answer.get("result.statuscode").map(String::as_str) {
            None | Some("0") => Ok(()),
            Some(_) => Err(Failure::new("the check found something")),
        }
    }
}
