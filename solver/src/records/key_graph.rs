//! The graph of keys in memory: what every record store answers questions from.
//!
//! Costs about 200 bytes per link. A key that many lead from (a base image everybody builds on) is
//! probed in constant time all the same. Nothing dead stays: a key without records that leads nowhere
//! goes, and with it whatever led only to it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Record;
use crate::keys::{KeyId, Link, RecordId};

#[derive(Default)]
pub struct KeyGraph {
    keys: HashMap<KeyId, Entry>,
    /// Each link once: many keys are led from by the same.
    links: HashSet<Arc<Link>>,
    records: HashMap<RecordId, KeyId>,
}

#[derive(Default)]
struct Entry {
    leads: HashMap<Arc<Link>, Vec<KeyId>>,
    origins: Vec<(KeyId, Arc<Link>)>,
    records: Vec<Record>,
}

impl KeyGraph {
    /// Whether anything hangs on `key`.
    pub fn knows(&self, key: &KeyId) -> bool {
        self.keys.get(key).is_some_and(|entry| entry.is_alive(key))
    }

    pub fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId> {
        self.keys.get(key).and_then(|entry| entry.leads.get(link)).cloned().unwrap_or_default()
    }

    pub fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)> {
        let entry = self.keys.get(key);
        entry.into_iter().flat_map(|entry| &entry.origins).map(|(from, link)| (*from, **link)).collect()
    }

    pub fn records(&self, key: &KeyId) -> Vec<Record> {
        self.keys.get(key).map(|entry| entry.records.clone()).unwrap_or_default()
    }

    pub fn record(&self, id: &RecordId) -> Option<&Record> {
        let entry = self.keys.get(self.records.get(id)?)?;
        entry.records.iter().find(|record| record.id == *id)
    }

    pub fn all_records(&self) -> impl Iterator<Item = &Record> {
        self.keys.values().flat_map(|entry| &entry.records)
    }

    pub fn all_links(&self) -> impl Iterator<Item = (KeyId, Link, KeyId)> {
        self.keys.iter().flat_map(|(to, entry)| entry.origins.iter().map(|(from, link)| (*from, **link, *to)))
    }

    /// Says whether that was new.
    pub fn link(&mut self, key: &KeyId, link: &Link, to: &KeyId) -> bool {
        let link = self.interned(link);
        let leads = self.keys.entry(*key).or_default().leads.entry(link.clone()).or_default();
        if leads.contains(to) {
            return false;
        }
        push_exact(leads, *to);
        push_exact(&mut self.keys.entry(*to).or_default().origins, (*key, link));
        true
    }

    pub fn add(&mut self, record: Record) {
        self.records.insert(record.id.clone(), record.key);
        push_exact(&mut self.keys.entry(record.key).or_default().records, record);
    }

    /// Removes a record, and answers with the keys that are gone with it.
    pub fn remove(&mut self, id: &RecordId) -> Vec<KeyId> {
        let Some(key) = self.records.remove(id) else { return Vec::new() };
        if let Some(entry) = self.keys.get_mut(&key) {
            entry.records.retain(|record| record.id != *id);
        }
        self.prune(vec![key])
    }

    /// Removes all keys that lead nowhere; for after a graph was read back in parts.
    pub fn prune_all(&mut self) -> Vec<KeyId> {
        let dead: Vec<KeyId> =
            self.keys.iter().filter(|(key, entry)| !entry.is_alive(key)).map(|(key, _)| *key).collect();
        self.prune(dead)
    }

    /// Removes those of `keys` on which nothing hangs, and so on backwards.
    fn prune(&mut self, mut keys: Vec<KeyId>) -> Vec<KeyId> {
        let mut gone = Vec::new();
        while let Some(key) = keys.pop() {
            if self.keys.get(&key).is_none_or(|entry| entry.is_alive(&key)) {
                continue;
            }
            gone.push(key);
            for (from, link) in self.keys.remove(&key).into_iter().flat_map(|entry| entry.origins) {
                if let Some(entry) = self.keys.get_mut(&from) {
                    entry.unlink(&link, &key);
                    keys.push(from);
                }
                self.release(link);
            }
        }
        gone
    }

    fn interned(&mut self, link: &Link) -> Arc<Link> {
        if let Some(known) = self.links.get(link) {
            return known.clone();
        }
        let link = Arc::new(*link);
        self.links.insert(link.clone());
        link
    }

    fn release(&mut self, link: Arc<Link>) {
        // Here and in the set: nobody else.
        if Arc::strong_count(&link) == 2 {
            self.links.remove(&*link);
        }
    }
}

