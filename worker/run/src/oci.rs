//! runc, crun, or whatever speaks their command line, in place of the built-in runtime.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::builtin::order;
use crate::launch::{Handed, launch};
use crate::leftovers;
use crate::protocol::{Joined, OciRuntime, Runtime};
use crate::{Error, Executor, Exit, Options, ProcessSpec, Result, Running, Security, Started, Stdio};

/// Runs steps with an OCI runtime. Trees are mounted in a mount namespace that only the helper and the
/// runtime see. The binary must begin its `main` with [`crate::main_if_helper`].
#[derive(Clone, Debug)]
pub struct OciExecutor {
    options: Options,
    runtime: OciRuntime,
}

impl OciExecutor {
    /// `binary` is a path, or a name to search in `PATH`; `state` a directory of the daemon's own, made when
    /// it is missing. Asks the binary once what it can do, and has it end what an earlier daemon left.
    pub fn new(binary: impl AsRef<OsStr>, state: impl AsRef<Path>, options: Options) -> Result<Self> {
        let wanted = Path::new(binary.as_ref());
        let unusable = |source| Error::NoRuntime { binary: wanted.to_owned(), source };
        let binary = find(wanted).map_err(unusable)?;
        let help = Command::new(&binary).args(["run", "--help"]).output().map_err(unusable)?;
        let can_keep = String::from_utf8_lossy(&help.stdout).contains("--keep");
        let state = std::path::absolute(state.as_ref()).map_err(unusable)?;
        let runtime = OciRuntime { binary, state, can_keep };
        leftovers::remove_containers(&runtime);
        Ok(Self { options, runtime })
    }
}

#[async_trait]
impl Executor for OciExecutor {
    async fn run_with(
        &self,
        spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit> {
        let Self { options, runtime } = self.clone();
        let network = options.networks.lease(&spec, &stop).await?.map(Handed::Network);
        launch(move || order(&options, spec, Runtime::Oci(runtime)), network, io, stop, started).await
    }

    async fn join(
        &self,
        container: &Running,
        mut spec: ProcessSpec,
        io: Stdio,
        stop: CancellationToken,
        started: Started,
    ) -> Result<Exit> {
        let Self { options, runtime } = self.clone();
        spec.cgroup_parent.clone_from(&container.cgroup_parent);
        if let (Some(network), Security::Insecure) = (&container.network, spec.security) {
            network.change();
        }
        let joined = Joined { id: container.id.clone() };
        let joining = move || order(&options, spec, Runtime::OciJoin(runtime, joined));
        launch(joining, None, io, stop, started).await
    }
}

fn find(binary: &Path) -> io::Result<PathBuf> {
    let is_program =
        |path: &PathBuf| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
    if binary.components().count() > 1 {
        let path = std::path::absolute(binary)?;
        return if is_program(&path) { Ok(path) } else { Err(io::ErrorKind::NotFound.into()) };
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&directories).filter(|directory| directory.is_absolute());
    let mut candidates = candidates.map(|directory| directory.join(binary));
    candidates.find(is_program).ok_or_else(|| io::ErrorKind::NotFound.into())
}
