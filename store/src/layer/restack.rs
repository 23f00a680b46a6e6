//! What one snapshot changed, done again on top of another: how trees are merged.
//!
//! The changes travel as a layer that is never stored: written by one thread, applied by the other.

use std::io::{BufWriter, Write};
use std::os::fd::AsFd;

use super::apply::{ApplyOptions, Limits, apply};
use super::diff::DiffOptions;
use super::of_ref::{diff, open};
use super::unpack::target_of;
use super::{Expected, LayerError};
use crate::refs::{Active, Ref};

/// Applies what `layer` changed against its parent to `onto`. Blocks. Times are kept to the second.
pub fn restack(layer: &Ref, onto: &Active) -> Result<(), LayerError> {
    let root = open(&onto.upper_dir())?;
    let options = ApplyOptions {
        target: target_of(onto, onto.parent().is_none()),
        limits: Limits::default(),
        expected: Expected::default(),
    };
    let (mut reader, writer) = std::io::pipe().map_err(LayerError::Output)?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut out = BufWriter::with_capacity(1 << 18, writer);
            diff(layer, DiffOptions::default(), &mut out)?;
            out.flush().map_err(LayerError::Output)
        });
        let applied = apply(&mut reader, root.as_fd(), options);
        // Whoever still writes must not wait for us.
        drop(reader);
        let written =
            writing.join().unwrap_or_else(|_| Err(LayerError::Output(std::io::ErrorKind::Other.into())));
        match (applied, written) {
            (Ok(_), written) => written,
            (Err(error), _) => Err(error),
        }
    })
}
