//! `slipway-frontend`: the Dockerfile frontend as an image.
//!
//! It runs on every builder that knows `gateway.v0`. What it does is [`slipway_frontend`]; here is the way to the
//! builder and back.
#![allow(unreachable_pub, reason = "nothing of a binary is reachable")]
#![allow(clippy::print_stderr, reason = "the builder shows it where there is no other way to say it")]

mod gateway;

use std::process::ExitCode;
use std::time::SystemTime;

use slipway_frontend::{Language, OtherFrontend};
use slipway_frontend_image::{Builder, Error, Output, Result, Solved};

use gateway::BridgeGateway;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipway-frontend: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let builder = Builder::connect().await?;
    let outcome = build(&builder).await;
    builder.finish(outcome).await
}

/// The image decides: its entrypoint says `--extensions`, or nothing.
fn language() -> Result<Language> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(Language::default()),
        ["--extensions"] => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Ok(Language::extended(i64::try_from(now.as_secs()).unwrap_or_default()))
        }
        _ => Err(Error::plain(format!("unknown arguments {arguments:?}: --extensions is all there is"))),
    }
}

async fn build(builder: &Builder) -> Result<Solved> {
    let inputs = builder.inputs().await?;
    let gateway = BridgeGateway::new(builder.clone());
    let opened = slipway_frontend::open(&gateway, &builder.options, &inputs).await?;
    let opened = opened.in_language(language()?);
    if let Some(OtherFrontend { image, command_line, .. }) = opened.other_frontend() {
        let mut options = builder.options.clone();
        options.insert("source".into(), image);
        options.insert("cmdline".into(), command_line);
        return builder.forward(options).await;
    }
    let made = opened.build().await?;
    let outputs = made.outputs.into_iter();
    let outputs = outputs.map(|output| Output { id: output.id, definition: output.definition });
    builder.outputs(outputs.collect(), made.multi_platform, made.metadata).await
}
