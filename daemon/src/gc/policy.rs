//! Rules of garbage collection, as `[worker.oci]` of `buildkitd.toml` has them.
//!
//! | key | means |
//! |---|---|
//! | `gc` | whether there is any collection; there is unless it says `false` |
//! | `gcpolicy` | rules; those below count only without |
//! | `reservedSpace`, `maxUsedSpace`, `minFreeSpace` | limits of the default rules |
//! | `gckeepstorage` | old name of `reservedSpace`, if no limit is given otherwise |
//!
//! The default rules: (1) contexts, cache mounts and git checkouts unused for two days go if the cache is beyond
//! 512 MB; then, while it is beyond its limits, (2) what was unused for sixty days, (3) anything that can be had
//! again, (4) internal things too. Without limits in the configuration they follow from the disk: reserved is a
//! tenth of it but at most 10 GB, used at most four fifths and 100 GB, free at least a fifth.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use slipway_store::{Filter, PruneOptions};

use super::{DiskSpace, KeepDuration};

/// What is configured of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GcConfig {
    /// `None` is yes.
    pub gc: Option<bool>,
    #[serde(rename = "gckeepstorage")]
    pub keep_storage: DiskSpace,
    pub reserved_space: DiskSpace,
    pub max_used_space: DiskSpace,
    pub min_free_space: DiskSpace,
    #[serde(rename = "gcpolicy")]
    pub policies: Vec<GcPolicy>,
}

/// One `[[worker.oci.gcpolicy]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GcPolicy {
    /// Also internal and frontend records.
    pub all: bool,
    /// Each lets records in; see [`Filter`].
    pub filters: Vec<String>,
    /// What was used within this time stays.
    pub keep_duration: KeepDuration,
    /// Old name of `reserved_space`.
    pub keep_bytes: DiskSpace,
    /// May always stay.
    pub reserved_space: DiskSpace,
    /// May stay at most.
    pub max_used_space: DiskSpace,
    /// To be free on the filesystem.
    pub min_free_space: DiskSpace,
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Limits of the default rules: shares of the disk, and bytes that they are at most.
const RESERVED: (u64, u64) = (10, 10_000_000_000);
const USED: (u64, u64) = (80, 100_000_000_000);
const FREE: u64 = 20;

impl GcConfig {
    /// The rules in their order, on the filesystem of `root`; none if there is to be no collection.
    ///
    /// Fails with a filter that cannot be read.
    pub(crate) fn rules(&self, root: &Path) -> Result<Vec<PruneOptions>, String> {
        // A filesystem that does not tell its size gets limits all the same.
        let total = rustix::fs::statvfs(root).map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
        self.rules_on(total)
    }

    fn rules_on(&self, total: u64) -> Result<Vec<PruneOptions>, String> {
        if self.gc == Some(false) {
            return Ok(Vec::new());
        }
        let defaults;
        let policies = if self.policies.is_empty() {
            defaults = self.default_policies(total);
            &defaults
        } else {
            &self.policies
        };
        policies.iter().map(|policy| policy.rule(total)).collect()
    }

    fn default_policies(&self, total: u64) -> Vec<GcPolicy> {
        let Self { mut reserved_space, mut max_used_space, mut min_free_space, .. } = *self;
        let is_unset = |spaces: [DiskSpace; 3]| spaces.iter().all(|space| space.is_unset());
        if is_unset([reserved_space, max_used_space, min_free_space]) {
            reserved_space = self.keep_storage;
        }
        if is_unset([reserved_space, max_used_space, min_free_space]) {
            reserved_space = share(RESERVED, total);
            max_used_space = share(USED, total);
            min_free_space = DiskSpace::Percent(FREE);
        }
        let limited = GcPolicy { reserved_space, max_used_space, min_free_space, ..GcPolicy::default() };
        let kinds = ["type==source.local", "type==exec.cachemount", "type==source.git.checkout"];
        vec![
            GcPolicy {
                filters: kinds.map(str::to_owned).to_vec(),
                keep_duration: KeepDuration(2 * DAY),
                max_used_space: DiskSpace::Bytes(512_000_000),
                ..GcPolicy::default()
            },
            GcPolicy { keep_duration: KeepDuration(60 * DAY), ..limited.clone() },
            limited.clone(),
            GcPolicy { all: true, ..limited },
        ]
    }

    /// The limits of `--oci-worker-gc-keepstorage`: megabytes, `RESERVED[,FREE[,MAXIMUM]]`.
    pub fn set_keep_storage(&mut self, text: &str) -> Result<(), String> {
        let mut spaces = [DiskSpace::default(); 3];
        for (space, part) in spaces.iter_mut().zip(text.splitn(3, ',')) {
            *space = match part.trim().parse::<u64>() {
                Ok(megabytes) => DiskSpace::Bytes(megabytes.saturating_mul(1_000_000)),
                Err(_) => {
                    let share = part.trim().ends_with('%').then(|| part.parse().ok()).flatten();
                    share.ok_or_else(|| {
                        format!("{text:?} is not RESERVED[,FREE[,MAXIMUM]], each in megabytes or as 10%")
                    })?
                }
            };
        }
        [self.reserved_space, self.min_free_space, self.max_used_space] = spaces;
        Ok(())
    }
}

