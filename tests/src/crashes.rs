//! A daemon that is killed again and again, wherever it changes a file, over real builds.
//!
//! One root lives through many kills. Each life begins with a fault that ends it at some point
//! (`store/src/fault`), does one thing after the other until then, and is followed by one without a
//! fault that is asked what is left:
//!
//! - the files are in order (`slipway debug fsck --deep`);
//! - a build that was reported done has all its steps cached, unless something was pruned since;
//! - `du` tells what is on the disk;
//! - and in the end, pruning leaves nothing.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::eventually;
use crate::{Daemon, Fake, Outcome, Project};

/// Kills that one root lives through.
const KILLS_OF_A_ROOT: usize = 12;
/// Points that the things done in a life with a new root, and in a later one, pass.
const POINTS: (u64, u64) = (1400, 500);
/// `du` counts a file with several names by shares, in whole bytes.
const ROUNDING: u64 = 256;

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    pub kills: usize,
    /// Of them, while the daemon was tidying up after another.
    pub while_starting: usize,
    /// Lives that came to an orderly end before their fault.
    pub unharmed: usize,
    /// Builds that were reported done and asked for again after a kill.
    pub rebuilt: usize,
    pub took: Duration,
}

/// Kills daemons until there were `kills`; panics, naming seed and fault, at the first thing that is not as it
/// has to be.
pub fn sweep(seed: u64, kills: usize) -> Swept {
    let started = Instant::now();
    let mut swept = Swept::default();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    while swept.kills < kills {
        let wanted = KILLS_OF_A_ROOT.min(kills - swept.kills);
        Root::new(seed).live(&mut random, wanted, &mut swept);
    }
    swept.took = started.elapsed();
    swept
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

const DOCKERFILES: &[&str] = &[
    "FROM BUSYBOX\nCOPY file /file\nRUN echo one > /one\nRUN --mount=type=cache,target=/c echo x >> /c/x; cp /c/x /x\n",
    "FROM BUSYBOX AS a\nRUN echo one > /one\nFROM BUSYBOX\nCOPY --from=a /one /two\nCOPY . /all\n",
    "FROM BUSYBOX\nCOPY file /file\nRUN echo one > /one\nWORKDIR /w\nCOPY folder .\nRUN ls -R / > /listing; rm /file\n",
];

struct Root {
    seed: u64,
    daemon: Daemon,
    _fake: Fake,
    projects: Vec<Project>,
    edits: u64,
    /// Reported done, and neither edited nor pruned since.
    done: BTreeSet<usize>,
    told: Vec<String>,
}

impl Root {
    fn new(seed: u64) -> Self {
        let fake = Fake::with_busybox();
        let project = |text: &&str| {
            Project::new(&fake.busybox(), text).file("file", "0").file("folder/inner", "inner".repeat(2000))
        };
        let projects = DOCKERFILES.iter().map(project).collect();
        let mut daemon = Daemon::start();
        daemon.stop();
        Self { seed, daemon, _fake: fake, projects, edits: 0, done: BTreeSet::new(), told: Vec::new() }
    }

    fn live(mut self, random: &mut Random, kills: usize, swept: &mut Swept) {
        let mut here = 0;
        while here < kills {
            let limit = if self.done.is_empty() { POINTS.0 } else { POINTS.1 };
            let action = if random.below(3) == 0 { "torn" } else { "kill" };
            let fault = format!("{action}@{}", random_point(random, limit));
            let killed = self.life(random, &fault);
            here += usize::from(killed);
            swept.unharmed += usize::from(!killed);
            if killed && random.below(4) == 0 && self.recovery(&format!("kill@{}", 1 + random.below(25))) {
                here += 1;
                swept.while_starting += 1;
            }
            self.verify(swept);
        }
        swept.kills += here;
        self.end();
    }

    /// Until it is killed, or has done all there is to do; whether it was killed.
    fn life(&mut self, random: &mut Random, fault: &str) -> bool {
        self.told.push(format!("== {fault}"));
        if !self.daemon.try_start(&[("SLIPWAY_FAULT", fault)]) {
            return true;
        }
        for _ in 0..6 {
            let went_on = match random.below(8) {
                0..=2 => self.build(&[random.below(3) as usize]),
                3 | 4 => self.build(&[0, 1, 2]),
                5 => self.edit(random.below(3) as usize),
                6 => self.export(random.below(3) as usize),
                _ => self.prune(random.below(2) == 0),
            };
            if !went_on {
                return true;
            }
        }
        self.daemon.stop();
        false
    }

    /// Started, and killed while it tidies up; whether that came to pass.
    fn recovery(&mut self, fault: &str) -> bool {
        self.told.push(format!("== recovering, {fault}"));
        let lives = self.daemon.try_start(&[("SLIPWAY_FAULT", fault)]);
        if lives {
            self.daemon.stop();
        }
        !lives
    }

    /// All of them at once; whether the daemon lives.
    fn build(&mut self, which: &[usize]) -> bool {
        let running: Vec<_> =
            which.iter().map(|at| (*at, self.daemon.build(&self.projects[*at]).start())).collect();
        let ended: Vec<_> = running.into_iter().map(|(at, build)| (at, build.wait())).collect();
        ended.into_iter().fold(true, |lives, (at, outcome)| self.note(Some(at), "built", outcome) && lives)
    }

    fn export(&mut self, at: usize) -> bool {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let spec = format!("type=oci,dest={}", folder.path().join("image.tar").display());
        let outcome = self.daemon.build(&self.projects[at]).tag("swept").output(spec).run();
        self.note(Some(at), "exported", outcome)
    }

    fn edit(&mut self, at: usize) -> bool {
        self.edits += 1;
        self.projects[at].write("file", format!("edit {}", self.edits));
        self.done.remove(&at);
        self.told.push(format!("edited {at}"));
        true
    }

    fn prune(&mut self, all: bool) -> bool {
        self.done.clear();
        let limited = ["prune", "--force", "--all", "--max-used-space", "3MB"];
        let outcome = self.daemon.client(if all { &limited[..3] } else { &limited });
        self.note(None, "pruned", outcome)
    }

    /// What a command came to; whether the daemon lives.
    fn note(&mut self, project: Option<usize>, what: &str, outcome: Outcome) -> bool {
        if outcome.status.success() {
            self.done.extend(project);
            self.told.push(format!("{what} {project:?}"));
            return true;
        }
        self.told.push(format!("not {what} {project:?}"));
        let killed = eventually(Duration::from_secs(10), || self.daemon.has_ended());
        assert!(killed, "{} failed, yet the daemon lives:\n{}", self.story(), outcome.told());
        false
    }

    fn verify(&mut self, swept: &mut Swept) {
        self.told.push("== verifying".into());
        self.daemon.start_again();
        self.assert_usage();
        for at in self.done.clone() {
            let progress = self.daemon.build(&self.projects[at]).succeed().progress();
            assert!(progress.ran().is_empty(), "{}: {at} was done: {progress:#?}", self.story());
            swept.rebuilt += 1;
        }
        self.assert_usage();
        self.daemon.stop();
        self.assert_in_order();
    }

    fn end(mut self) {
        self.daemon.start_again();
        self.daemon.client(&["prune", "--force", "--all"]).succeeded();
        self.assert_usage();
        self.daemon.stop();
        self.assert_in_order();
        let left = kept(&self.daemon.root());
        assert!(left.is_empty(), "{}: pruning left {left:?}", self.story());
    }

    fn assert_in_order(&self) {
        let found = self.daemon.about_root(&["debug", "fsck", "--deep"]);
        assert!(found.status.success(), "{}:\n{}", self.story(), found.told());
    }

    fn assert_usage(&self) {
        let said = self.daemon.client(&["du", "--json"]).succeeded().stdout();
        let records: Vec<serde_json::Value> =
            said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let told: u64 = records.iter().map(|record| record["size"].as_u64().unwrap_or(0)).sum();
        let actual = disk_usage(&kept(&self.daemon.root()));
        assert!(
            told.abs_diff(actual) <= ROUNDING,
            "{}: du tells {told} bytes, on the disk are {actual}: {records:#?}",
            self.story()
        );
    }

    fn story(&self) -> String {
        format!("seed {}, this root:\n{}\n", self.seed, self.told.join("\n"))
    }
}

/// Early points are passed by every life, late ones by few: each order of magnitude counts alike.
fn random_point(random: &mut Random, limit: u64) -> u64 {
    let limit = if random.below(3) == 0 { limit / 8 } else { limit };
    1 + random.below(limit)
}

/// Directories of snapshots and files of blobs.
fn kept(root: &Path) -> Vec<PathBuf> {
    let kinds = children(&root.join("snapshots")).into_iter();
    let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 16);
    let snapshots = kinds.flat_map(|kind| children(&kind)).filter(ours);
    let blobs = children(&root.join("blobs/sha256")).into_iter().flat_map(|folder| children(&folder));
    snapshots.chain(blobs).collect()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// As `du` counts: blocks, each file once.
fn disk_usage(paths: &[PathBuf]) -> u64 {
    let mut seen = HashSet::new();
    paths.iter().map(|path| count(path, &mut seen)).sum()
}

fn count(path: &Path, seen: &mut HashSet<u64>) -> u64 {
    let Ok(stat) = path.symlink_metadata() else { return 0 };
    let own = if seen.insert(stat.ino()) { stat.blocks() * 512 } else { 0 };
    let below: u64 =
        if stat.is_dir() { children(path).iter().map(|child| count(child, seen)).sum() } else { 0 };
    own + below
}
