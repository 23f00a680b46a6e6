//! Stand-ins for what a build talks to: an in-memory registry that keeps the distribution
//! specification well enough for every test, and can be told to misbehave; the cache of GitHub Actions.
//!
//! A fake is a product: it counts what it is asked, so that a test can say what must *not* happen
//! (an upload of a blob that is there, a token asked for twice).

pub mod actions;
pub mod registry;

pub use actions::FakeActions;
pub use registry::{Auth, FakeRegistry, Fault, FaultKind, Logged, Options, Origin};
