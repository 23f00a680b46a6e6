//! The config of an export: steps and their results, in an order that does not depend on how they were found.

use std::collections::HashMap;
use std::time::SystemTime;

use slipway_model::BlobDigest;
use slipway_solver::Selector;

use super::config::{Config, Input, Layer, Record, RecordResult, time_to};
use super::walk::Step;

/// The layers of all results: each once for what is below it.
#[derive(Debug, Default)]
pub struct Forest {
    nodes: Vec<(BlobDigest, Option<usize>)>,
    known: HashMap<(BlobDigest, Option<usize>), usize>,
}

/// A result of a step: the layer at its top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    pub layer: usize,
    pub created: SystemTime,
}

impl Forest {
    /// The layer `blob` on top of `below`.
    pub fn add(&mut self, blob: BlobDigest, below: Option<usize>) -> usize {
        *self.known.entry((blob, below)).or_insert_with(|| {
            self.nodes.push((blob, below));
            self.nodes.len() - 1
        })
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// `results` has one place for each of `steps`.
pub fn compose(steps: &[Step], results: &[Option<Top>], forest: &Forest) -> Config {
    let (layers, layer_places) = sorted_layers(forest);
    let result =
        |top: &Top| RecordResult { layer: layer_places[top.layer] as i64, created_at: time_to(top.created) };
    Config { layers, records: records(steps, |index| results[index].as_ref().map(result)), mounts: None }
}

/// The records of an inline cache: a result is the number of an image's layer.
pub fn compose_inline(steps: &[Step], results: &[Option<Top>]) -> Vec<Record> {
    let result = |top: &Top| RecordResult { layer: top.layer as i64, created_at: time_to(top.created) };
    records(steps, |index| results[index].as_ref().map(result))
}

fn sorted_layers(forest: &Forest) -> (Vec<Layer>, Vec<usize>) {
    let mut order: Vec<usize> = (0..forest.nodes.len()).collect();
    // A forest's own order is one in which layers were found below each other: it settles ties.
    order.sort_by_key(|index| (forest.nodes[*index].0, *index));
    let places = places(&order);
    let layer = |index: &usize| {
        let (blob, below) = &forest.nodes[*index];
        let parent = below.map_or(-1, |below| places[below] as i64);
        Layer { blob: blob.to_string(), parent, annotations: None }
    };
    (order.iter().map(layer).collect(), places)
}

fn records(steps: &[Step], result: impl Fn(usize) -> Option<RecordResult>) -> Vec<Record> {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_cached_key(|index| {
        let step = &steps[*index];
        let links = step.inputs.iter().map(|links| {
            let link = |(from, selector): &(usize, Option<Selector>)| (*selector, steps[*from].digest);
            links.iter().map(link).collect::<Vec<_>>()
        });
        (step.digest, links.collect::<Vec<_>>(), *index)
    });
    let places = places(&order);
    let record = |index: &usize| {
        let step = &steps[*index];
        let inputs = step.inputs.iter().map(|links| {
            let input = |(from, selector): &(usize, Option<Selector>)| Input {
                selector: selector.map(|selector| selector.to_string()).unwrap_or_default(),
                link: places[*from] as i64,
            };
            let mut links: Vec<Input> = links.iter().map(input).collect();
            links.sort_by(|one, other| (one.link, &one.selector).cmp(&(other.link, &other.selector)));
            links
        });
        Record {
            results: result(*index).into_iter().collect(),
            chains: Vec::new(),
            digest: step.digest.to_string(),
            inputs: inputs.collect(),
        }
    };
    order.iter().map(record).collect()
}

/// Where each index went.
fn places(order: &[usize]) -> Vec<usize> {
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, index)| places[*index] = place);
    places
}
