//! Steps as containerd's containers and tasks, run by `io.containerd.runc.v2` unless another is asked for.
//!
//! What is to run is ready when it comes here ([`slipway_run::Outside`]): a configuration whose root and mounts are paths
//! of the host. So a container has no snapshot of its own, and containerd mounts nothing for it.
//!
//! The shim copies what the step says to where it is told to, by a path. Our pipes have one: `/proc/<pid>/fd/<number>`
//! of this process, which opens the same pipe again. They need no name in a folder, and nobody copies twice.
//!
//! A daemon or a containerd that is killed leaves containers behind, stopped by then; they are marked as ours and go
//! when the next daemon starts, or with the next step.

use std::collections::HashSet;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use prost::Message as _;
use prost_types::Any;
use slipway_proto::containerd::containers::container::Runtime as RuntimeRecord;
use slipway_proto::containerd::containers::containers_client::ContainersClient;
use slipway_proto::containerd::containers::{
    Container as ContainerRecord, CreateContainerRequest, DeleteContainerRequest, ListContainersRequest,
};
use slipway_proto::containerd::runc;
use slipway_proto::containerd::tasks::tasks_client::TasksClient;
use slipway_proto::containerd::tasks::{
    CloseIoRequest, CreateTaskRequest, DeleteTaskRequest, KillRequest, StartRequest, WaitRequest,
};
use slipway_run::{Bundle, Container, Error as RunError, NotStarted, Outside, Stdio};
use tonic::transport::Channel;

use crate::client::{LARGEST_MESSAGE, Leased, within};
use crate::{Client, Error, Result};

/// What a container's configuration is, among containerd's types.
const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/// What options of `io.containerd.runc.v2` are.
const OPTIONS: &str = "containerd.runc.v1.Options";
/// Marks containers of one state directory.
const LABEL: &str = "org.slipway.state";
const KILL: u32 = 9;
/// How often, and how long in between, containerd is asked to forget what it has not seen end yet.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// containerd's containers and tasks.
#[derive(Clone)]
pub struct ContainerdTasks {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    runtime: Runtime,
    running: Mutex<HashSet<String>>,
    /// Something may be there that could not be removed.
    left: AtomicBool,
}

/// Who runs containers for containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Such as `io.containerd.runc.v2`.
    pub name: String,
    /// What that is to use instead of `runc`; "" is nothing else.
    pub binary: String,
}

impl Runtime {
    fn record(&self) -> RuntimeRecord {
        let options = runc::Options { binary_name: self.binary.clone() };
        let options = Any { type_url: OPTIONS.into(), value: options.encode_to_vec() };
        RuntimeRecord { name: self.name.clone(), options: Some(options).filter(|_| !self.binary.is_empty()) }
    }
}

impl ContainerdTasks {
    /// Removes what earlier daemons of this state directory left running. Blocks.
    pub fn open(client: Client, runtime: Runtime) -> Result<Self> {
        let inner = Inner {
            client: client.clone(),
            runtime,
            running: Mutex::default(),
            left: AtomicBool::new(false),
        };
        let tasks = Self { inner: Arc::new(inner) };
        let copy = tasks.clone();
        client.wait(async move { copy.inner.sweep().await })??;
        Ok(tasks)
    }
}

impl Inner {
    fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.client.channel()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    fn tasks(&self) -> TasksClient<Channel> {
        TasksClient::new(self.client.channel())
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        self.client.request(message, Leased::No)
    }

    /// Removes containers that are ours and that nobody here runs.
    async fn sweep(&self) -> Result<()> {
        let filters = vec![format!("labels.\"{LABEL}\"==\"{}\"", self.client.lease())];
        let listed = within("list containers".into(), async {
            self.containers().list(self.request(ListContainersRequest { filters })).await
        });
        for container in listed.await?.containers {
            if self.running.lock().contains(&container.id) {
                continue;
            }
            tracing::info!(id = container.id, "removing a container that an interrupted run left behind");
            self.kill(&container.id).await;
            self.remove(&container.id).await?;
        }
        Ok(())
    }

    async fn create(&self, bundle: &Bundle) -> Result<()> {
        let spec = Any { type_url: SPEC.into(), value: bundle.config.clone().into_bytes() };
        let container = ContainerRecord {
            id: bundle.id.clone(),
            labels: [(LABEL.to_owned(), self.client.lease().to_owned())].into(),
            runtime: Some(self.runtime.record()),
            spec: Some(spec),
            ..Default::default()
        };
        let request = self.request(CreateContainerRequest { container: Some(container) });
        within("create a container".into(), async { self.containers().create(request).await }).await.map(drop)
    }

    /// Its first process; it waits to be started.
    async fn create_task(&self, id: &str, io: &Stdio) -> Result<u32> {
        let message = CreateTaskRequest {
            container_id: id.to_owned(),
            stdin: io.stdin.as_ref().map(path_of).unwrap_or_default(),
            stdout: path_of(&io.stdout),
            stderr: path_of(&io.stderr),
            ..Default::default()
        };
        let request = self.request(message);
        let created = within("create a task".into(), async { self.tasks().create(request).await }).await?;
        Ok(created.pid)
    }

    async fn start_task(&self, id: &str) -> Result<()> {
        let request = self.request(StartRequest { container_id: id.to_owned(), ..Default::default() });
        within("start a task".into(), async { self.tasks().start(request).await }).await.map(drop)
    }

