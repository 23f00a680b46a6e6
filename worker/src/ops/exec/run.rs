//! One run of a process, from its mounts to its outputs.

use slipway_model::Platform;
use slipway_model::llb::pb;
use slipway_run::{Exit, OutOfMemory, Stdio};
use slipway_solver::OpContext;

use super::ExecOp;
use super::mounts::{MountRequest, Mounts};
use super::output::log_pipe;
use super::spec::process_spec;
use crate::blocking::blocking;
use crate::{Error, Result, Value};

pub(super) async fn run(op: &ExecOp, ctx: &OpContext<Value>, inputs: Vec<Value>) -> Result<Vec<Value>> {
    let meta = op.exec.meta.clone().ok_or_else(|| Error::Failed("the operation has no command".into()))?;
    let mounts = Mounts::prepare(MountRequest {
        worker: &op.worker,
        mounts: &op.exec.mounts,
        inputs: &inputs,
        sessions: ctx.sessions(),
        stop: &ctx.stop,
        purpose: format!("exec {}", meta.args.join(" ")),
        travelling: op.travelling.as_deref(),
    })
    .await?;
    let mut spec = process_spec(op, &meta, ctx, &mounts).await?;
    op.worker.devices.give(&op.exec.cdi_devices, &mut spec)?;
    let (stdout, output) = log_pipe(ctx, 1, op.worker.log_limits)?;
    let (stderr, errors) = log_pipe(ctx, 2, op.worker.log_limits)?;
    let io = Stdio { stdin: None, stdout, stderr };
    let outcome = op.worker.executor.run(spec, io, ctx.stop.clone()).await;
    // All of the output is in the log before the step is over.
    let (output, errors) = tokio::join!(output.end(), errors.end());
    // Looked at while what it wrote is still there.
    let is_full = op.worker.store.is_full();
    if let Err(error) = judge(&meta, outcome) {
        output.show(ctx).await;
        errors.show(ctx).await;
        let error = match error {
            Error::Exit { process, end, code } if !op.worker.platforms.runs(&op.platform.architecture) => {
                Error::Exit { process, end: without_emulator(&end, &op.platform), code }
            }
            Error::Exit { .. } if is_full => Error::DiskFull { source: Box::new(error) },
            other => other,
        };
        return Err(error.with_remains(|| mounts.into_remains(&op.exec.mounts, &inputs)));
    }
    blocking(move || mounts.commit()).await
}

fn without_emulator(end: &str, platform: &Platform) -> String {
    format!(
        "{end}: this host cannot run programs for {}: install an emulator (such as Debian's qemu-user-static), \
         or build on such a machine",
        platform.slug()
    )
}

fn judge(meta: &pb::Meta, outcome: slipway_run::Result<Exit>) -> Result<()> {
    let process = meta.args.join(" ");
    let exit = match outcome {
        Ok(exit) => exit,
        Err(slipway_run::Error::Cancelled) => return Err(Error::Cancelled),
        Err(slipway_run::Error::NotStarted(not_started)) => {
            let end = format!("{not_started}: exit code: {}", not_started.code);
            return Err(Error::Exit { process, end, code: not_started.code });
        }
        Err(source) => return Err(Error::Start { process, source }),
    };
    let code = exit.code();
    let accepted =
        if meta.valid_exit_codes.is_empty() { code == 0 } else { meta.valid_exit_codes.contains(&code) };
    if accepted {
        return Ok(());
    }
    let end = match exit.out_of_memory {
        Some(OutOfMemory::Step { limit }) => {
            format!("exit code: {code}: out of memory: the step reached its memory limit of {limit} bytes")
        }
        Some(OutOfMemory::Above) => {
            format!(
                "exit code: {code}: out of memory: the machine, or the control group of all steps, has none left"
            )
        }
        None => format!("exit code: {code}"),
    };
    Err(Error::Exit { process, end, code })
}
