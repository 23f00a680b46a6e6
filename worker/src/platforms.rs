//! What a worker builds for.

use std::sync::OnceLock;

use slipway_model::Platform;

/// What the configuration says, or else what runs on this host, which is found out when somebody wants to know.
#[derive(Debug, Default)]
pub struct Platforms {
    configured: Vec<Platform>,
    found: OnceLock<Vec<Platform>>,
}

impl Platforms {
    /// An empty list is what runs.
    pub fn new(configured: Vec<Platform>) -> Self {
        Self { configured, found: OnceLock::new() }
    }

    /// The one for operations that name none.
    pub fn first(&self) -> Platform {
        self.configured.first().cloned().unwrap_or_else(Platform::host)
    }

    /// All of them, the first one first. The first call tries programs, which takes a moment.
    pub fn all(&self) -> &[Platform] {
        if self.configured.is_empty() { self.runnable() } else { &self.configured }
    }

    /// Whether programs of this architecture run here, whatever the configuration offers.
    pub fn runs(&self, architecture: &str) -> bool {
        // Nothing has to be tried for the host's own.
        architecture == Platform::host().architecture
            || self.runnable().iter().any(|platform| platform.architecture == architecture)
    }

    fn runnable(&self) -> &[Platform] {
        self.found.get_or_init(slipway_run::runnable_platforms)
    }
}