    /// The shim opens the writing end of what the process reads as well, lest it end before a client has come. Ours is
    /// open from the beginning, and the process is to see its end.
    async fn let_input_end(&self, id: &str) -> Result<()> {
        let message = CloseIoRequest { container_id: id.to_owned(), stdin: true, ..Default::default() };
        let request = self.request(message);
        let closed = within("close a task's input".into(), async { self.tasks().close_io(request).await });
        match closed.await {
            // It has ended.
            Err(error) if error.is_not_found() => Ok(()),
            closed => closed.map(drop),
        }
    }

    /// Fine if it does not run.
    async fn kill(&self, id: &str) {
        let message =
            KillRequest { container_id: id.to_owned(), signal: KILL, all: true, ..Default::default() };
        let request = self.request(message);
        if let Err(error) = within("kill a task".into(), async { self.tasks().kill(request).await }).await
            && !error.is_not_found()
        {
            tracing::debug!(id, error = &error as &dyn std::error::Error, "killing a task");
        }
    }

    /// Removes task and container, which have ended; fine if they are not there.
    async fn remove(&self, id: &str) -> Result<()> {
        for attempt in 1.. {
            let request = self.request(DeleteTaskRequest { container_id: id.to_owned() });
            let deleted = within("delete a task".into(), async { self.tasks().delete(request).await }).await;
            match deleted {
                Ok(_) => break,
                Err(error) if error.is_not_found() => break,
                // Its end is on the way to containerd.
                Err(error) if attempt < ATTEMPTS && !error.is_unavailable() => {
                    tokio::time::sleep(PAUSE).await
                }
                Err(error) => return Err(error),
            }
        }
        let request = self.request(DeleteContainerRequest { id: id.to_owned() });
        match within("delete a container".into(), async { self.containers().delete(request).await }).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// What cannot be removed now is removed later.
    async fn forget(&self, id: &str) {
        if let Err(error) = self.remove(id).await {
            tracing::warn!(id, error = &error as &dyn std::error::Error, "a container stays until later");
            self.left.store(true, Ordering::Release);
        }
        self.running.lock().remove(id);
    }

    async fn start(&self, bundle: &Bundle, io: Stdio) -> Result<u32> {
        self.create(bundle).await?;
        let pid = self.create_task(&bundle.id, &io).await?;
        self.start_task(&bundle.id).await?;
        if io.stdin.is_some() {
            self.let_input_end(&bundle.id).await?;
        }
        // The shim has opened them by now; whoever reads is to see their end.
        drop(io);
        Ok(pid)
    }
}

#[async_trait]
impl Outside for ContainerdTasks {
    async fn start(&self, bundle: &Bundle, io: Stdio) -> slipway_run::Result<Arc<dyn Container>> {
        if self.inner.left.swap(false, Ordering::AcqRel)
            && let Err(error) = self.inner.sweep().await
        {
            self.inner.left.store(true, Ordering::Release);
            tracing::warn!(error = &error as &dyn std::error::Error, "containers stay until later");
        }
        self.inner.running.lock().insert(bundle.id.clone());
        match self.inner.start(bundle, io).await {
            Ok(pid) => {
                let pid = i32::try_from(pid).unwrap_or_default();
                Ok(Arc::new(Task { tasks: self.clone(), id: bundle.id.clone(), pid }))
            }
            Err(error) => {
                if error.is_unavailable() {
                    kill_without_containerd(bundle).await;
                }
                self.inner.kill(&bundle.id).await;
                self.inner.forget(&bundle.id).await;
                Err(refused(error))
            }
        }
    }
}

/// What a shim has made, or is about to make, for a containerd that is gone: it would wait for ever to be started, with
/// our pipes open.
async fn kill_without_containerd(bundle: &Bundle) {
    for _ in 0..ATTEMPTS {
        if bundle.kill() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A container whose task has been started.
struct Task {
    tasks: ContainerdTasks,
    id: String,
    pid: i32,
}

#[async_trait]
impl Container for Task {
    fn pid(&self) -> i32 {
        self.pid
    }

    async fn wait(&self) -> slipway_run::Result<i32> {
        let inner = &self.tasks.inner;
        let request = inner.request(WaitRequest { container_id: self.id.clone(), ..Default::default() });
        // As long as it takes.
        let ended =
            inner.tasks().wait(request).await.map_err(Error::refused("wait for a task")).map_err(refused)?;
        Ok(i32::try_from(ended.into_inner().exit_status).unwrap_or(255))
    }

    async fn kill(&self) {
        self.tasks.inner.kill(&self.id).await;
    }

    async fn delete(&self) {
        self.tasks.inner.forget(&self.id).await;
    }
}

/// A command that cannot be executed is the step's own fault.
fn refused(error: Error) -> RunError {
    let reason = match &error {
        Error::Refused { status, .. } if error.is_unavailable() => {
            format!("containerd is gone ({}); the step was killed", status.message())
        }
        Error::Refused { status, .. } => match NotStarted::in_words_of_runc(status.message()) {
            Some(refused) => return refused.into(),
            None => error.to_string(),
        },
        _ => error.to_string(),
    };
    RunError::Setup { step: "run the step".into(), reason }
}

/// By which another process of this host opens what we have open.
fn path_of(descriptor: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd())
}
