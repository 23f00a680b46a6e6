//! Limits on what a step may use, as the wire has them (`pb.LinuxResources`). Zero or "" means no limit.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes.
    pub memory: i64,
    /// Bytes of memory and swap together; -1 is unlimited.
    pub memory_swap: i64,
    /// Relative weight, 2 to 262144 (1024 is usual).
    pub cpu_shares: u64,
    /// Microseconds.
    pub cpu_period: u64,
    /// Microseconds per period.
    pub cpu_quota: i64,
    /// As in `0-2,4`.
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
}

impl Resources {
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}
