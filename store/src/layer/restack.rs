//! What one snapshot changed, done again on top of another: how trees are merged.
//!
//! An overlay's upper directory is its changes, so on another overlay snapshot they are the same: its directories are
//! made again, and its files get another name. Nothing is read, and times stay what they are to the nanosecond. What it
//! deleted is deleted by name: a directory that was removed and made again hides what was in it then, and not what the
//! other snapshot has there. Where snapshots are whole trees, the changes travel as a layer that is never stored: written
//! by one thread, applied by the other.

use std::io::{BufWriter, Read, Write};
use std::os::fd::AsFd;

use super::apply::{ApplyOptions, Limits, apply};
use super::between::layer_of;
use super::diff::DiffOptions;
use super::of_ref::{diff, open};
use super::unpack::target_of;
use super::{Expected, LayerError};
use crate::refs::{Active, Ref};
use crate::snapshot::{Changes, link_tree};

/// Applies what `layer` changed against its parent to `onto`, which holds no changes of its own yet. Blocks.
pub fn restack(layer: &Ref, onto: &mut Active) -> Result<(), LayerError> {
    if let Some(mut stored) = layer_of(layer)? {
        return apply_layer(&mut stored, onto);
    }
    match (layer.changes(), onto.changes(), onto.parent()) {
        (Changes::Upper { upper, .. }, Changes::Upper { upper: target, .. }, Some(_))
            if onto.may_share(layer, None)? =>
        {
            onto.shares_files_with(layer, None)?;
            let below = layer.parent().map(Ref::mount).transpose()?;
            Ok(link_tree(&upper, &target, below.as_ref().map(AsFd::as_fd))?)
        }
        _ => stream(layer, onto),
    }
}

fn apply_layer(blob: &mut (dyn Read + Send), onto: &Active) -> Result<(), LayerError> {
    let root = open(&onto.upper_dir())?;
    let options = ApplyOptions {
        target: target_of(onto, onto.parent().is_none()),
        limits: Limits::default(),
        expected: Expected::default(),
    };
    apply(blob, root.as_fd(), options).map(drop)
}

fn stream(layer: &Ref, onto: &Active) -> Result<(), LayerError> {
    let (mut reader, writer) = std::io::pipe().map_err(LayerError::Output)?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut out = BufWriter::with_capacity(1 << 18, writer);
            diff(layer, DiffOptions::default(), &mut out)?;
            out.flush().map_err(LayerError::Output)
        });
        let applied = apply_layer(&mut reader, onto);
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
