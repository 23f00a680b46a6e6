//! How many threads are worth starting.

use std::sync::OnceLock;
use std::thread;

/// As many threads as there are cores for this process. Found out once: the answer takes a look at the control groups,
/// which is a dozen calls of the kernel, and it is asked for in the middle of things.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}