/// Most lists stay at one: room for four would be most of what a graph costs.
fn push_exact<T>(list: &mut Vec<T>, item: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(item);
}

impl Entry {
    /// An operation that gives the content it was given leads from a key to itself: that keeps
    /// nothing alive.
    fn is_alive(&self, key: &KeyId) -> bool {
        !self.records.is_empty() || self.leads.values().flatten().any(|to| to != key)
    }

    fn unlink(&mut self, link: &Arc<Link>, to: &KeyId) {
        if let Some(leads) = self.leads.get_mut(link) {
            leads.retain(|known| known != to);
            if leads.is_empty() {
                self.leads.remove(link);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::keys::OpDigest;
    use slipway_model::Digest;

    fn key(name: &str) -> KeyId {
        KeyId::root(OpDigest(Digest::of(name)), 0)
    }

    fn link(operation: &str) -> Link {
        Link { input: 0, output: 0, operation: OpDigest(Digest::of(operation)), selector: None }
    }

    fn record(name: &str, id: &str) -> Record {
        Record { id: RecordId(id.into()), key: key(name), created: SystemTime::UNIX_EPOCH }
    }

    /// a -> b -> d, a -> c -> d, b has a record of its own.
    fn diamond() -> KeyGraph {
        let mut graph = KeyGraph::default();
        for (from, to) in [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")] {
            assert!(graph.link(&key(from), &link(to), &key(to)));
            assert!(!graph.link(&key(from), &link(to), &key(to)));
        }
        graph.add(record("b", "1"));
        graph.add(record("d", "2"));
        graph
    }

    #[test]
    fn links_are_followed_both_ways() {
        let graph = diamond();
        assert_eq!(graph.follow(&key("a"), &link("b")), [key("b")]);
        assert!(graph.follow(&key("a"), &link("d")).is_empty());
        assert_eq!(graph.origins(&key("d")), [(key("b"), link("d")), (key("c"), link("d"))]);
        assert_eq!(graph.record(&RecordId("2".into())), Some(&record("d", "2")));
    }

    #[test]
    fn what_leads_nowhere_goes_with_the_last_record() {
        let mut graph = diamond();
        let mut gone = graph.remove(&RecordId("2".into()));
        gone.sort();
        let mut expected = vec![key("c"), key("d")];
        expected.sort();
        assert_eq!(gone, expected);
        assert!(graph.knows(&key("a")) && graph.knows(&key("b")), "b still has a record");
        assert_eq!(graph.remove(&RecordId("1".into())).len(), 2);
        assert!(graph.keys.is_empty() && graph.links.is_empty() && graph.records.is_empty());
        assert!(graph.remove(&RecordId("1".into())).is_empty());
    }

    #[test]
    fn what_leads_to_itself_alone_goes_too() {
        let mut graph = KeyGraph::default();
        graph.link(&key("a"), &link("b"), &key("b"));
        graph.link(&key("b"), &link("b"), &key("b"));
        graph.add(record("b", "1"));
        assert_eq!(graph.remove(&RecordId("1".into())).len(), 2);
        assert!(graph.keys.is_empty() && graph.links.is_empty());
    }

    #[test]
    fn a_graph_read_back_in_parts_is_pruned() {
        let mut graph = KeyGraph::default();
        graph.link(&key("a"), &link("b"), &key("b"));
        graph.link(&key("b"), &link("c"), &key("c"));
        assert_eq!(graph.prune_all().len(), 3);
        assert!(graph.keys.is_empty() && graph.links.is_empty());
    }
}
