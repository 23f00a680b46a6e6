//! An imported cache as a source of records: checked once, then answered from memory.
//!
//! Nothing is fetched here. A result is a list of layer descriptors; what makes a value of them is
//! [`RemoteResults`], and it is asked for those results only that a build really takes.
//!
//! # The way back
//!
//! [`RecordSource::origins`] must name the operation of each link, which no cache says. But a key of a cache
//! is only ever reached by following links, and who follows one names its operation: it is noted. A key that
//! nobody has reached has no way back; it is left out of what leads to others, else it would be taken for a
//! root.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use parking_lot::RwLock;
use slipway_model::{Descriptor, DiffId, Digest, Hasher};
use slipway_solver::{
    Failure, KeyId, Link, OpContext, OpDigest, Record, RecordId, RecordSource, Selector, Value,
};

use super::config::{self, Config, time_from};
use super::manifest::CacheLayers;
use crate::error::{Error, Gone, Result};

/// A layer that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteLayer {
    pub descriptor: Descriptor,
    pub diff_id: DiffId,
}

/// Makes values of layers.
#[async_trait]
pub trait RemoteResults<V>: Send + Sync {
    /// The value that `layers`, from the bottom up, add up to, for the vertex that `ctx` speaks of.
    async fn load(&self, layers: &[RemoteLayer], ctx: &OpContext<V>) -> Result<V, Failure>;
}

/// A cache from elsewhere.
pub struct RemoteRecords<V> {
    /// Begins the ids of the records; unique over all sources.
    prefix: String,
    keys: HashMap<KeyId, Entry>,
    leads: HashMap<Lead, Vec<KeyId>>,
    results: Vec<Remote>,
    layers: Vec<Node>,
    values: Arc<dyn RemoteResults<V>>,
    /// Operations and outputs that somebody has followed, by the digest that records have of them.
    followed: RwLock<HashMap<KeyId, (OpDigest, usize)>>,
}

/// How one key leads to another.
#[derive(PartialEq, Eq, Hash)]
struct Lead {
    from: KeyId,
    input: usize,
    selector: Option<Selector>,
    /// Digest of operation and output.
    made_by: KeyId,
}

struct Entry {
    made_by: KeyId,
    origins: BTreeSet<Origin>,
    /// Indexes of its results.
    results: Vec<usize>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
struct Origin {
    input: usize,
    from: KeyId,
    selector: Option<Selector>,
}

struct Remote {
    key: KeyId,
    created: SystemTime,
    layers: Layers,
}

enum Layers {
    /// This one and all below it.
    Down(usize),
    These(Vec<usize>),
}

/// A layer of the config; `None`: the cache does not hold it, or something below it.
struct Node {
    layer: Option<RemoteLayer>,
    parent: Option<usize>,
}

impl<V: Value> RemoteRecords<V> {
    /// `name` tells this cache from all others: by its content, and by where it was found.
    pub fn new(
        name: &str,
        config: &Config,
        blobs: &CacheLayers,
        values: Arc<dyn RemoteResults<V>>,
    ) -> Result<Self> {
        let mut records = Self {
            prefix: format!("import:{name}:"),
            keys: HashMap::new(),
            leads: HashMap::new(),
            results: Vec::new(),
            layers: layers(config, blobs)?,
            values,
            followed: RwLock::default(),
        };
        let order = inputs_first(config)?;
        let mut keys: Vec<Option<KeyId>> = vec![None; config.records.len()];
        for index in order {
            keys[index] = records.add(&config.records[index], &keys)?;
        }
        Ok(records)
    }

    /// How many results there are to be had.
    pub fn len(&self) -> usize {
        self.results.len()
    }

    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Whether `record` is one of this cache.
    pub fn holds(&self, record: &RecordId) -> bool {
        self.number(record).is_some()
    }

