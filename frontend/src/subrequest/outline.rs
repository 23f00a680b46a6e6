//! `frontend.outline`: the parameters of a target: arguments, secrets, ssh agents.

use serde_json::Value;

use super::json::{self, Members, base64, pretty};
use super::{Question, answer_of, table};
use crate::build::FrontendResult;
use crate::error::Failure;
use crate::lower::outline::{Listed, Need, Outline};
use crate::lower::{Request, Wanted, lower};

pub(super) async fn outline(question: &Question<'_>) -> Result<FrontendResult, Failure> {
    let request = Request { wants: Wanted::Outline, ..question.request() };
    let (lowered, _) = lower(&request).await;
    let outline = lowered?.outline.unwrap_or_default();
    let data = base64(&question.entry.data);
    let answer: Value = Members::default()
        .text("name", &outline.name)
        .text("description", &outline.description)
        .list("args", &outline.arguments, argument)
        .list("secrets", &outline.secrets, need)
        .list("ssh", &outline.ssh, need)
        .value("sources", vec![data])
        .into();
    Ok(answer_of([
        ("result.json", pretty(&answer)?),
        ("result.txt", text(&outline)),
        ("version", "1.0.0".to_owned()),
    ]))
}

fn argument(argument: &Listed) -> Value {
    Members::default()
        .value("name", argument.name.as_str())
        .text("description", &argument.description)
        .text("value", &argument.value)
        .value("location", json::location(&argument.ranges))
        .into()
}

fn need(need: &Need) -> Value {
    Members::default()
        .value("name", need.name.as_str())
        .flag("required", need.required)
        .value("location", json::location(&need.ranges))
        .into()
}

/// A table for each kind, with an empty line behind it.
fn text(outline: &Outline) -> String {
    let mut text = String::new();
    if !outline.name.is_empty() || !outline.description.is_empty() {
        let name = if outline.name.is_empty() { "(default)" } else { &outline.name };
        let mut rows = format!("TARGET:\t{name}\n");
        if !outline.description.is_empty() {
            rows.push_str(&format!("DESCRIPTION:\t{}\n", outline.description));
        }
        text.push_str(&table::aligned(&rows, 1));
        text.push('\n');
    }
    if !outline.arguments.is_empty() {
        let mut rows = "BUILD ARG\tVALUE\tDESCRIPTION\n".to_owned();
        for argument in &outline.arguments {
            let Listed { name, value, description, .. } = argument;
            rows.push_str(&format!("{name}\t{value}\t{description}\n"));
        }
        text.push_str(&table::aligned(&rows, 3));
        text.push('\n');
    }
    for (title, needs) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        if needs.is_empty() {
            continue;
        }
        let mut rows = format!("{title}\tREQUIRED\n");
        for need in needs {
            rows.push_str(&format!("{}\t{}\n", need.name, if need.required { "true" } else { "" }));
        }
        text.push_str(&table::aligned(&rows, 3));
        text.push('\n');
    }
    text
}
