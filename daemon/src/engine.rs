//! Everything that lives as long as the daemon, and how it is put together.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slipway_cache::DiskRecords;
use slipway_model::{Digest, Platform};
use slipway_registry::{Anonymous, Client, ClientOptions, HostConfig, KeyPair, Traffic};
use slipway_run::{BuiltinExecutor, Executor, Networks, OciExecutor, Options};
use slipway_session::caller::Sessions;
use slipway_solver::{Solver, SolverOptions, with_causes};
use slipway_store::metadata::Mark;
use slipway_store::{Ref, SnapshotterChoice, Store, StoreOptions};
use slipway_worker::devices::Devices;
use slipway_worker::source::answers::Answers;
use slipway_worker::source::image::ImageSource;
use slipway_worker::{Images, Platforms, SnapshotResults, Value, Worker, WorkerOptions};

use crate::build::Builds;
use crate::config::{Registry, WorkerKind};
use crate::containerd::Containerd;
use crate::explain::Explanations;
use crate::gc::Collector;
use crate::history::History;
use crate::network::Chosen;
use crate::provenance::Producers;
use crate::telemetry::Metrics;
use crate::{Config, Error, Frontends, Result, telemetry};

pub(crate) struct Engine {
    pub store: Store,
    pub solver: Solver<Value>,
    pub records: Arc<DiskRecords<Value>>,
    pub worker: Arc<Worker>,
    pub sessions: Arc<Sessions>,
    pub builds: Builds,
    pub explanations: Arc<Explanations>,
    pub collector: Arc<Collector>,
    pub history: History,
    /// Images by name.
    pub images: slipway_exporter::images::Images,
    /// Which requests made which graphs, of builds that run.
    pub producers: Producers,
    /// Facts for provenance that the configuration gives.
    pub provenance_environment: BTreeMap<String, serde_json::Value>,
    /// Stays the same as long as the state directory does.
    pub worker_id: String,
    /// Which frontends builds may use.
    pub frontends: Frontends,
    /// What builds may ask for.
    pub entitlements: Vec<String>,
    /// What the worker says about itself, beside what all workers say.
    pub worker_labels: Vec<(&'static str, String)>,
    /// What the configuration adds to that.
    pub labels: BTreeMap<String, String>,
    pub networks: Networks,
    /// What the worker says of the network of its steps.
    pub network_label: &'static str,
    pub metrics: Arc<Metrics>,
    /// With registries and web servers.
    pub traffic: Arc<Traffic>,
    /// Where traces go, if anywhere.
    pub traces: Option<telemetry::Collector>,
}

impl Engine {
    pub(crate) fn open(config: &Config) -> Result<Self> {
        match Self::open_once(config) {
            // Seen by the store, which saves what can be read when it is opened once more.
            Err(Error::Store(slipway_store::Error::Corrupt { .. })) => Self::open_once(config),
            opened => opened,
        }
    }

