//! Which language a file is written in: the reference's, or that with extensions.
//!
//! Nothing in a file turns extensions on: whoever runs the frontend does. Without them every file means
//! what it means to the reference.
//!
//! | extension | here |
//! |---|---|
//! | variables in `COPY --from=` and `RUN --mount=from=` | `instruction/mount`, `lower/stages` |
//! | `INCLUDE [--from=<context>] <file>` | `instruction/include`, `draft`, `plan/include` |
//! | `--no-cache`, `--cache-ttl` of `ADD`, `COPY` and `RUN` | `instruction/cache_control`, `lower/period` |

/// The default is the reference's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Language {
    pub extensions: Option<Extensions>,
}

/// What extensions need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// Seconds since 1970, for `--cache-ttl`.
    pub now: i64,
}

impl Language {
    /// With extensions, at a time in seconds since 1970.
    pub fn extended(now: i64) -> Self {
        Self { extensions: Some(Extensions { now }) }
    }

    pub fn is_extended(self) -> bool {
        self.extensions.is_some()
    }
}
