//! What the child does: builds, rebuilds, exports, prunes, and comes back, telling of what was done.
//!
//! A failure ends the round it is in and nothing else, as it would in a daemon.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use slipway_cache::{DiskRecords, LoadError, ResultStore};
use slipway_solver::progress::Silent;
use slipway_solver::*;
use slipway_store::layer::{LayerInput, LayerOptions, unpack};
use slipway_store::{
    PrepareOptions, PruneOptions, RecordType, Ref, Sharing, SnapshotterChoice, Store, StoreOptions,
};

#[derive(Clone, Debug)]
pub(crate) struct Snapshot(pub(crate) Ref);

struct Results(Store);

#[async_trait]
impl ResultStore<Snapshot> for Results {
    async fn persist(&self, value: &Snapshot) -> Result<Option<String>, Failure> {
        Ok(Some(value.0.id().to_string()))
    }

    fn exists(&self, name: &str) -> bool {
        name.parse().is_ok_and(|id| self.0.exists(&id).unwrap_or(true))
    }

    async fn load(&self, name: &str, _: &OpContext<Snapshot>) -> Result<Snapshot, LoadError> {
        match self.0.get(&name.parse().map_err(|_| LoadError::Gone)?) {
            Ok(Some(found)) => Ok(Snapshot(found)),
            Ok(None) => Err(LoadError::Gone),
            Err(error) => Err(LoadError::Failed(error.into())),
        }
    }

    fn release(&self, _: &str) {}
}