fn share((percent, most): (u64, u64), total: u64) -> DiskSpace {
    let share = DiskSpace::Percent(percent);
    if share.bytes(total) > most { DiskSpace::Bytes(most) } else { share }
}

impl GcPolicy {
    fn rule(&self, total: u64) -> Result<PruneOptions, String> {
        Filter::parse_all(&self.filters).map_err(|error| error.to_string())?;
        let reserved = if self.reserved_space.is_unset() { self.keep_bytes } else { self.reserved_space };
        Ok(PruneOptions {
            all: self.all,
            filters: self.filters.clone(),
            keep_duration: self.keep_duration.0,
            reserved_space: reserved.bytes(total),
            max_used_space: self.max_used_space.bytes(total),
            min_free_space: self.min_free_space.bytes(total),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERABYTE: u64 = 1 << 40;

    #[test]
    fn without_a_word_the_limits_follow_from_the_disk() {
        let rules = GcConfig::default().rules_on(TERABYTE).unwrap();
        assert_eq!(rules.len(), 4);
        let [first, second, third, fourth] = &rules[..] else { unreachable!() };
        assert_eq!((first.max_used_space, first.keep_duration), (512_000_000, 2 * DAY));
        assert_eq!(first.filters.len(), 3);
        assert!(!first.all && first.reserved_space == 0);
        assert_eq!(second.keep_duration, 60 * DAY);
        assert_eq!(
            (third.reserved_space, third.max_used_space, third.min_free_space),
            (10_000_000_000, 100_000_000_000, 205_000_000_000)
        );
        assert_eq!(*fourth, PruneOptions { all: true, ..third.clone() });
        assert_eq!(*second, PruneOptions { keep_duration: 60 * DAY, ..third.clone() });

        let small = GcConfig::default().rules_on(20 << 30).unwrap();
        assert_eq!((small[2].reserved_space, small[2].max_used_space), (3_000_000_000, 17_000_000_000));
    }

    #[test]
    fn what_is_written_counts() {
        let keep = GcConfig { keep_storage: DiskSpace::Bytes(7), ..GcConfig::default() };
        let rules = keep.rules_on(TERABYTE).unwrap();
        assert_eq!((rules[3].reserved_space, rules[3].max_used_space, rules[3].min_free_space), (7, 0, 0));
        let newer = GcConfig { max_used_space: DiskSpace::Bytes(9), ..keep };
        let rules = newer.rules_on(TERABYTE).unwrap();
        assert_eq!((rules[3].reserved_space, rules[3].max_used_space), (0, 9));
        assert_eq!(GcConfig { gc: Some(false), ..newer }.rules_on(TERABYTE).unwrap(), []);
    }

    #[test]
    fn policies_are_read_as_written() {
        let read = |text: &str| toml::from_str::<GcPolicy>(text).map_err(|error| error.to_string());
        let policy = read(
            "all = true\nfilters = [\"type==regular\"]\nkeepDuration = \"48h\"\nkeepBytes = 1000\n\
             maxUsedSpace = \"1%\"\nminFreeSpace = \"2GB\"",
        );
        let config = GcConfig { policies: vec![policy.unwrap()], ..GcConfig::default() };
        let expected = PruneOptions {
            all: true,
            filters: vec!["type==regular".into()],
            keep_duration: 2 * DAY,
            reserved_space: 1000,
            max_used_space: 11_000_000_000,
            min_free_space: 2 << 30,
        };
        assert_eq!(config.rules_on(TERABYTE).unwrap(), [expected]);
        assert_eq!(read("keepDuration = 3600").unwrap().keep_duration.0, Duration::from_secs(3600));
        for (bad, told) in [
            ("keepduration = 1", "keepduration"),
            ("maxUsedSpace = \"lots\"", "lots"),
            ("keepBytes = -1", "-1"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        let unreadable = GcPolicy { filters: vec!["type~=(".into()], ..GcPolicy::default() };
        let config = GcConfig { policies: vec![unreadable], ..GcConfig::default() };
        assert!(config.rules_on(0).unwrap_err().contains("type~=("));
    }

    #[test]
    fn the_flag_has_three_numbers() {
        let limits = |text: &str| {
            let mut config = GcConfig::default();
            config.set_keep_storage(text).map(|()| {
                [config.reserved_space, config.min_free_space, config.max_used_space]
                    .map(|space| space.bytes(0) / 1_000_000)
            })
        };
        assert_eq!(limits("2000").unwrap(), [2000, 0, 0]);
        assert_eq!(limits("1, 2,3").unwrap(), [1, 2, 3]);
        assert!(limits("1,2,3,4").is_err() && limits("").is_err() && limits("1GB").is_err());
    }
}
