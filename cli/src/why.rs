//! `slipway why`: which results the steps of a build had from the cache, and why the others ran.

use serde_json::{Value, json};
use slipway_proto::explain::explain_client::ExplainClient;
use slipway_proto::explain::{Build, BuildsRequest, Cause, Step, WhyRequest, WhyResponse};
use slipway_session::LARGEST_MESSAGE;

use crate::arguments::{Connection, WhyArguments};
use crate::connect::connect;
use crate::error::Failure;
use crate::format;

/// Files that are named of one cause.
const FILES: usize = 20;

pub async fn run(connection: &Connection, arguments: WhyArguments) -> Result<(), Failure> {
    let channel = connect(connection).await?;
    let mut client = ExplainClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    if arguments.list {
        let builds = client.builds(BuildsRequest {}).await.map_err(unknown)?.into_inner().builds;
        list(&builds, arguments.json);
        return Ok(());
    }
    let build = arguments.build.filter(|build| !["-", "last"].contains(&build.as_str())).unwrap_or_default();
    let answer = client.why(WhyRequest { build }).await.map_err(unknown)?.into_inner();
    let steps = match &arguments.step {
        Some(wanted) => chosen(&answer.steps, wanted)?,
        None => answer.steps.iter().filter(|step| !is_internal(step)).collect(),
    };
    match (arguments.json, arguments.step.is_some()) {
        (true, _) => println!("{}", json_of(&answer, &steps)),
        (false, true) => steps.iter().for_each(|step| tell(step, &answer)),
        (false, false) => overview(&answer, &steps),
    }
    Ok(())
}

/// BuildKit's daemon has no such service.
fn unknown(status: tonic::Status) -> Failure {
    match status.code() {
        tonic::Code::Unimplemented => {
            Failure::new("this daemon does not keep why steps ran: it is not Slipway's")
        }
        _ => status.into(),
    }
}

/// Steps that no instruction asked for, but for the one that brings the files, and those that changed.
fn is_internal(step: &Step) -> bool {
    let is_ordinary = |cause: &Cause| ["first", "session"].contains(&cause.kind.as_str());
    step.name.starts_with("[internal]")
        && step.name != "[internal] load build context"
        && step.causes.iter().all(is_ordinary)
}

/// By number, stage and number, digest, or a part of the name; the surest way that finds one.
fn chosen<'a>(steps: &'a [Step], wanted: &str) -> Result<Vec<&'a Step>, Failure> {
    let inside = |step: &Step| {
        step.name.strip_prefix('[').and_then(|name| name.split_once(']')).map(|(inside, _)| inside.to_owned())
    };
    let hex = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let is_digest = hex.len() >= 4 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ways: [&dyn Fn(&Step) -> bool; 4] = [
        &|step| step.name == wanted || inside(step).as_deref() == Some(wanted),
        &|step| inside(step).is_some_and(|inside| inside.ends_with(&format!(" {wanted}"))),
        &|step| {
            is_digest && step.vertex.strip_prefix("sha256:").is_some_and(|digest| digest.starts_with(hex))
        },
        &|step| step.name.to_lowercase().contains(&wanted.to_lowercase()),
    ];
    for way in ways {
        let found: Vec<&Step> = steps.iter().filter(|step| way(step)).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(Failure::new(format!("the build has no step {wanted:?}: `slipway why` lists them")))
}