    fn open_once(config: &Config) -> Result<Self> {
        let root = config.root.as_deref().ok_or_else(|| Error::Worker("no state directory is set".into()))?;
        let kind = config.worker_kind(Containerd::answers).map_err(Error::Worker)?;
        let config = &config.of_worker(kind);
        let containerd = match kind {
            WorkerKind::Embedded => None,
            WorkerKind::Containerd => {
                Some(Containerd::connect(&config.containerd, root, &format!("slipway-{}", worker_id(root)))?)
            }
        };
        let containerd = containerd.as_ref();
        let store = open_store(config, containerd, root)?;
        let root = store.root().to_owned();
        let root = root.as_path();
        let names = containerd.map(Containerd::names);
        let results = Arc::new(SnapshotResults(store.clone()));
        let records = DiskRecords::open(store.metadata().clone(), results).map_err(|error| match error {
            slipway_cache::Error::Metadata(error) => Error::Store(error),
            other => Error::Records(other.to_string()),
        })?;
        let records = Arc::new(records);
        // The store's hook must not keep the records alive, which keep the store.
        let forgetful = Arc::downgrade(&records);
        store.on_removed(move |removed| {
            let Some(records) = forgetful.upgrade() else { return };
            for snapshot in removed {
                records.forget_result(&snapshot.to_string());
            }
        });
        let register = names.clone().map(|names| names as Arc<dyn slipway_exporter::images::Register>);
        let images = slipway_exporter::images::Images::open(&store, register)
            .map_err(|error| Error::Records(error.to_string()))?;
        let explained = slipway_explain::History::open(store.metadata().clone())
            .map_err(|error| Error::Records(with_causes(&error)))?;
        if let Some(containerd) = containerd {
            containerd.watch(images.downgrade());
        }
        let named = images.downgrade();
        store.on_blobs_removed(move |digests| named.blobs_removed(digests));
        let history =
            History::open(&store, config.history).map_err(|error| Error::History(error.to_string()))?;
        let sessions = Arc::new(Sessions::default());
        let mut source = ImageSource::new(store.clone()).map_err(|error| Error::Worker(error.to_string()))?;
        if let Some(names) = names {
            source = source.knowing(names);
        }
        let network = config.network.choose(root, containerd.is_some())?;
        let executor = executor(config, &network, containerd, store.root())?;
        let (metrics, traffic) = (Arc::<Metrics>::default(), Arc::<Traffic>::default());
        let hosts = hosts(&config.registries);
        let options =
            ClientOptions { hosts, traffic: traffic.clone(), ..ClientOptions::new(Arc::new(Anonymous)) };
        let sources = Images::new(source, Client::new(options), sessions.clone());
        let worker = Arc::new(worker(config, &network, store.clone(), sources, executor, sessions.clone())?);
        find_platforms(&worker);
        Ok(Self {
            solver: Solver::new(SolverOptions { store: records.clone() }),
            records,
            worker,
            sessions,
            builds: Builds::default(),
            explanations: Arc::new(Explanations::new(explained)),
            collector: Arc::new(Collector::new(config.gc.rules(root).map_err(Error::Gc)?, metrics.clone())),
            history,
            images,
            producers: Producers::default(),
            provenance_environment: config.provenance_environment.clone(),
            worker_id: worker_id(root),
            frontends: config.frontends.clone(),
            entitlements: entitlements(config),
            worker_labels: worker_labels(containerd, &store),
            labels: config.labels.clone(),
            networks: network.networks,
            network_label: network.label,
            metrics,
            traffic,
            traces: telemetry::Collector::from_environment(),
            store,
        })
    }

    /// Where the order of writes stands, for [`Self::flush`].
    pub(crate) fn mark(&self) -> Mark {
        self.store.mark()
    }

    /// Returns when what a build that began at `mark` has made survives a kill; `results` are what it answers with.
    ///
    /// A transaction may have been given up meanwhile. What memory still has of it is written again; the build
    /// fails if rows of its own results are gone, and is not concerned if they were others'. Blocks.
    pub(crate) fn flush(&self, mark: Mark, results: &[Ref]) -> slipway_store::Result<()> {
        let lost = match self.store.flush_since(mark) {
            Err(lost @ slipway_store::Error::WritesLost { .. }) => lost,
            flushed => return flushed,
        };
        let now = self.store.mark();
        if let Err(error) = self.records.flush() {
            tracing::warn!(%error, "the build cache cannot be written again");
            return Err(lost);
        }
        for result in results {
            if !self.store.keeps(result)? {
                return Err(lost);
            }
        }
        self.store.flush_since(now)
    }

