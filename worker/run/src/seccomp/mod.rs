//! The system call filter of sandboxed steps, assembled once per daemon without a C library.
//!
//! | file | holds |
//! |---|---|
//! | `allowed` | which calls, and their numbers |
//! | `profile` | the rule for every number of an architecture, with the calls whose arguments decide |
//! | `oci` | the same profile, as an OCI runtime reads it |
//! | `assemble` | rules -> BPF: a binary search over ranges of numbers |
//!
//! The kernel runs the program once for every number when it is loaded (to remember which are always
//! allowed), so a search of eight comparisons instead of a chain of hundreds is also cheaper to load: the
//! chain that libseccomp makes costs runc a sixth of a whole step.

mod allowed;
mod assemble;
mod oci;
mod profile;

use std::sync::OnceLock;

pub(crate) use oci::oci_profile;

/// The program as `struct sock_filter`s, ready for `seccomp(2)`; none where we know no numbers for this machine.
pub(crate) fn default_filter() -> Option<&'static [u8]> {
    static FILTER: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    FILTER
        .get_or_init(|| {
            let program = assemble::program(profile::architectures()?);
            Some(program.into_iter().flat_map(assemble::Instruction::bytes).collect())
        })
        .as_deref()
}