fn list(builds: &[Build], as_json: bool) {
    for build in builds {
        let took = u64::try_from(build.ended - build.started).unwrap_or_default();
        if as_json {
            println!("{}", json!({ "ref": build.r#ref, "started": build.started, "ended": build.ended }));
        } else {
            let took = format::seconds(std::time::Duration::from_millis(took));
            println!("{:<28}{:<20}{took}", build.r#ref, ago(build.started));
        }
    }
}

fn overview(answer: &WhyResponse, steps: &[&Step]) {
    if let Some(build) = &answer.build {
        println!("build {}, {}", build.r#ref, ago(build.started));
    }
    for step in steps {
        let more = match step.causes.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        println!("{:<7} {}", verdict(step), step.name);
        if let Some(cause) = step.causes.first() {
            println!("        {}{more}", cause.text);
        }
    }
}

fn verdict(step: &Step) -> &'static str {
    match step.outcome.as_str() {
        "cached" | "found" | "not-needed" => "CACHED",
        "shared" => "SHARED",
        "failed" => "FAILED",
        _ => "RAN",
    }
}

fn tell(step: &Step, answer: &WhyResponse) {
    println!("{}", step.name);
    println!("  vertex     {}", step.vertex);
    if !step.operation.is_empty() {
        println!("  operation  {}", step.operation);
    }
    for key in &step.keys {
        println!("  key        {key}");
    }
    for input in &step.inputs {
        let name =
            answer.steps.iter().find(|other| other.vertex == input.vertex).map(|other| other.name.as_str());
        let part =
            if input.paths.is_empty() { String::new() } else { format!(" ({})", input.paths.join(" ")) };
        println!("  input      {}{part}", name.unwrap_or(&input.vertex));
        if !input.content.is_empty() {
            println!("             by content {}", input.content);
        }
    }
    println!("  {}", answered(step));
    if !step.compared.is_empty() {
        println!("  compared with build {}:", step.compared);
    }
    step.causes.iter().for_each(tell_cause);
    println!();
}

fn answered(step: &Step) -> String {
    let made = step.record.as_ref().map(|record| {
        let by = if record.build.is_empty() { String::new() } else { format!(" by build {}", record.build) };
        format!("a local result, made {}{by}", ago(record.created))
    });
    match (step.outcome.as_str(), made) {
        ("cached", Some(made)) => format!("CACHED: {made}"),
        ("found", Some(made)) => format!("CACHED: {made}; not loaded, since what needs it was cached, too"),
        ("not-needed" | "found" | "cached", _) => {
            "CACHED: not asked for, since what needs it was cached".into()
        }
        ("shared", _) => "SHARED: an equal step ran for another build at the same time".into(),
        ("failed", _) => "FAILED".into(),
        _ => "RAN".into(),
    }
}

fn tell_cause(cause: &Cause) {
    println!("  - {}", cause.text);
    if cause.files.len() < 2 {
        return;
    }
    for file in cause.files.iter().take(FILES) {
        println!("      {} ({})", file.path, file.what.join(", "));
    }
    let rest = cause.files.len().saturating_sub(FILES) as u64 + cause.more_files;
    if rest > 0 {
        println!("      and {rest} more");
    }
}

fn json_of(answer: &WhyResponse, steps: &[&Step]) -> Value {
    let build = answer.build.clone().unwrap_or_default();
    json!({
        "build": { "ref": build.r#ref, "started": build.started, "ended": build.ended },
        "steps": steps.iter().map(|step| step_json(step)).collect::<Vec<_>>(),
    })
}

fn step_json(step: &Step) -> Value {
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    json!({
        "vertex": step.vertex,
        "name": step.name,
        "outcome": step.outcome,
        "operation": text(&step.operation),
        "keys": step.keys,
        "inputs": step.inputs.iter().map(|input| json!({
            "vertex": input.vertex,
            "label": text(&input.label),
            "paths": input.paths,
            "content": text(&input.content),
        })).collect::<Vec<_>>(),
        "record": step.record.as_ref().map(|record| json!({
            "created": record.created,
            "build": text(&record.build),
        })),
        "compared": text(&step.compared),
        "causes": step.causes.iter().map(cause_json).collect::<Vec<_>>(),
    })
}

fn cause_json(cause: &Cause) -> Value {
    json!({
        "kind": cause.kind,
        "vertex": cause.vertex,
        "step": cause.step,
        "what": cause.what,
        "old": cause.old,
        "new": cause.new,
        "files": cause.files.iter().map(|file| json!({ "path": file.path, "what": file.what })).collect::<Vec<_>>(),
        "moreFiles": cause.more_files,
        "text": cause.text,
    })
}

/// Since a time in milliseconds since 1970.
fn ago(milliseconds: i64) -> String {
    let at =
        std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    format::ago(Some(at.into()))
}
