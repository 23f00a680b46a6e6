//! `slipway.diagnostics`: everything wrong with a file, for editors. The reference has no such request.
//!
//! | member | holds |
//! |---|---|
//! | `result.json` | a list of [`Diagnostic`]s: errors first, then what lint found |
//! | `result.txt` | the same, drawn |
//! | `result.statuscode` | 1 if there is an error |

use super::json::pretty;
use super::{Question, answer_of};
use crate::build::FrontendResult;
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::Failure;
use crate::lower::{Request, lower};

/// Nobody reads more, and each costs a look at the whole file.
const MOST_FINDINGS: usize = 1000;

pub(super) async fn diagnose(question: &Question<'_>) -> Result<FrontendResult, Failure> {
    let all_stages = question.options.target.is_empty();
    let (lowered, findings) = lower(&Request { all_stages, ..question.request() }).await;
    let info = &question.entry.info;
    let mut all = lowered.err().map_or_else(Vec::new, |failure| Diagnostic::of_failure(&failure, Some(info)));
    let findings = findings.iter().take(MOST_FINDINGS);
    all.extend(findings.map(|finding| Diagnostic::of_finding(finding, info)));
    let failed = all.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    let text: Vec<String> = all.iter().map(|diagnostic| diagnostic.text(&info.data)).collect();
    Ok(answer_of([
        ("result.json", pretty(&serde_json::to_value(&all)?)?),
        ("result.txt", text.join("\n")),
        ("result.statuscode", if failed { "1" } else { "0" }.to_owned()),
        ("version", "1.0.0".to_owned()),
    ]))
}
