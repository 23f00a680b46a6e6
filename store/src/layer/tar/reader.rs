//! Bytes to entries: V7, USTAR, GNU long names, PAX, and sparse members in all four notations.
//!
//! One pass, nothing kept but the current header. Every header is bounded ([`pax::LARGEST`]) and
//! checked against its checksum; a size that would run past the end is found out as truncation.

use std::io::{self, BufRead};

use super::entry::{Entry, Kind};
use super::sparse::{self, Map, Piece};
use super::{BLOCK, checksums, field, pax};
use crate::layer::LayerError;

/// Reads an archive from `R`.
pub struct Reader<R> {
    input: R,
    /// Bytes of the current member's data that are not read yet, and its padding after them.
    stored: u64,
    padding: u64,
    sparse: Option<Map>,
    largest_name: usize,
}

/// What the headers in front of a member said about it.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<super::entry::Time>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: sparse::Records,
}

impl<R: BufRead> Reader<R> {
    /// `largest_name` bounds names and link targets, in bytes.
    pub fn new(input: R, largest_name: usize) -> Self {
        Self { input, stored: 0, padding: 0, sparse: None, largest_name }
    }

    /// The next member, its predecessor's data skipped; `None` at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        self.skip(self.stored + self.padding)?;
        (self.stored, self.padding, self.sparse) = (0, 0, None);
        let mut extension = Extension::default();
        loop {
            let Some(block) = self.header_block()? else { return Ok(None) };
            match block[field::TYPE] {
                b'x' | b'X' => self.read_pax(&block, &mut extension)?,
                b'g' => {
                    self.special(&block)?;
                }
                b'L' => extension.name = Some(until_nul(&self.special(&block)?).to_vec()),
                b'K' => extension.link = Some(until_nul(&self.special(&block)?).to_vec()),
                _ => return self.member(&block, extension).map(Some),
            }
        }
    }

    /// Hands out the current member's data: where in the file, and the bytes. Holes are left out.
    pub fn data(
        &mut self,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        let pieces = match self.sparse.take() {
            Some(map) => map.pieces,
            None => vec![Piece { offset: 0, length: self.stored }],
        };
        for piece in pieces {
            let mut offset = piece.offset;
            let end = piece.offset + piece.length;
            while offset < end {
                let bytes = self.input.fill_buf().map_err(LayerError::Input)?;
                let length = bytes.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
                if length == 0 {
                    return Err(LayerError::Truncated);
                }
                each(offset, &bytes[..length])?;
                self.input.consume(length);
                offset += length as u64;
            }
            self.stored -= piece.length;
        }
        Ok(())
    }

    /// What it reads from.
    pub fn inner_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// What follows the archive, for whoever hashes all of it.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn member(&mut self, block: &[u8; BLOCK], extension: Extension) -> Result<Entry, LayerError> {
        let ustar = block[field::MAGIC].starts_with(b"ustar\0");
        let flag = block[field::TYPE];
        let mut name = until_nul(&block[field::NAME]).to_vec();
        let prefix = until_nul(&block[field::PREFIX]);
        if ustar && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        let name = extension.sparse.name.clone().or(extension.name).unwrap_or(name);
        let bad = |what: &str| LayerError::malformed(&name, format!("its header has an invalid {what}"));
        let number = |range: std::ops::Range<usize>, what| number(&block[range]).ok_or_else(|| bad(what));
        let kind = match flag {
            b'0' | 0 | b'7' if name.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Err(LayerError::malformed(
                    &name,
                    format!("unknown entry type {:?}", char::from(other)),
                ));
            }
        };
        let unsigned =
            |range, what| number(range, what).and_then(|n| u64::try_from(n).map_err(|_| bad(what)));
        let stored = match extension.size {
            Some(size) => size,
            None => unsigned(field::SIZE, "size")?,
        };
        // Go and GNU tar agree: only files have data, whatever the size field says.
        let stored = if kind == Kind::File { stored } else { 0 };
        let device = |range, what| {
            let number =
                if ustar || block[field::MAGIC].starts_with(b"ustar") { unsigned(range, what)? } else { 0 };
            u32::try_from(number).map_err(|_| bad(what))
        };
        let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let seconds = number(field::MTIME, "time")?;
        let mut entry = Entry {
            kind,
            link: extension.link.unwrap_or_else(|| until_nul(&block[field::LINK]).to_vec()),
            mode: (unsigned(field::MODE, "mode")? & 0o7777) as u32,
            uid: extension.uid.map_or_else(|| unsigned(field::UID, "owner"), Ok)?,
            gid: extension.gid.map_or_else(|| unsigned(field::GID, "group"), Ok)?,
            size: stored,
            modified: extension.modified.unwrap_or(super::entry::Time { seconds, nanoseconds: 0 }),
            device_major: if is_device { device(field::DEVICE_MAJOR, "device")? } else { 0 },
            device_minor: if is_device { device(field::DEVICE_MINOR, "device")? } else { 0 },
            xattrs: extension.xattrs,
            name: name.clone(),
        };
        for (text, what) in [(&entry.name, "name"), (&entry.link, "link target")] {
            if text.len() > self.largest_name {
                let path = String::from_utf8_lossy(&text[..self.largest_name.min(64)]).into_owned();
                return Err(LayerError::Limit { path, what, limit: self.largest_name });
            }
        }
        self.stored = stored;
        self.padding = padding(stored);
        if flag == b'S' {
            self.old_gnu_sparse(block, &mut entry)?;
        } else if kind == Kind::File && extension.sparse.is_sparse() {
            self.pax_sparse(&extension.sparse, &mut entry)?;
        }
        Ok(entry)
    }

    fn read_pax(&mut self, block: &[u8; BLOCK], extension: &mut Extension) -> Result<(), LayerError> {
        let data = self.special(block)?;
        let bad = || LayerError::malformed(until_nul(&block[field::NAME]), "malformed extended header");
        for (key, value) in pax::decode(&data).ok_or_else(bad)? {
            match key {
                // An empty value takes a record back.
                b"path" => extension.name = (!value.is_empty()).then(|| value.to_vec()),
                b"linkpath" => extension.link = (!value.is_empty()).then(|| value.to_vec()),
                b"size" => extension.size = Some(pax::decimal(value).ok_or_else(bad)?),
                b"uid" => extension.uid = Some(pax::decimal(value).ok_or_else(bad)?),
                b"gid" => extension.gid = Some(pax::decimal(value).ok_or_else(bad)?),
                b"mtime" => extension.modified = Some(pax::time(value).ok_or_else(bad)?),
                key if key.starts_with(b"GNU.sparse.") => {
                    extension.sparse.take(key, value).ok_or_else(bad)?
                }
                key => {
                    if let Some(name) = key.strip_prefix(pax::XATTR_PREFIX) {
                        extension.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        if [&extension.name, &extension.link].into_iter().flatten().any(|text| text.contains(&0)) {
            return Err(bad());
        }
        Ok(())
    }

    fn old_gnu_sparse(&mut self, block: &[u8; BLOCK], entry: &mut Entry) -> Result<(), LayerError> {
        let bad = |entry: &Entry| LayerError::malformed(&entry.name, "invalid map of a sparse file");
        let mut numbers = Vec::new();
        let mut take = |bytes: &[u8]| -> Option<()> {
            for piece in bytes.chunks_exact(24).take_while(|piece| piece[0] != 0) {
                numbers.push(u64::try_from(number(&piece[..12])?).ok()?);
                numbers.push(u64::try_from(number(&piece[12..])?).ok()?);
            }
            (numbers.len() <= 1 << 17).then_some(())
        };
        take(&block[386..482]).ok_or_else(|| bad(entry))?;
        let mut more = block[482] != 0;
        while more {
            let block = self.block()?.ok_or(LayerError::Truncated)?;
            take(&block[..504]).ok_or_else(|| bad(entry))?;
            more = block[504] != 0;
        }
        let size = number(&block[483..495]).and_then(|n| u64::try_from(n).ok()).ok_or_else(|| bad(entry))?;
        let map = sparse::pieces(&numbers).and_then(|pieces| Map::new(size, pieces, self.stored));
        self.adopt(map.ok_or_else(|| bad(entry))?, entry);
        Ok(())
    }

    fn pax_sparse(&mut self, records: &sparse::Records, entry: &mut Entry) -> Result<(), LayerError> {
        let bad = || LayerError::malformed(&entry.name, "invalid map of a sparse file");
        let map = if records.map_is_in_data() {
            let pieces = sparse::read_map(|| {
                self.stored = self.stored.checked_sub(BLOCK as u64).ok_or(LayerError::Truncated)?;
                self.block()?.ok_or(LayerError::Truncated)
            })?;
            let size = records.size.ok_or_else(bad)?;
            pieces.and_then(|pieces| Map::new(size, pieces, self.stored))
        } else {
            records.map(self.stored)
        };
        let map = map.ok_or_else(bad)?;
        self.adopt(map, entry);
        Ok(())
    }

    fn adopt(&mut self, map: Map, entry: &mut Entry) {
        entry.size = map.size;
        self.sparse = Some(map);
    }

    /// The data of a header that speaks of the next member.
    fn special(&mut self, block: &[u8; BLOCK]) -> Result<Vec<u8>, LayerError> {
        let name = until_nul(&block[field::NAME]);
        let size = number(&block[field::SIZE])
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| LayerError::malformed(name, "its header has an invalid size"))?;
        if size > pax::LARGEST {
            let path = String::from_utf8_lossy(name).into_owned();
            return Err(LayerError::Limit { path, what: "extended header", limit: pax::LARGEST });
        }
        let mut data = vec![0; size];
        self.fill(&mut data)?;
        self.skip(padding(size as u64))?;
        Ok(data)
    }

    /// The next header; `None` after the end marker, or where the input ends without one.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block == [0; BLOCK] {
            return match self.block()? {
                None => Ok(None),
                Some(second) if second == [0; BLOCK] => Ok(None),
                Some(_) => Err(LayerError::malformed(b"", "data follows a lone empty block")),
            };
        }
        let (unsigned, signed) = checksums(&block);
        match number(&block[field::CHECKSUM]) {
            Some(sum) if u64::try_from(sum) == Ok(unsigned) || sum == signed => Ok(Some(block)),
            _ => Err(LayerError::malformed(b"", "not a tar archive, or a damaged one (header checksum)")),
        }
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        if self.input.fill_buf().map_err(LayerError::Input)?.is_empty() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(Some(block))
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), LayerError> {
        self.input.read_exact(into).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => LayerError::Truncated,
            _ => LayerError::Input(error),
        })
    }

    fn skip(&mut self, mut count: u64) -> Result<(), LayerError> {
        while count > 0 {
            let there = self.input.fill_buf().map_err(LayerError::Input)?.len();
            let step = there.min(usize::try_from(count).unwrap_or(usize::MAX));
            if step == 0 {
                return Err(LayerError::Truncated);
            }
            self.input.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|b| *b == 0).next().unwrap_or_default()
}