/// One life of a daemon, as it were.
pub(crate) struct Life {
    pub(crate) store: Store,
    pub(crate) records: Arc<DiskRecords<Snapshot>>,
    solver: Solver<Snapshot>,
    ran: Arc<Mutex<Vec<String>>>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Life {
    pub(crate) fn open(root: &Path) -> Outcome<Self> {
        let options = StoreOptions { snapshotter: SnapshotterChoice::Native, ..StoreOptions::default() };
        let store = Store::open(root, options)?;
        let records = DiskRecords::open(store.metadata().clone(), Arc::new(Results(store.clone())))?;
        let records = Arc::new(records);
        let forgetful = Arc::downgrade(&records);
        store.on_removed(move |removed| {
            let Some(records) = forgetful.upgrade() else { return };
            removed.iter().for_each(|id| records.forget_result(&id.to_string()));
        });
        let solver = Solver::new(SolverOptions { store: records.clone() });
        Ok(Self { store, records, solver, ran: Arc::default() })
    }

    /// Builds `name` and answers with its result and the steps that ran for it.
    pub(crate) async fn build(&self, name: &str) -> Outcome<(Ref, Vec<String>)> {
        self.ran.lock().clear();
        let progress = Arc::new(Silent);
        let job = self.solver.job(JobOptions {
            id: name.into(),
            sessions: vec![],
            progress,
            imports: vec![],
            parallelism: None,
        });
        let built = job.build(&self.graph(name)).await;
        job.discard().await;
        let value = built?.value.0;
        let ran = self.ran.lock().clone();
        Ok((value, ran))
    }

    /// A base that all share, then a step for each letter of `name`, each on the one before.
    fn graph(&self, name: &str) -> Edge<Snapshot> {
        let mut edge = self.step("base", None);
        for at in 0..name.len() {
            edge = self.step(&name[..=at], Some(edge));
        }
        edge
    }

    fn step(&self, name: &str, input: Option<Edge<Snapshot>>) -> Edge<Snapshot> {
        let inputs: Vec<_> = input.into_iter().collect();
        let op = Step {
            name: name.into(),
            inputs: inputs.len(),
            store: self.store.clone(),
            ran: self.ran.clone(),
        };
        let vertex = Vertex {
            digest: VertexDigest(Digest::of(name)),
            name: name.into(),
            inputs,
            ignore_cache: false,
            progress_group: None,
            op: Arc::new(op),
        };
        Edge { vertex: vertex.into(), output: 0 }
    }

    /// As the daemon, before it answers.
    fn flush(&self) -> Outcome<()> {
        Ok(self.store.flush()?)
    }
}

struct Step {
    name: String,
    inputs: usize,
    store: Store,
    ran: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Op<Snapshot> for Step {
    async fn cache_map(&self, _: &OpContext<Snapshot>, _: usize) -> OpResult<CacheMap<Snapshot>> {
        Ok(CacheMap::new(OpDigest(Digest::of(&self.name)), self.inputs))
    }

    async fn exec(&self, _: &OpContext<Snapshot>, inputs: Vec<Snapshot>) -> OpResult<Vec<Snapshot>> {
        self.ran.lock().push(self.name.clone());
        let Some(Snapshot(input)) = inputs.into_iter().next() else {
            let (store, name) = (self.store.clone(), self.name.clone());
            let made = tokio::task::spawn_blocking(move || base(&store, &name)).await;
            return Ok(vec![Snapshot(made.map_err(std::io::Error::other)??)]);
        };
        if self.name.ends_with('c') {
            let cache = self.store.cache_mount("cache", Sharing::Shared, None).await?;
            let path = cache.directory().join(&self.name);
            std::fs::write(path, vec![b'c'; 9000])?;
        }
        let options = PrepareOptions { description: self.name.clone(), ..PrepareOptions::default() };
        let active = self.store.prepare(Some(&input), options)?;
        std::fs::write(active.upper_dir().join(&self.name), self.name.repeat(5000))?;
        Ok(vec![Snapshot(active.commit()?)])
    }
}

/// An image of one layer, as if pulled: its blob is stored, and unpacked.
fn base(store: &Store, name: &str) -> Outcome<Ref> {
    use std::io::Read;
    let tar = layer(name);
    let diff_id = slipway_model::DiffId(Digest::of(&tar));
    let blob = store.blobs().put(&tar)?;
    let descriptor =
        slipway_model::Descriptor::new(slipway_model::media_type::OCI_LAYER, blob.digest, blob.size);
    let open = Box::new(move || Ok(Box::new(std::io::Cursor::new(tar)) as Box<dyn Read + Send>));
    let input = LayerInput { descriptor, diff_id, description: name.into(), open };
    Ok(unpack(store, vec![input], RecordType::Regular, 1)?.ok_or("no layers")?)
}

/// A tar of a few files.
fn layer(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3 {
        std::fs::write(folder.path().join(format!("{name}{number}")), name.repeat(3000)).unwrap();
    }
    let mut tar = std::process::Command::new("tar");
    tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-cf", "-", "-C"])
        .arg(folder.path())
        .arg(".");
    tar.output().unwrap().stdout
}

/// Where the child tells what it has done.
pub(crate) fn report_of(root: &Path) -> PathBuf {
    root.with_extension("report")
}

fn report(root: &Path, line: &str) {
    let file = std::fs::File::options().append(true).create(true).open(report_of(root));
    file.unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
}

async fn build(root: &Path, life: &Life, name: &str) -> Outcome<Ref> {
    let mark = life.store.mark();
    let (made, _) = life.build(name).await?;
    life.store.flush_since(mark)?;
    report(root, &format!("built {name}"));
    Ok(made)
}

/// All of it: two lives, the second beginning with what the first has left.
pub(crate) async fn all(root: &Path) {
    for round in 0..2 {
        let Ok(life) = Life::open(root) else { continue };
        let _ = first(root, &life).await;
        let _ = at_once(root, &life).await;
        let _ = export(root, &life).await;
        prune(root, &life, PruneOptions { all: true, max_used_space: 120_000, ..PruneOptions::default() });
        let _ = build(root, &life, "abcd").await;
        if round == 1 {
            prune(root, &life, PruneOptions { all: true, ..PruneOptions::default() });
            let _ = build(root, &life, "az").await;
        }
    }
}

async fn first(root: &Path, life: &Life) -> Outcome<()> {
    build(root, life, "abc").await?;
    build(root, life, "abc").await?;
    build(root, life, "abx").await?;
    Ok(())
}

async fn at_once(root: &Path, life: &Life) -> Outcome<()> {
    let (one, two, three) =
        tokio::join!(build(root, life, "abqr"), build(root, life, "abqs"), build(root, life, "mc"));
    drop((one?, two?, three?));
    Ok(())
}

async fn export(root: &Path, life: &Life) -> Outcome<()> {
    let made = build(root, life, "abc").await?;
    let layers = made.layers(&LayerOptions::default())?;
    life.flush()?;
    report(root, &format!("exported {}", layers.len()));
    Ok(())
}

fn prune(root: &Path, life: &Life, options: PruneOptions) {
    report(root, "pruning");
    let _ = life.store.prune(&options);
}

pub(crate) fn open_and_close(root: &Path) {
    drop(Life::open(root));
}

/// Enough for something to be damaged.
pub(crate) async fn some(root: &Path) {
    let life = Life::open(root).unwrap();
    for name in ["abc", "abqr", "mcno", "xyz"] {
        build(root, &life, name).await.unwrap();
    }
    export(root, &life).await.unwrap();
}
