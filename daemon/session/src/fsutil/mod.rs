//! The file-transfer protocol: how a tree crosses a session.
//!
//! ```text
//! sender                                   receiver
//! STAT path, mode, size, …   (sorted)  →   compare with what is here
//! STAT (empty: that was all)           →
//!                                      ←   REQ id      (the id-th STAT; regular files only)
//! DATA id, bytes … DATA id, (empty)    →   write
//!                                      ←   FIN         all is here
//! FIN                                  →
//! ```
//!
//! Stats come in the order of a depth-first walk with sorted names. Modes are Go's `os.FileMode`
//! bits, see [`mode`]. Paths are relative, with `/`, and never contain `..`; a receiver checks that,
//! and every file operation goes through directory descriptors that follow no symlink.

mod batch;
pub mod filter;
mod follow;
pub mod index;
mod metadata;
pub mod mode;
pub mod receive;
pub mod send;
pub mod walk;
mod write;
mod xattrs;

pub use batch::{BatchSender, channel};
pub use filter::Filter;
pub use receive::{BeforeChange, ReceiveOptions, Received, StartHash, Wanting, receive};
pub use send::{Directory, Source, send};
