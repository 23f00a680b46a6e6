//! The worker on a containerd: what stands behind the walls there, put together.
//!
//! All that differs from the embedded worker is here and in `slipway-containerd`: whose blobs and snapshots the store
//! rests on, who runs the steps, and who else knows images by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipway_containerd::{
    Client, ContainerdContent, ContainerdSnapshotter, ContainerdTasks, ImageStore, NamedImage, Runtime,
    Server,
};
use slipway_exporter::image::Committed;
use slipway_exporter::images::{Register, RegisterError, WeakImages};
use slipway_model::{Descriptor, ImageConfig};
use slipway_run::{Executor, Options, OutsideExecutor};
use slipway_store::Backend;
use slipway_worker::source::image::KnownImages;

use crate::config::Containerd as Config;
use crate::{Error, Result};

/// One containerd, as the engine uses it.
#[derive(Clone)]
pub(crate) struct Containerd {
    client: Client,
    server: Server,
    config: Config,
    root: PathBuf,
}

impl Containerd {
    /// `root` is that of the daemon, `lease` the same for the same root. Fails if containerd does not answer.
    pub(crate) fn connect(config: &Config, root: &Path, lease: &str) -> Result<Self> {
        let client = Client::new(&config.address, &config.namespace, lease).map_err(failed)?;
        let server = client.server().map_err(failed)?;
        let root = root.join(format!("containerd-{}", config.snapshotter));
        std::fs::create_dir_all(&root)
            .map_err(|error| Error::Worker(format!("cannot make {}: {error}", root.display())))?;
        Ok(Self { client, server, config: config.clone(), root })
    }

    /// Whether one answers; with a word why not.
    pub(crate) fn answers(config: &Config) -> bool {
        let asked =
            Client::new(&config.address, &config.namespace, "slipway").and_then(|client| client.server());
        match asked {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "there is no containerd to work on");
                false
            }
        }
    }

    /// What the store keeps of its own: a folder for each snapshotter, beside that of the embedded worker.
    pub(crate) fn state(&self) -> &Path {
        &self.root
    }

    pub(crate) fn backend(&self) -> Result<Backend> {
        let snapshotter = ContainerdSnapshotter::open(
            self.client.clone(),
            &self.server,
            &self.config.snapshotter,
            &self.root,
        )
        .map_err(failed)?;
        let content = ContainerdContent::open(self.client.clone(), &self.server, &self.root);
        Ok(Backend { snapshotter: Arc::new(snapshotter), content: Arc::new(content) })
    }

    pub(crate) fn executor(&self, options: Options) -> Result<Arc<dyn Executor>> {
        let runtime = &self.config.runtime;
        let runtime = Runtime { name: runtime.name.clone(), binary: runtime.options.binary.clone() };
        let tasks = ContainerdTasks::open(self.client.clone(), runtime).map_err(failed)?;
        let executor = OutsideExecutor::new(Arc::new(tasks), self.root.join("steps"), options)
            .map_err(|error| Error::Worker(error.to_string()))?;
        Ok(Arc::new(executor))
    }

    pub(crate) fn names(&self) -> Arc<Names> {
        let images = ImageStore::new(self.client.clone());
        Arc::new(Names { images, snapshotter: self.config.snapshotter.clone() })
    }

    /// Has names that others take away there taken away here, for as long as the daemon lives.
    pub(crate) fn watch(&self, images: WeakImages) {
        slipway_containerd::watch_images(&self.client, Arc::new(OwnNames(images)));
    }

    /// What the worker says about itself, beyond what all say.
    pub(crate) fn labels(&self) -> Vec<(&'static str, String)> {
        vec![
            ("executor", "containerd".to_owned()),
            ("snapshotter", self.config.snapshotter.clone()),
            ("containerd.namespace", self.client.namespace().to_owned()),
            ("containerd.uuid", self.server.uuid.clone()),
            ("selinux.enabled", "false".to_owned()),
        ]
    }
}

/// With all causes: they are on the other side of a socket.
fn failed(error: slipway_containerd::Error) -> Error {
    Error::Worker(slipway_solver::with_causes(&error))
}

/// Images that all clients of this containerd know by name.
pub(crate) struct Names {
    images: ImageStore,
    snapshotter: String,
}

/// Our side of the names.
struct OwnNames(WeakImages);

impl slipway_containerd::Names for OwnNames {
    fn all(&self) -> Vec<String> {
        self.0.names()
    }

    fn removed(&self, name: &str) {
        self.0.forget(name);
    }
}

impl Register for Names {
    fn set(&self, name: &str, image: &Committed) -> Result<(), RegisterError> {
        let manifests = image.images.iter().map(|image| &image.manifest);
        let attestations = image.attestations.iter().flat_map(|attestations| attestations.blobs());
        let described = image.index.iter().chain(manifests).chain(attestations);
        let described_by =
            described.map(|stored| (stored.descriptor.digest, stored.bytes.to_vec())).collect();
        Ok(self.images.set(name, &NamedImage { root: &image.root, described_by })?)
    }

    fn remove(&self, name: &str) -> Result<(), RegisterError> {
        Ok(self.images.remove(name)?)
    }

    fn unpack(&self, image: &Committed) -> Result<(), RegisterError> {
        for image in &image.images {
            let config = ImageConfig::parse(&image.config.bytes)?;
            let layers: Vec<_> = image.layers.iter().cloned().zip(config.rootfs.diff_ids).collect();
            self.images.unpack(&self.snapshotter, &image.config.descriptor.digest, &layers)?;
        }
        Ok(())
    }
}

impl KnownImages for Names {
    fn named(&self, name: &str) -> Option<Descriptor> {
        self.images.get(name).unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                name,
                "containerd cannot be asked for an image"
            );
            None
        })
    }
}
