//! Containers that a frontend has asked for, by the names it gave them.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use parking_lot::Mutex;
use slipway_proto::gateway::NewContainerRequest;
use slipway_proto::pb;
use slipway_worker::container::{Container, ContainerRequest};
use tonic::{Code, Status};

use super::Guest;
use crate::build::failure::Failure;
use crate::engine::Engine;

/// Names are shown in errors and by `du`.
const LONGEST_NAME: usize = 256;
/// More containers than this of one frontend are refused.
const MOST: usize = 100;

#[derive(Default)]
pub(crate) struct Containers(Mutex<HashMap<String, Arc<Container>>>);

impl Containers {
    pub(super) fn get(&self, name: &str) -> Result<Arc<Container>, Status> {
        let known = self.0.lock().get(name).cloned();
        known.ok_or_else(|| {
            Status::not_found(format!("container {name:?} previously released or not created"))
        })
    }

    /// Ends what runs in it; whoever releases a container at work hears that it was.
    pub(super) async fn release(&self, name: &str) -> Result<(), Status> {
        let container = self.get(name)?;
        self.0.lock().remove(name);
        match container.release().await {
            true => Err(Status::cancelled("a process was running: context canceled")),
            false => Ok(()),
        }
    }

    /// For a frontend that has gone: everything ends, and is waited for.
    pub(crate) async fn release_all(&self) {
        let all: Vec<_> = self.0.lock().drain().map(|(_, container)| container).collect();
        join_all(all.iter().map(|container| container.release())).await;
    }

    fn keep(&self, name: String, container: Container) -> Result<(), Failure> {
        let mut known = self.0.lock();
        if known.contains_key(&name) {
            return Err(Failure::new(Code::AlreadyExists, format!("Container {name} already exists")));
        }
        if known.len() >= MOST {
            return Err(Failure::invalid(format!("a frontend may hold at most {MOST} containers")));
        }
        known.insert(name, Arc::new(container));
        Ok(())
    }
}

pub(super) async fn create(
    engine: &Arc<Engine>,
    guest: &Guest,
    request: NewContainerRequest,
) -> Result<(), Failure> {
    let name = request.container_id;
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Failure::invalid(format!("a container needs a name of at most {LONGEST_NAME} bytes")));
    }
    if request.constraints.is_some_and(|constraints| !constraints.filter.is_empty()) {
        return Err(Failure::unsupported("a worker filter of a container"));
    }
    let (mut mounts, mut inputs) = (Vec::new(), Vec::new());
    for mount in request.mounts {
        let input = if mount.result_id.is_empty() {
            -1
        } else {
            inputs.push(guest.conversation.refs.value(engine, &guest.build, &mount.result_id).await?);
            inputs.len() as i64 - 1
        };
        mounts.push(pb::Mount { input, ..mount });
    }
    let wanted = ContainerRequest {
        name: format!("container {name}"),
        mounts,
        inputs,
        files: Vec::new(),
        network: request.network,
        hostname: request.hostname,
        extra_hosts: request.extra_hosts,
        os: request.platform.map(|platform| platform.os).unwrap_or_default(),
        sessions: vec![guest.build.session.clone()],
    };
    let opening = Container::open(engine.worker.clone(), wanted, guest.build.scope.clone());
    let container = opening.await.map_err(Failure::from_worker)?;
    guest.conversation.containers.keep(name, container)
}