    /// Stops all builds, waits for them to come down, and writes down what is not yet.
    pub(crate) async fn come_down(&self, patience: Duration) -> Result<()> {
        self.collector.stop();
        self.builds.stop_all();
        let deadline = Instant::now() + patience;
        while (self.builds.are_running() || self.history.is_recording()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.explanations.settled().await;
        let (store, records) = (self.store.clone(), self.records.clone());
        let networks = self.networks.clone();
        let flushed = tokio::task::spawn_blocking(move || {
            networks.close();
            records.flush().map_err(|error| Error::Records(error.to_string()))?;
            store.flush().map_err(Error::Store)
        });
        flushed.await.map_err(|error| Error::Serve(error.to_string()))?
    }
}

/// Where it rests is the worker's own: a root can be used with either, each finding what is its own.
fn open_store(config: &Config, containerd: Option<&Containerd>, root: &Path) -> Result<Store> {
    let options = StoreOptions::default();
    let opened = match containerd {
        None => Store::open(root, StoreOptions { snapshotter: snapshotter(config)?, ..options }),
        Some(containerd) => {
            let backend = Some(containerd.backend()?);
            Store::open(containerd.state(), StoreOptions { backend, ..options })
        }
    };
    Ok(opened?)
}

fn worker_labels(containerd: Option<&Containerd>, store: &Store) -> Vec<(&'static str, String)> {
    if let Some(containerd) = containerd {
        return containerd.labels();
    }
    // The name under which clients know it.
    let snapshotter = if store.snapshotter() == "overlay" { "overlayfs" } else { store.snapshotter() };
    vec![
        ("executor", "oci".to_owned()),
        ("oci.process-mode", "sandbox".to_owned()),
        ("snapshotter", snapshotter.to_owned()),
    ]
}

fn worker(
    config: &Config,
    network: &Chosen,
    store: Store,
    images: Images,
    executor: Arc<dyn Executor>,
    sessions: Arc<Sessions>,
) -> Result<Worker> {
    let answers = Answers::open(store.clone())?;
    Ok(Worker::new(WorkerOptions {
        executor,
        store,
        sessions,
        images,
        answers,
        default_network: network.default,
        devices: Devices::new(config.devices.clone()),
        max_parallelism: config.max_parallelism,
        log_limits: config.log_limits,
        platforms: Platforms::new(platforms(config)?),
    }))
}

/// What the configuration allows builds to ask for. Devices are among it unless the daemon has none: a build still gets
/// only those that its client names.
fn entitlements(config: &Config) -> Vec<String> {
    let devices = (!config.devices.disabled).then(|| "device".to_owned());
    config.entitlements.iter().cloned().chain(devices).collect()
}

/// Beside the start, so that who asks first need not wait.
fn find_platforms(worker: &Arc<Worker>) {
    let worker = worker.clone();
    // Without a thread it is done when somebody asks.
    let _ = std::thread::Builder::new().name("platforms".into()).spawn(move || worker.platforms.all().len());
}

fn executor(
    config: &Config,
    network: &Chosen,
    containerd: Option<&Containerd>,
    state_directory: &Path,
) -> Result<Arc<dyn Executor>> {
    let options = Options {
        dns: config.dns.clone(),
        cgroup_parent: config.cgroup_parent.clone(),
        networks: network.networks.clone(),
    };
    if let Some(containerd) = containerd {
        return containerd.executor(options);
    }
    match config.runtime.as_str() {
        "" | "builtin" => Ok(Arc::new(BuiltinExecutor::new(options))),
        binary => {
            let executor = OciExecutor::new(binary, state_directory.join("oci"), options)
                .map_err(|error| Error::Worker(error.to_string()))?;
            Ok(Arc::new(executor))
        }
    }
}

fn snapshotter(config: &Config) -> Result<SnapshotterChoice> {
    match config.snapshotter.as_str() {
        "" | "auto" => Ok(SnapshotterChoice::Auto),
        "overlayfs" | "overlay" => Ok(SnapshotterChoice::Overlay),
        "native" => Ok(SnapshotterChoice::Native),
        other => Err(Error::Worker(format!(
            "snapshotter {other:?} is not supported: use auto, overlayfs or native"
        ))),
    }
}

fn platforms(config: &Config) -> Result<Vec<Platform>> {
    let parse = |text: &String| {
        text.parse().map_err(|error| Error::Worker(format!("the platform {text:?} of the worker: {error}")))
    };
    config.platforms.iter().map(parse).collect()
}

fn hosts(registries: &BTreeMap<String, Registry>) -> HashMap<String, HostConfig> {
    let host = |registry: &Registry| HostConfig {
        mirrors: registry.mirrors.clone(),
        plain_http: registry.http,
        insecure: registry.insecure,
        authorities: registry.ca.clone(),
        key_pairs: registry
            .keypair
            .iter()
            .map(|pair| KeyPair { certificate: pair.cert.clone(), key: pair.key.clone() })
            .collect(),
        tls_folders: registry.tlsconfigdir.clone(),
    };
    registries.iter().map(|(name, registry)| (name.clone(), host(registry))).collect()
}

/// 25 characters, as BuildKit's are; the same for the same directory on the same machine.
fn worker_id(root: &Path) -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    Digest::of(format!("{machine}{}", root.display())).hex()[..25].to_owned()
}
