//! A stream cut where its bytes say so.

use std::io::{self, Write};

use fastcdc::v2020::FastCDC;

const SMALLEST: usize = 16 << 10;
const AVERAGE: usize = 64 << 10;
/// No chunk is larger: what is read of one is bounded by this.
pub const LARGEST_CHUNK: usize = 256 << 10;
/// Cut together, so that little is moved.
const BUFFER: usize = 4 << 20;

/// Takes chunks in the order of the stream.
pub trait Chunks {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// What is written to it goes on in chunks.
pub struct Chunker<C> {
    buffer: Vec<u8>,
    chunks: C,
}

impl<C: Chunks> Chunker<C> {
    pub fn new(chunks: C) -> Self {
        Self { buffer: Vec::with_capacity(BUFFER), chunks }
    }

    /// The rest, which ends where the stream does.
    pub fn finish(mut self) -> io::Result<C> {
        self.cut(0)?;
        Ok(self.chunks)
    }

    /// Cuts until no more than `keep` bytes are left, for which more may come.
    fn cut(&mut self, keep: usize) -> io::Result<()> {
        let length = self.buffer.len();
        let cutter = FastCDC::new(&self.buffer, SMALLEST, AVERAGE, LARGEST_CHUNK);
        let mut start = 0;
        while length - start > keep {
            let (_, end) = cutter.cut(start, length - start);
            self.chunks.chunk(&self.buffer[start..end])?;
            start = end;
        }
        self.buffer.drain(..start);
        Ok(())
    }
}

impl<C: Chunks> Write for Chunker<C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BUFFER - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == BUFFER {
            // What could still become a larger chunk waits for what comes.
            self.cut(LARGEST_CHUNK)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[derive(Default)]
    struct All(Vec<Vec<u8>>);

    impl Chunks for All {
        fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.push(bytes.to_vec());
            Ok(())
        }
    }

    fn noise(length: usize, mut state: u64) -> Vec<u8> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(&mut next).flatten().take(length).collect()
    }

    fn chunks(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut chunker = Chunker::new(All::default());
        bytes.chunks(piece).for_each(|piece| chunker.write_all(piece).unwrap());
        chunker.finish().unwrap().0
    }

    #[test]
    fn chunks_are_the_stream_however_it_is_written() {
        let stream = noise(9 << 20, 7);
        let whole = chunks(&stream, stream.len());
        assert_eq!(whole.concat(), stream);
        assert_eq!(whole, chunks(&stream, 1000));
        assert!(whole.iter().all(|chunk| chunk.len() <= LARGEST_CHUNK));
        assert!(chunks(b"", 1).is_empty());
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let before = noise(8 << 20, 3);
        let mut after = before.clone();
        after.splice(3_000_000..3_000_000, b"inserted".iter().copied());
        let known: HashSet<_> = chunks(&before, 1 << 16).into_iter().collect();
        let new: usize = chunks(&after, 1 << 16).iter().filter(|c| !known.contains(*c)).map(Vec::len).sum();
        assert!(new < after.len() / 20, "{new} of {}", after.len());
    }
}
