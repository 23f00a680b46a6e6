//! Cuts what is written into blocks of one size and passes them on; the size never depends on how
//! the writer cut its writes.

use std::io::{self, Write};
use std::sync::Arc;

/// Bytes of a block. Large enough that beginning anew costs nothing, small enough to keep all cores fed.
pub(super) const SIZE: usize = 1 << 20;

/// A `Write` that calls `pass` with every full block, and with the rest at the end.
pub(super) struct Blocks<F> {
    current: Vec<u8>,
    passed: bool,
    pass: F,
}

impl<F: FnMut(Arc<Vec<u8>>) -> io::Result<()>> Blocks<F> {
    pub(super) fn new(pass: F) -> Self {
        Self { current: Vec::new(), passed: false, pass }
    }

    /// Passes the last block on, if there is one; an empty one if there was none.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.current.is_empty() && self.passed { Ok(()) } else { self.pass_on() }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.passed = true;
        (self.pass)(Arc::new(std::mem::take(&mut self.current)))
    }
}

impl<F: FnMut(Arc<Vec<u8>>) -> io::Result<()>> Write for Blocks<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.current.capacity() == 0 {
            self.current.reserve_exact(SIZE);
        }
        let length = bytes.len().min(SIZE - self.current.len());
        self.current.extend_from_slice(&bytes[..length]);
        if self.current.len() == SIZE {
            self.pass_on()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The other side has stopped; its own error tells why.
pub(super) fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the layer's reader has stopped")
}