/// Octal digits between spaces and NULs, or big-endian two's complement when the top bit is set.
fn number(text: &[u8]) -> Option<i64> {
    match text.first() {
        Some(first) if first & 0x80 != 0 => base256(text),
        _ => {
            let digits = text.trim_ascii_start();
            let end = digits.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(digits.len());
            let (digits, rest) = digits.split_at(end);
            if !rest.iter().all(|b| matches!(b, 0 | b' ')) && !rest.starts_with(&[0]) {
                return None;
            }
            digits.iter().try_fold(0i64, |sum, b| match b {
                b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(b - b'0')),
                _ => None,
            })
        }
    }
}

fn base256(text: &[u8]) -> Option<i64> {
    let (first, rest) = text.split_first()?;
    let negative = first & 0x40 != 0;
    // The marker bit goes, the sign bit is spread.
    let first = if negative { first | 0x80 } else { first & 0x7f };
    let mut value = i64::from(first.cast_signed());
    for byte in rest {
        value = value.checked_mul(256)?.checked_add(i64::from(*byte))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b" 644 \0\0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"0000688\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(1 << 33));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xbf, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }

    #[test]
    fn rubbish_is_an_error_not_a_panic() {
        let mut state = 7u64;
        for round in 0..2000 {
            let mut bytes = vec![0u8; 1536];
            for byte in &mut bytes {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                *byte = (state >> 56) as u8;
            }
            bytes[field::TYPE] = b"0123456LKxgS"[round % 12];
            let block: &mut [u8; BLOCK] = (&mut bytes[..BLOCK]).try_into().unwrap();
            if round % 2 == 0 {
                block[field::SIZE].copy_from_slice(b"00000000777\0");
            }
            let sum = format!("{:06o}\0 ", checksums(block).0);
            block[field::CHECKSUM].copy_from_slice(sum.as_bytes());
            let mut reader = Reader::new(&bytes[..], 4096);
            while let Ok(Some(_)) = reader.next_entry() {
                if reader.data(|_, _| Ok(())).is_err() {
                    break;
                }
            }
        }
    }
}
