//! Containers that outlive one process: for frontends, which are run by builds and run processes themselves.
//!
//! A step's process is started with its mounts and both end together ([`crate::ops`]). Here mounts are made
//! first, then any number of processes is started in them: the first is process 1 of the container, which ends
//! with it; the others join. Nothing of what they write is kept, except in cache mounts.
//!
//! Every start passes the door for entitlements ([`Scope`]), like every step of a graph.

use std::sync::Arc;

use parking_lot::Mutex;
use slipway_model::Redacted;
use slipway_model::llb::pb;
use slipway_run::{Exit, Mount, MountKind, ProcessSpec, Running, Signal, Started, Stdio};
use slipway_store::Mounted;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ops::Scope;
use crate::ops::exec::mounts::{MountRequest, Mounts};
use crate::ops::exec::spec;
use crate::{Error, Result, Value, Worker};

/// What is the same for all processes of a container.
#[derive(Clone, Default)]
pub struct ContainerRequest {
    /// What is at fault, for `du` and errors.
    pub name: String,
    /// `input` is an index into `inputs`, or negative; `output` is not looked at.
    pub mounts: Vec<pb::Mount>,
    pub inputs: Vec<Value>,
    /// Read-only files, by path: the container's own.
    pub files: Vec<(String, Vec<u8>)>,
    /// A `pb.NetMode`.
    pub network: i32,
    pub hostname: String,
    pub extra_hosts: Vec<pb::HostIp>,
    /// Whose programs are run, for the default `PATH`; empty for Linux.
    pub os: String,
    /// Of the build: secrets come from there.
    pub sessions: Vec<String>,
}

/// One process of a container.
#[derive(Clone, Debug, Default)]
pub struct ProcessRequest {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub user: String,
    /// A `pb.SecurityMode`.
    pub security: i32,
    pub secret_env: Vec<pb::SecretEnv>,
    /// The standard streams are a terminal.
    pub terminal: bool,
    pub remove_mount_stubs_recursive: bool,
}

/// Ends, with all of its processes, when it is dropped; [`Container::release`] also waits for that.
pub struct Container {
    worker: Arc<Worker>,
    request: ContainerRequest,
    scope: Scope,
    mounts: Arc<Mounts>,
    /// Process 1, once somebody has asked for one.
    first: Mutex<Option<watch::Receiver<First>>>,
    stop: CancellationToken,
    processes: TaskTracker,
}

#[derive(Clone)]
enum First {
    Starting,
    Running(Arc<Running>),
    Ended,
}

/// A process under way. Dropping it does not end it.
pub struct Process(Option<Arc<Running>>);

/// The end of a process.
pub struct Ending(Outcome);

enum Outcome {
    Running(JoinHandle<slipway_run::Result<Exit>>),
    /// It was never begun.
    Refused(Error),
}

impl Container {
    /// Makes the mounts; nothing runs yet.
    pub async fn open(worker: Arc<Worker>, request: ContainerRequest, scope: Scope) -> Result<Self> {
        scope.admit(network_mode(&request)?, pb::SecurityMode::Sandbox)?;
        let stop = CancellationToken::new();
        let mounts: Vec<pb::Mount> =
            request.mounts.iter().map(|mount| pb::Mount { output: -1, ..mount.clone() }).collect();
        if let Some(root) = mounts.iter().find(|mount| mount.dest == "/")
            && root.mount_type() != pb::MountType::Bind
        {
            return Err(Error::Failed(format!(
                "invalid mount type {} for /",
                root.mount_type().as_str_name()
            )));
        }
        let prepared = Mounts::prepare(MountRequest {
            worker: &worker,
            mounts: &mounts,
            inputs: &request.inputs,
            sessions: request.sessions.clone(),
            stop: &stop,
            purpose: request.name.clone(),
            travelling: scope.mounts.as_deref(),
        })
        .await?;
        let (mounts, first, processes) = (Arc::new(prepared), Mutex::new(None), TaskTracker::new());
        Ok(Self { worker, request, scope, mounts, first, stop, processes })
    }

    /// Whether its first process runs: all others join that one.
    pub fn is_running(&self) -> bool {
        self.first.lock().as_ref().is_some_and(|first| matches!(*first.borrow(), First::Running(_)))
    }

    /// Starts a process; returns when it runs, or cannot. One that may not run, or not as it is asked for, ends
    /// with the reason, so that others of the same frontend go on.
    pub async fn start(&self, request: ProcessRequest, io: Stdio) -> Result<(Process, Ending)> {
        if self.stop.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let spec = match self.spec(request).await {
            Ok(spec) => spec,
            Err(error) => return Ok((Process(None), Ending(Outcome::Refused(error)))),
        };
        let (tell, started) = oneshot::channel();
        let (worker, mounts, stop) = (self.worker.clone(), self.mounts.clone(), self.stop.clone());
        let outcome = match self.first_or_place() {
            Ok(first) => {
                let container = self.running(first).await?;
                let tell: Started = Box::new(move |running| drop(tell.send(Arc::new(running))));
                self.processes.spawn(async move {
                    let outcome = worker.executor.join(&container, spec, io, stop, tell).await;
                    drop(mounts);
                    outcome
                })
            }
            Err(place) => self.processes.spawn(async move {
                let place = Arc::new(place);
                let told = place.clone();
                let tell: Started = Box::new(move |running| {
                    let running = Arc::new(running);
                    told.send_replace(First::Running(running.clone()));
                    drop(tell.send(running));
                });
                let outcome = worker.executor.run_with(spec, io, stop, tell).await;
                place.send_replace(First::Ended);
                drop(mounts);
                outcome
            }),
        };
        // It does not run: the outcome says why.
        let running = started.await.ok();
        Ok((Process(running), Ending(Outcome::Running(outcome))))
    }

