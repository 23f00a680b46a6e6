//! Runtimes that somebody else starts, such as containerd's, in place of the built-in one.
//!
//! ```text
//! daemon            helper                          the service
//!   order      ->     mounts below <state>/<id>
//!              <-     Prepared: config.json
//!   start      ------------------------------->       the container
//!   Started    ->     (kills it if we go)
//!   wait       <-------------------------------       exit code
//!   Ended      ->     unmounts, removes mount stubs
//!              <-     Cleaned
//! ```
//!
//! The wall is [`Outside`]: who stands behind it is given a bundle and runs it; what a step needs beside (trees, files,
//! secrets, mount stubs, memory that ran out) is done here, the same for all.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::builtin::order;
use crate::cgroup::Groups;
use crate::launch::{failed, reap, spawn};
use crate::protocol::{self, Order, Report, Runtime, Word};
use crate::{
    BuiltinExecutor, Error, Executor, Exit, Network, Options, ProcessSpec, Result, Running, Started, Status,
    Stdio, seccomp,
};

/// As long as a service may take to notice the end of a container.
const PATIENCE: Duration = Duration::from_secs(10);

/// A container that is ready to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Names the container: the id of the step.
    pub id: String,
    /// `config.json` of the OCI runtime specification. Its root and its mounts are paths of the host.
    pub config: String,
    /// Where its control group will be, in the hierarchy.
    pub cgroup: String,
}

impl Bundle {
    /// Kills what runs of it just now, whatever its service knows; whether something did.
    pub fn kill(&self) -> bool {
        Groups::of_runtime(&self.cgroup).kill()
    }
}

/// Whoever runs bundles.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Starts a container; its first process reads and writes `io`. If it cannot be started, nothing of it is left.
    async fn start(&self, bundle: &Bundle, io: Stdio) -> Result<Arc<dyn Container>>;
}

/// A container that was started.
#[async_trait]
pub trait Container: Send + Sync {
    /// Its first process, as the host numbers it.
    fn pid(&self) -> i32;

    /// Waits for the end of the first process: its exit code, or 128 + n for signal n.
    async fn wait(&self) -> Result<i32>;

    /// Kills all of it, if it still runs.
    async fn kill(&self);

    /// Forgets it. It has ended.
    async fn delete(&self);
}

/// Runs steps on an [`Outside`]. The binary must begin its `main` with [`crate::main_if_helper`].
#[derive(Clone)]
pub struct OutsideExecutor {
    options: Options,
    state: PathBuf,
    outside: Arc<dyn Outside>,
}

impl OutsideExecutor {
    /// `state` is a directory of the daemon's own, made when it is missing; what helpers that were killed have left
    /// mounted in it is taken away.
    pub fn new(outside: Arc<dyn Outside>, state: impl AsRef<Path>, options: Options) -> Result<Self> {
        let failed = |error: std::io::Error| Error::Setup {
            step: format!("make the folder {} for steps", state.as_ref().display()),
            reason: error.to_string(),
        };
        let state = std::path::absolute(state.as_ref()).map_err(failed)?;
        std::fs::create_dir_all(&state).map_err(failed)?;
        for left in std::fs::read_dir(&state).map_err(failed)? {
            let left = left.map_err(failed)?.path();
            // Nothing is mounted on it, most of the time.
            let _ = unmount(&left, UnmountFlags::DETACH);
            // Only what is empty goes: nothing below a mount is ever touched.
            let _ = std::fs::remove_dir(&left);
        }
        Ok(Self { options, state, outside })
    }

