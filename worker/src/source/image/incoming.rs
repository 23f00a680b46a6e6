//! A layer's blob as the unpacking thread reads it: from the store, or from its origin and into the
//! store in the same pass.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slipway_model::Descriptor;
use slipway_store::{Ingest, Store};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{LayerProgress, LayerState, Origin, Reader};

/// What is needed to begin.
pub(super) struct Incoming {
    pub(super) store: Store,
    pub(super) origin: Arc<dyn Origin>,
    pub(super) descriptor: Descriptor,
    pub(super) progress: Arc<dyn LayerProgress>,
    /// Ends a read that waits for the network.
    pub(super) stop: CancellationToken,
    pub(super) runtime: Handle,
    pub(super) opened: Arc<AtomicBool>,
}

impl Incoming {
    /// Called from a thread that may block.
    pub(super) fn open(self) -> io::Result<Box<dyn Read + Send>> {
        self.opened.store(true, Ordering::Relaxed);
        let digest = self.descriptor.digest;
        let telling =
            Telling { descriptor: self.descriptor.clone(), progress: self.progress.clone(), current: 0 };
        if let Some(file) = self.store.blobs().open(&digest).map_err(io::Error::other)? {
            return Ok(Box::new(Stored { file, telling }));
        }
        let ingest = self.store.blobs().ingest(Some((digest, Some(self.descriptor.size))));
        let ingest = ingest.map_err(io::Error::other)?;
        let reader = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(stopped()),
                opened = self.origin.open(&self.descriptor) => opened.map_err(io::Error::other),
            }
        })?;
        Ok(Box::new(Arriving {
            reader,
            ingest: Some(ingest),
            telling,
            stop: self.stop,
            runtime: self.runtime,
        }))
    }
}

fn stopped() -> io::Error {
    io::Error::other("the build was stopped")
}

struct Telling {
    descriptor: Descriptor,
    progress: Arc<dyn LayerProgress>,
    current: u64,
}

impl Telling {
    fn more(&mut self, state: LayerState, bytes: usize) {
        self.current += bytes as u64;
        self.progress.layer(&self.descriptor.digest, state, self.current, self.descriptor.size);
    }
}

struct Stored {
    file: File,
    telling: Telling,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.telling.more(LayerState::Unpacking, length);
        Ok(length)
    }
}

struct Arriving {
    reader: Reader,
    /// Gone once the whole blob is in the store.
    ingest: Option<Ingest>,
    telling: Telling,
    stop: CancellationToken,
    runtime: Handle,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(stopped()),
                length = self.reader.read(buffer) => length,
            }
        })?;
        if length > 0 {
            if let Some(ingest) = &mut self.ingest {
                ingest.write_all(&buffer[..length])?;
            }
            self.telling.more(LayerState::Pulling, length);
        } else if let (Some(ingest), false) = (self.ingest.take(), buffer.is_empty()) {
            // The end is only an end if all of it was right.
            ingest.commit().map_err(io::Error::other)?;
        }
        Ok(length)
    }
}
