//! A frontend's life, from the start to the answer.
//!
//! | the frontend | is answered with |
//! |---|---|
//! | returns a result and ends | the result |
//! | returns a result and stays | the result, once it was killed |
//! | returns an error, however it ends | the error |
//! | ends with another code than 0, be it after a result | `Unknown`, the code and its last words |
//! | ends without having returned anything | `Internal` |
//! | closes its output, or writes what is no gRPC to it | `Internal`, once it was killed |
//! | cannot be started | `Unknown`, why |
//! | never returns | nothing; it is killed with its build |

use std::sync::Arc;
use std::time::Duration;

use slipway_run::Exit;
use slipway_worker::container::{Container, ProcessRequest};
use tokio::time::timeout;
use tonic::Code;

use super::connection::{Errors, Streams};
use crate::bridge::{Answer, Guest};
use crate::build::failure::{self, Failure};
use crate::engine::Engine;

/// How long a frontend that has nothing more to say may take to end.
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// How it ended.
enum End {
    Exited(slipway_worker::Result<Exit>),
    /// Its output ended before it did.
    Silent,
    /// It had its answer given and stayed.
    Lingering,
}

pub(super) async fn run(
    engine: &Arc<Engine>,
    name: &str,
    guest: Guest,
    container: &Container,
    process: ProcessRequest,
) -> Result<Answer, Failure> {
    let conversation = guest.conversation.clone();
    let (streams, io) = Streams::open()
        .map_err(|error| Failure::internal(format!("cannot make the streams of a frontend: {error}")))?;
    let (_process, ending) = container.start(process, io).await.map_err(Failure::from_worker)?;
    let (disconnected, errors) = streams.serve(engine, guest);
    let mut ending = std::pin::pin!(ending.wait());
    let end = tokio::select! {
        biased;
        exit = &mut ending => End::Exited(exit),
        () = conversation.has_been_answered() => {
            timeout(LAST_MOMENT, ending).await.map_or(End::Lingering, End::Exited)
        }
        () = disconnected.cancelled() => {
            timeout(LAST_MOMENT, ending).await.map_or(End::Silent, End::Exited)
        }
    };
    judge(name, end, conversation.take_answer(), &errors)
}

fn judge(
    name: &str,
    end: End,
    answer: Option<Result<Answer, Failure>>,
    errors: &Errors,
) -> Result<Answer, Failure> {
    let words = errors.as_appendix();
    match (answer, end) {
        (Some(Err(failure)), _) => Err(failure),
        (_, End::Exited(Ok(exit))) if !exit.success() => {
            let code = exit.code();
            let message = format!("frontend {name} failed: exit code: {code}{words}");
            let detail = failure::exit_detail(u32::try_from(code).unwrap_or(u32::MAX));
            Err(Failure::new(Code::Unknown, message).with_details(vec![detail]))
        }
        (_, End::Exited(Err(error))) => {
            Err(Failure::from_worker(error).context(format!("frontend {name} did not run")))
        }
        (Some(Ok(answer)), _) => Ok(answer),
        (None, End::Exited(Ok(_))) => {
            Err(Failure::internal(format!("frontend {name} returned no result for the build{words}")))
        }
        (None, End::Silent | End::Lingering) => Err(Failure::internal(format!(
            "frontend {name} closed its connection, or wrote to its standard output what is no gRPC{words}"
        ))),
    }
}