    /// All of a step, whether somebody waits for it or not.
    async fn course(
        self,
        spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit> {
        let helper = Helper::start(self.options.clone(), spec, self.state.clone()).await?;
        let ran = if stop.is_cancelled() {
            Err(Error::Cancelled)
        } else {
            self.run_bundle(&helper, io, &stop, started).await
        };
        let cleaned = helper.end().await;
        match (ran, cleaned) {
            (Ok(exit), Ok(())) => Ok(exit),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        }
    }

    async fn run_bundle(
        &self,
        helper: &Helper,
        io: Stdio,
        stop: &CancellationToken,
        started: Started,
    ) -> Result<Exit> {
        let container = self.outside.start(&helper.bundle, io).await?;
        let ended = self.watch(helper, &*container, stop, started).await;
        let out_of_memory = Groups::of_runtime(&helper.bundle.cgroup).out_of_memory();
        let usage = Groups::usage_of_runtime(&helper.bundle.cgroup);
        container.delete().await;
        Ok(Exit { status: Status::Code(ended?), out_of_memory, usage })
    }

    async fn watch(
        &self,
        helper: &Helper,
        container: &dyn Container,
        stop: &CancellationToken,
        started: Started,
    ) -> Result<i32> {
        helper.tell(&Word::Started(container.pid()));
        let process = process_of(container.pid());
        if let Some(process) = process.as_ref().and_then(|process| process.try_clone().ok()) {
            let (id, cgroup_parent) = (helper.bundle.id.clone(), helper.cgroup_parent.clone());
            started(Running { id, cgroup_parent, process, network: None });
        }
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            ended = container.wait() => Some(ended),
        };
        if let Some(Ok(code)) = ended {
            return Ok(code);
        }
        // By both ways: the service may not be there any more.
        if let Some(process) = &process {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        container.kill().await;
        if let Some(process) = process {
            let _ = tokio::task::spawn_blocking(move || wait_for(&process)).await;
        }
        match ended {
            Some(Err(error)) => Err(error),
            _ => {
                // It has ended; the service is to have noticed before it is asked to forget it, if it still notices
                // anything.
                let _ = tokio::time::timeout(PATIENCE, container.wait()).await;
                Err(Error::Cancelled)
            }
        }
    }
}

#[async_trait]
impl Executor for OutsideExecutor {
    async fn run_with(
        &self,
        spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit> {
        if spec.terminal {
            let what =
                "a terminal is not supported where containerd runs the container: use the embedded worker";
            return Err(Error::InvalidSpec { what: what.into() });
        }
        if spec.network == Network::Private {
            let what = "a network of its own is not supported where containerd runs the container";
            return Err(Error::InvalidSpec { what: what.into() });
        }
        let stop = stop.child_token();
        // Who drops this future kills the step, and the rest of its course is run all the same.
        let _killed_when_dropped = stop.clone().drop_guard();
        let course = tokio::spawn(self.clone().course(spec, io, stop, started));
        course.await.unwrap_or_else(|error| Err(Error::HelperLost { how: error.to_string() }))
    }

    /// A container is a set of namespaces, whoever made it.
    async fn join(
        &self,
        container: &Running,
        spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit> {
        BuiltinExecutor::new(self.options.clone()).join(container, spec, io, stop, started).await
    }
}

/// The helper of one step, which has made it ready.
struct Helper {
    socket: UnixStream,
    pid: Pid,
    bundle: Bundle,
    cgroup_parent: Option<String>,
}

impl Helper {
    async fn start(options: Options, spec: ProcessSpec, state: PathBuf) -> Result<Self> {
        let begin = move || {
            let order = order(&options, spec, Runtime::Outside(protocol::Outside { state }))?;
            Self::begin(&order)
        };
        let begun = tokio::task::spawn_blocking(begin).await;
        begun.unwrap_or_else(|error| Err(Error::HelperLost { how: error.to_string() }))
    }

    fn begin(order: &Order) -> Result<Self> {
        let (mut socket, helper_socket) = UnixStream::pair().map_err(failed("reach"))?;
        let nothing = || std::fs::File::options().write(true).open("/dev/null").map(OwnedFd::from);
        let io = Stdio {
            stdin: None,
            stdout: nothing().map_err(failed("start"))?,
            stderr: nothing().map_err(failed("start"))?,
        };
        let pid = spawn(helper_socket.into(), io).map_err(failed("start"))?;
        let mut converse = || {
            protocol::write_message(&mut socket, order)?;
            protocol::write_frame(&mut socket, seccomp::default_filter().unwrap_or_default())?;
            protocol::read_message::<Report>(&mut socket)
        };
        let answer = converse();
        if let Ok(Some(Report::Prepared(bundle))) = answer {
            return Ok(Self { socket, pid, bundle, cgroup_parent: order.spec.cgroup_parent.clone() });
        }
        drop(socket);
        let how = reap(pid).map_err(failed("wait for"))?;
        match answer {
            Ok(Some(report)) => {
                finished(report, how).and(Err(Error::HelperLost { how: "it was too quick".into() }))
            }
            Ok(None) => Err(Error::HelperLost { how }),
            Err(error) => Err(Error::HelperLost { how: format!("{how}; {error}") }),
        }
    }

    fn tell(&self, word: &Word) {
        // One that has gone is found out at the end.
        let _ = protocol::write_message(&mut &self.socket, word);
    }

    /// The container has ended: cleans up.
    async fn end(self) -> Result<()> {
        let end = move || {
            self.tell(&Word::Ended);
            let _ = self.socket.shutdown(Shutdown::Write);
            let report = protocol::read_message::<Report>(&mut &self.socket);
            let how = reap(self.pid).map_err(failed("wait for"))?;
            match report {
                Ok(Some(report)) => finished(report, how),
                Ok(None) => Err(Error::HelperLost { how }),
                Err(error) => Err(Error::HelperLost { how: format!("{how}; {error}") }),
            }
        };
        let ended = tokio::task::spawn_blocking(end).await;
        ended.unwrap_or_else(|error| Err(Error::HelperLost { how: error.to_string() }))
    }
}

fn finished(report: Report, how: String) -> Result<()> {
    match report {
        Report::Cleaned => Ok(()),
        Report::Failed(failure) => Err(Error::Setup { step: failure.step, reason: failure.reason }),
        _ => Err(Error::HelperLost { how }),
    }
}

/// `None` if it has ended already.
fn process_of(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

fn wait_for(process: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, poll};
    let _ = rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(process, PollFlags::IN)], None));
}
