//! Operations as the reference writes its types, in two forms.
//!
//! | | [`Form::Go`] | [`Form::Proto`] |
//! |---|---|---|
//! | written by | `encoding/json` | `protojson` |
//! | read in | provenance, `buildctl debug dump-llb` | the subrequest `frontend.convertllb` |
//! | the operation itself | a member `Op` beside its inputs | a member by its kind |
//! | an action on files | its indices always, the rest in `Action` | a member by its kind |
//! | enumerations | numbers | names |
//! | 64 bits | numbers | text |
//!
//! In both, bytes are base64, and members that say nothing are left out.

mod file;
mod members;
mod operation;

pub use members::{Form, Members};
pub use operation::{location, operation};
