//! Maps of sparse files: where the stored bytes go in the file they come from.

use super::pax;

/// How many pieces one file may have.
const MOST_PIECES: usize = 1 << 16;

/// A run of stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub offset: u64,
    pub length: u64,
}

/// The pieces of a file of `size` bytes, checked: ascending, apart, inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    pub size: u64,
    pub pieces: Vec<Piece>,
}

impl Map {
    /// `stored` is how many bytes the archive holds for it.
    pub fn new(size: u64, pieces: Vec<Piece>, stored: u64) -> Option<Self> {
        let (mut end, mut sum) = (0, 0u64);
        for piece in &pieces {
            if piece.offset < end {
                return None;
            }
            end = piece.offset.checked_add(piece.length)?;
            sum = sum.checked_add(piece.length)?;
        }
        (end <= size && sum == stored && pieces.len() <= MOST_PIECES).then_some(Self { size, pieces })
    }
}

/// What PAX records say about sparseness.
#[derive(Default, Debug)]
pub struct Records {
    pub major: Option<u64>,
    pub size: Option<u64>,
    pub name: Option<Vec<u8>>,
    numbers: Vec<u64>,
    any: bool,
}

impl Records {
    /// Takes a `GNU.sparse.*` record; `None` if it is malformed.
    pub fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        self.any = true;
        match key {
            b"GNU.sparse.major" => self.major = Some(pax::decimal(value)?),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.size = Some(pax::decimal(value)?),
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.push(pax::decimal(value)?)?,
            b"GNU.sparse.map" => {
                for number in value.split(|b| *b == b',') {
                    self.push(pax::decimal(number)?)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn push(&mut self, number: u64) -> Option<()> {
        self.numbers.push(number);
        (self.numbers.len() <= 2 * MOST_PIECES).then_some(())
    }

    /// Is the map at the start of the data (version 1.0)?
    pub fn map_is_in_data(&self) -> bool {
        self.major == Some(1)
    }

    pub fn is_sparse(&self) -> bool {
        self.any && (self.map_is_in_data() || !self.numbers.is_empty() || self.size.is_some())
    }

    /// The map of versions 0.0 and 0.1.
    pub fn map(&self, stored: u64) -> Option<Map> {
        Map::new(self.size?, pieces(&self.numbers)?, stored)
    }
}

/// Offset, length, offset, length, …
pub fn pieces(numbers: &[u64]) -> Option<Vec<Piece>> {
    if !numbers.len().is_multiple_of(2) {
        return None;
    }
    Some(numbers.chunks_exact(2).map(|pair| Piece { offset: pair[0], length: pair[1] }).collect())
}

/// Reads the map of version 1.0, lines of decimals, from blocks that `next_block` hands out.
pub fn read_map<E>(
    mut next_block: impl FnMut() -> Result<[u8; super::BLOCK], E>,
) -> Result<Option<Vec<Piece>>, E> {
    let mut numbers = Vec::new();
    let mut line = Vec::new();
    let mut wanted = None;
    loop {
        for byte in next_block()? {
            match byte {
                b'\n' => {
                    let Some(number) = pax::decimal(&line) else { return Ok(None) };
                    line.clear();
                    match wanted {
                        None if number <= MOST_PIECES as u64 => wanted = Some(number as usize * 2),
                        None => return Ok(None),
                        Some(_) => numbers.push(number),
                    }
                    if wanted == Some(numbers.len()) {
                        return Ok(pieces(&numbers));
                    }
                }
                byte if line.len() < 20 => line.push(byte),
                _ => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_or_outlying_pieces_are_refused() {
        let map = |numbers: &[u64], size, stored| Map::new(size, pieces(numbers).unwrap(), stored);
        assert!(map(&[0, 5, 5, 5], 10, 10).is_some());
        assert!(map(&[0, 5, 4, 5], 10, 10).is_none());
        assert!(map(&[0, 5, 6, 5], 10, 10).is_none());
        assert!(map(&[0, 5], 10, 6).is_none());
        assert!(map(&[u64::MAX, 5], u64::MAX, 5).is_none());
    }
}