    /// What the result of `record` is made of, from the bottom up.
    pub fn layers_of(&self, record: &RecordId) -> Option<Vec<RemoteLayer>> {
        let of = |index: &usize| self.layers[*index].layer.clone();
        match &self.results.get(self.number(record)?)?.layers {
            Layers::These(list) => list.iter().map(of).collect(),
            Layers::Down(top) => {
                let mut chain = Vec::new();
                let mut next = Some(*top);
                while let Some(index) = next {
                    chain.push(of(&index)?);
                    next = self.layers[index].parent;
                }
                chain.reverse();
                Some(chain)
            }
        }
    }

    fn number(&self, record: &RecordId) -> Option<usize> {
        record.0.strip_prefix(&self.prefix)?.parse().ok()
    }

    /// `None` for a record of no use here: session-bound, or below one that is.
    fn add(&mut self, record: &config::Record, keys: &[Option<KeyId>]) -> Result<Option<KeyId>> {
        let Some(made_by) = key_of(&record.digest) else { return Ok(None) };
        let mut origins = BTreeSet::new();
        for (input, links) in record.inputs.iter().enumerate() {
            let before = origins.len();
            for link in links {
                let from = usize::try_from(link.link).ok().and_then(|index| keys[index]);
                let selector = match link.selector.as_str() {
                    "" => Some(None),
                    text => text.parse().ok().map(|digest| Some(Selector(digest))),
                };
                if let (Some(from), Some(selector)) = (from, selector) {
                    origins.insert(Origin { input, from, selector });
                }
            }
            if origins.len() == before {
                return Ok(None); // no way leads here
            }
        }
        let key = if record.inputs.is_empty() { made_by } else { derived(&made_by, &origins) };
        for Origin { input, from, selector } in &origins {
            let lead = Lead { from: *from, input: *input, selector: *selector, made_by };
            let leads = self.leads.entry(lead).or_default();
            if !leads.contains(&key) {
                leads.push(key);
            }
        }
        let results = self.add_results(key, record)?;
        let entry = self.keys.entry(key).or_insert_with(|| Entry { made_by, origins, results: Vec::new() });
        entry.results.extend(results);
        Ok(Some(key))
    }

    fn add_results(&mut self, key: KeyId, record: &config::Record) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for result in &record.results {
            found.push((&result.created_at, Layers::Down(self.layer(result.layer)?)));
        }
        for chain in &record.chains {
            let list = chain.layers.iter().map(|index| self.layer(*index)).collect::<Result<Vec<_>>>()?;
            found.push((&chain.created_at, Layers::These(list)));
        }
        let first = self.results.len();
        for (created, layers) in found {
            let has = |index: &usize| self.layers[*index].layer.is_some();
            let whole = match &layers {
                Layers::Down(top) => has(top),
                Layers::These(list) => !list.is_empty() && list.iter().all(has),
            };
            if whole {
                self.results.push(Remote { key, created: time_from(created), layers });
            }
        }
        Ok((first..self.results.len()).collect())
    }

    fn layer(&self, index: i64) -> Result<usize> {
        let index = usize::try_from(index).ok().filter(|index| *index < self.layers.len());
        index.ok_or(Error::Broken("a result names a layer that is not listed"))
    }

    /// Who made `key`, if it has a way back.
    fn maker(&self, entry: &Entry) -> Option<(OpDigest, usize)> {
        self.followed.read().get(&entry.made_by).copied()
    }
}

/// The layers of `config` as a forest. One that is not among `blobs` is missing, and all on top of it are.
fn layers(config: &Config, blobs: &CacheLayers) -> Result<Vec<Node>> {
    let count = config.layers.len();
    let mut nodes = Vec::with_capacity(count);
    for layer in &config.layers {
        let parent = match layer.parent {
            -1 => None,
            index => {
                let index = usize::try_from(index).ok().filter(|index| *index < count);
                Some(index.ok_or(Error::Broken("a layer lies on one that is not listed"))?)
            }
        };
        nodes.push(Node { layer: blobs.find(layer), parent });
    }
    // Each layer is looked at once: what is below it was, or is on the way up from it.
    let mut done = vec![false; count];
    for start in 0..count {
        let mut path = Vec::new();
        let mut next = Some(start);
        while let Some(index) = next.filter(|index| !done[*index]) {
            if path.len() > count {
                return Err(Error::Broken("a layer lies on itself"));
            }
            path.push(index);
            next = nodes[index].parent;
        }
        while let Some(index) = path.pop() {
            done[index] = true;
            if nodes[index].parent.is_some_and(|below| nodes[below].layer.is_none()) {
                nodes[index].layer = None;
            }
        }
    }
    Ok(nodes)
}

