//! The solver against a model of it: random stories under a scheduler that a seed decides.
//!
//! A story is a random graph (shared parts, twins, roots of several names, unequal results of equal
//! content, lazy inputs, sub-builds, steps that fail, panic, or say "cancelled" by themselves) that
//! some jobs have solved, in some rounds on one store. Jobs start and leave at random, force what
//! they like, and import caches; stores and caches answer late, with records that do not load, with
//! panics, or after longer than anybody waits. The solver's tasks run on [`scheduler`], which picks
//! what goes on next and owns the time: a story of a second takes a fraction of a millisecond, and
//! the same seed tells the same story.
//!
//! | law | judged in |
//! |---|---|
//! | what comes out is what the oracle computes, step by step; who fails is who must | [`story`] |
//! | nothing hangs, goes in circles, or is left over: no task, no vertex, no load | [`scheduler`], [`story`] |
//! | equal work is not done twice at a time, nor again for one who knows how it ended | [`ledger`] |
//! | nothing is dropped half-way; the last job to come down leaves nothing that runs | [`ledger`] |
//! | a limit on parallelism is kept, and no story of limits hangs | [`ledger`] |
//! | inputs are made real before running, once | [`ops`] |
//! | what is forced was run anew, and what is known by it alone was made of that | [`story`] |
//! | no record lies | [`truth`] |
//! | every vertex that was begun is told to have ended | [`story`] |
//!
//! What it cannot see: two threads inside the solver at the same time. [`crate::random`] runs on
//! several, without a seed for their order.
//!
//! `SLIPWAY_SEED=<seed>` tells one story again, `SLIPWAY_SCHEDULES=<count>` as many as wanted, from the
//! seed on if both are given; `cargo xtask schedules` does that with an optimised build.

mod ledger;
mod ops;
mod plan;
mod scheduler;
mod sources;
mod story;
mod truth;

use std::collections::BTreeMap;

use story::tell;

/// How many stories every run of the tests tells.
const SCHEDULES: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn no_schedule_breaks_a_law() {
    let (seed, count) = (number("SLIPWAY_SEED"), number("SLIPWAY_SCHEDULES"));
    let first = seed.unwrap_or(0);
    let count = count.unwrap_or(if seed.is_some() { 1 } else { SCHEDULES });
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let counts = std::thread::scope(|scope| {
        let share = |thread| move || tell_all((first + thread..first + count).step_by(threads as usize));
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(share(thread))).collect();
        let all = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        all.fold(BTreeMap::<_, u64>::new(), |mut sum, (what, count)| {
            *sum.entry(what).or_default() += count;
            sum
        })
    });
    println!("{count} schedules from seed {first}: {counts:?}");
    if count >= SCHEDULES {
        for what in ["built", "failed", "loads", "forced", "built again"] {
            assert!(counts.get(what).is_some_and(|n| *n > count / 100), "too little of {what}: {counts:?}");
        }
    }
}

fn tell_all(seeds: impl Iterator<Item = u64>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for seed in seeds {
        match tell(seed) {
            Ok(told) => told.counts.into_iter().for_each(|(what, n)| *counts.entry(what).or_default() += n),
            Err(law) => panic!("seed {seed}: {law}\n  again: cargo xtask schedules 1 --seed {seed}"),
        }
    }
    counts
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..200 {
        let traces = [(); 2].map(|()| tell(seed).map(|told| told.trace));
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}