    /// The tree of the mount at `index` as it is just now, to read files of it.
    pub fn tree(&self, index: usize) -> Result<Mounted> {
        let count = self.request.mounts.len();
        let out_of_bounds =
            || Error::Failed(format!("mount index {index} is out of bounds ({count} available)"));
        let destination = &self.request.mounts.get(index).ok_or_else(out_of_bounds)?.dest;
        let tree = if destination == "/" {
            Some(self.mounts.root.clone())
        } else {
            let mount = self.mounts.others.iter().find(|mount| mount.destination == *destination);
            mount.and_then(|mount| match &mount.kind {
                MountKind::Tree { tree, .. } => Some(tree.clone()),
                _ => None,
            })
        };
        let no_tree = || Error::Failed(format!("the mount on {destination} has no files that can be read"));
        Ok(Mounted::new(&tree.ok_or_else(no_tree)?.readonly())?)
    }

    /// Kills what runs and returns when all of it is gone. `true`: something did run.
    pub async fn release(&self) -> bool {
        let was_running = !self.processes.is_empty();
        self.stop.cancel();
        self.processes.close();
        self.processes.wait().await;
        was_running
    }

    /// Process 1 of the container, or the place of the one who is to start it.
    fn first_or_place(&self) -> std::result::Result<watch::Receiver<First>, watch::Sender<First>> {
        let mut first = self.first.lock();
        if let Some(first) = &*first {
            return Ok(first.clone());
        }
        let (place, receiver) = watch::channel(First::Starting);
        *first = Some(receiver);
        Err(place)
    }

    async fn running(&self, mut first: watch::Receiver<First>) -> Result<Arc<Running>> {
        let known = first.wait_for(|first| !matches!(first, First::Starting)).await;
        match known.map(|first| first.clone()) {
            Ok(First::Running(running)) => Ok(running),
            _ => Err(Error::Failed(format!("the first process of {} has ended", self.request.name))),
        }
    }

    async fn spec(&self, request: ProcessRequest) -> Result<ProcessSpec> {
        let security = pb::SecurityMode::try_from(request.security)
            .map_err(|_| Error::Failed(format!("invalid security mode {}", request.security)))?;
        let network = network_mode(&self.request)?;
        self.scope.admit(network, security)?;
        if request.args.is_empty() {
            return Err(Error::Failed(format!("a process of {} has no arguments", self.request.name)));
        }
        let mut process = ProcessSpec::new(self.worker.new_id()?, self.mounts.root.clone(), request.args);
        process.env = default_variables(request.env, &self.request.os, request.terminal);
        process
            .env
            .extend(spec::secret_variables(&self.worker, &self.request.sessions, &request.secret_env).await?);
        process.cwd = request.cwd;
        process.user = request.user;
        process.readonly_root = self.mounts.readonly_root;
        process.mounts = self.mounts.others.clone();
        process.mounts.extend(self.request.files.iter().map(|(destination, bytes)| Mount {
            destination: destination.clone(),
            kind: MountKind::File { bytes: Redacted::new(bytes.clone()), mode: 0o400, uid: 0, gid: 0 },
        }));
        process.hostname = self.request.hostname.clone();
        process.extra_hosts = self.request.extra_hosts.iter().map(spec::extra_host).collect::<Result<_>>()?;
        process.network = spec::network(&self.worker, network);
        process.security = spec::security(security);
        process.terminal = request.terminal;
        process.remove_mount_stubs_recursive = request.remove_mount_stubs_recursive;
        Ok(process)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Process {
    /// Sends a signal, if the process runs.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match &self.0 {
            None => Ok(()),
            Some(running) => running.signal(signal).map_err(|error| Error::io("cannot send a signal", error)),
        }
    }
}

impl Ending {
    pub async fn wait(self) -> Result<Exit> {
        let outcome = match self.0 {
            Outcome::Running(outcome) => outcome.await,
            Outcome::Refused(error) => return Err(error),
        };
        let outcome = outcome.map_err(|error| Error::Failed(format!("the work stopped: {error}")))?;
        outcome.map_err(|error| match error {
            slipway_run::Error::Cancelled => Error::Cancelled,
            error => Error::Run(error),
        })
    }
}

fn network_mode(request: &ContainerRequest) -> Result<pb::NetMode> {
    pb::NetMode::try_from(request.network)
        .map_err(|_| Error::Failed(format!("invalid network mode {}", request.network)))
}

const WINDOWS_PATH: &str = r"PATH=c:\Windows\System32;c:\Windows;C:\Windows\System32\WindowsPowerShell\v1.0";

fn default_variables(mut env: Vec<String>, os: &str, terminal: bool) -> Vec<String> {
    let mut add = |default: &str| {
        let name = default.split_inclusive('=').next().unwrap_or(default);
        if !env.iter().any(|entry| entry.starts_with(name)) {
            env.push(default.to_owned());
        }
    };
    add(if os == "windows" { WINDOWS_PATH } else { spec::DEFAULT_PATH });
    if terminal {
        add("TERM=xterm");
    }
    env
}