/// Records in an order in which each comes after those that lead to it.
fn inputs_first(config: &Config) -> Result<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let count = config.records.len();
    let mut states = vec![State::New; count];
    let mut order = Vec::with_capacity(count);
    for start in 0..count {
        let mut todo = vec![start];
        while let Some(&index) = todo.last() {
            match states[index] {
                State::Done => drop(todo.pop()),
                State::Open => {
                    todo.pop();
                    states[index] = State::Done;
                    order.push(index);
                }
                State::New => {
                    states[index] = State::Open;
                    for link in config.records[index].inputs.iter().flatten() {
                        let from = usize::try_from(link.link).ok().filter(|from| *from < count);
                        let from =
                            from.ok_or(Error::Broken("a link leads from a record that is not listed"))?;
                        match states[from] {
                            State::New => todo.push(from),
                            State::Open => return Err(Error::Broken("a record leads to itself")),
                            State::Done => {}
                        }
                    }
                }
            }
        }
    }
    Ok(order)
}

/// The hash in a record's digest; `None` for `random:` and other algorithms, which no key has.
fn key_of(digest: &str) -> Option<KeyId> {
    match digest.parse() {
        Ok(Digest::Sha256(hash)) => Some(KeyId::from_hash(hash)),
        _ => None,
    }
}

fn derived(made_by: &KeyId, origins: &BTreeSet<Origin>) -> KeyId {
    let mut text = Hasher::new();
    text.update(b"imported ");
    text.update(made_by.hash());
    for Origin { input, from, selector } in origins {
        text.update(format!(" {input} ").as_bytes());
        text.update(from.hash());
        if let Some(selector) = selector {
            text.update(format!("/{selector}").as_bytes());
        }
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(&text.finish().as_bytes()[..32]);
    KeyId::from_hash(hash)
}

#[async_trait]
impl<V: Value> RecordSource<V> for RemoteRecords<V> {
    fn knows(&self, root: &KeyId) -> bool {
        self.keys.contains_key(root)
    }

    fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId> {
        if !self.keys.contains_key(key) {
            return Vec::new();
        }
        let made_by = KeyId::root(link.operation, link.output);
        let lead = Lead { from: *key, input: link.input, selector: link.selector, made_by };
        let Some(found) = self.leads.get(&lead) else { return Vec::new() };
        self.followed.write().entry(made_by).or_insert((link.operation, link.output));
        found.clone()
    }

    fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)> {
        let Some(entry) = self.keys.get(key) else { return Vec::new() };
        let Some((operation, output)) = self.maker(entry) else { return Vec::new() };
        let has_way_back = |origin: &&Origin| {
            let from = self.keys.get(&origin.from);
            from.is_some_and(|from| from.origins.is_empty() || self.maker(from).is_some())
        };
        let link =
            |origin: &Origin| Link { input: origin.input, output, operation, selector: origin.selector };
        entry.origins.iter().filter(has_way_back).map(|origin| (origin.from, link(origin))).collect()
    }

    fn records(&self, key: &KeyId) -> Vec<Record> {
        let Some(entry) = self.keys.get(key) else { return Vec::new() };
        let record = |index: &usize| {
            let Remote { key, created, .. } = &self.results[*index];
            let id = RecordId(format!("{}{index}", self.prefix).into());
            Record { id, key: *key, created: *created }
        };
        entry.results.iter().map(record).collect()
    }

    async fn load(&self, record: &Record, ctx: &OpContext<V>) -> Result<V, Failure> {
        let layers = self.layers_of(&record.id).ok_or_else(|| Gone(record.id.to_string()))?;
        self.values.load(&layers, ctx).await
    }
}
