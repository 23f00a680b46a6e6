//! Entries to bytes, header for header as Go's `archive/tar` writes them when asked for PAX.
//!
//! | an entry that | is written as |
//! |---|---|
//! | fits USTAR (a long ASCII name may be split at a slash) | one USTAR header |
//! | does not | a PAX header of sorted records, then a USTAR header with what fits |
//!
//! Records: `path` and `linkpath` (over 100 bytes or not ASCII), `uid`, `gid`, `size`, `mtime` (where
//! octal digits do not suffice), `SCHILY.xattr.*`. Times are whole seconds; no access or change times,
//! no user names: they would tell of the machine, not of the image.

use std::io::{self, Read, Write};

use super::entry::{Entry, Pairs, Time};
use super::{BLOCK, checksums, field, pax};
use crate::layer::LayerError;

/// Writes an archive to `W`, in the order it is given.
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// A member and its content: exactly `entry.size` bytes of `content`, else the member is refused.
    pub fn append(&mut self, entry: &Entry, content: &mut impl Read) -> Result<(), LayerError> {
        self.header(entry)?;
        let copied = io::copy(&mut content.take(entry.size), &mut self.out).map_err(LayerError::Output)?;
        if copied != entry.size {
            return Err(LayerError::Changed { path: entry.display(), expected: entry.size, found: copied });
        }
        self.pad(entry.size)
    }

    /// A member without content.
    pub fn header(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let records = pax_records(entry)?;
        let block = match fits_ustar(entry) {
            Some((prefix, name)) => ustar_header(entry, prefix, name, Vec::clone),
            None => {
                self.pax_header(entry, &records)?;
                ustar_header(entry, b"", &entry.name, |bytes| ascii_of(bytes))
            }
        };
        self.out.write_all(&block).map_err(LayerError::Output)
    }

    /// Ends the archive: two empty blocks.
    pub fn finish(mut self) -> Result<W, LayerError> {
        self.out.write_all(&[0; 2 * BLOCK]).map_err(LayerError::Output)?;
        Ok(self.out)
    }

    fn pax_header(&mut self, entry: &Entry, records: &[(Vec<u8>, Vec<u8>)]) -> Result<(), LayerError> {
        let data = pax::encode(records);
        if data.len() > pax::LARGEST {
            return Err(LayerError::Limit {
                path: entry.display(),
                what: "extended header",
                limit: pax::LARGEST,
            });
        }
        let mut name = ascii_of(&pax_name(&entry.name));
        name.truncate(field::NAME.len());
        while name.last() == Some(&b'/') {
            name.pop();
        }
        let mut block = [0; BLOCK];
        put(&mut block[field::NAME], &name);
        octal(&mut block[field::MODE], 0);
        octal(&mut block[field::UID], 0);
        octal(&mut block[field::GID], 0);
        octal(&mut block[field::SIZE], data.len() as u64);
        octal(&mut block[field::MTIME], 0);
        block[field::TYPE] = b'x';
        seal(&mut block);
        self.out.write_all(&block).and_then(|()| self.out.write_all(&data)).map_err(LayerError::Output)?;
        self.pad(data.len() as u64)
    }

    fn pad(&mut self, size: u64) -> Result<(), LayerError> {
        let rest = (size % BLOCK as u64) as usize;
        match rest {
            0 => Ok(()),
            rest => self.out.write_all(&[0; BLOCK][rest..]).map_err(LayerError::Output),
        }
    }
}

/// The USTAR prefix and name, if nothing of `entry` needs a PAX record.
fn fits_ustar(entry: &Entry) -> Option<(&[u8], &[u8])> {
    let plain = entry.xattrs.is_empty()
        && fits_octal(field::UID.len(), entry.uid)
        && fits_octal(field::GID.len(), entry.gid)
        && fits_octal(field::SIZE.len(), entry.size)
        && time_fits(entry)
        && is_ascii(&entry.link)
        && entry.link.len() <= field::LINK.len()
        && is_ascii(&entry.name);
    if !plain {
        return None;
    }
    if entry.name.len() <= field::NAME.len() { Some((b"", &entry.name)) } else { split_name(&entry.name) }
}

/// Splits at the last slash that leaves at most 155 bytes before and 100 after.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let longest = field::PREFIX.len() + 1;
    let searched = match name.len() {
        length if length > longest => longest,
        length if name.ends_with(b"/") => length - 1,
        length => length,
    };
    let at = name[..searched].iter().rposition(|b| *b == b'/')?;
    let rest = name.len() - at - 1;
    let fits = at > 0 && at <= field::PREFIX.len() && rest > 0 && rest <= field::NAME.len();
    fits.then(|| (&name[..at], &name[at + 1..]))
}

fn pax_records(entry: &Entry) -> Result<Pairs, LayerError> {
    let mut records = Pairs::new();
    let mut add = |key: &[u8], value: Vec<u8>| records.push((key.to_vec(), value));
    for (key, text, width) in
        [("path", &entry.name, field::NAME.len()), ("linkpath", &entry.link, field::LINK.len())]
    {
        if text.contains(&0) {
            return Err(LayerError::Malformed {
                path: entry.display(),
                reason: "its name holds a NUL byte".into(),
            });
        }
        if !is_ascii(text) || text.len() > width {
            add(key.as_bytes(), text.clone());
        }
    }
    let numbers =
        [("uid", entry.uid, field::UID), ("gid", entry.gid, field::GID), ("size", entry.size, field::SIZE)];
    for (key, number, range) in numbers {
        if !fits_octal(range.len(), number) {
            add(key.as_bytes(), number.to_string().into_bytes());
        }
    }
    if !time_fits(entry) {
        add(b"mtime", decimal(entry.modified).into_bytes());
    }
    for (name, value) in &entry.xattrs {
        add(&[pax::XATTR_PREFIX, name].concat(), value.clone());
    }
    records.sort();
    Ok(records)
}

/// As PAX writes times: a decimal number, of as many digits as it needs.
fn decimal(Time { seconds, nanoseconds }: Time) -> String {
    let (sign, whole, fraction) = match nanoseconds {
        0 => return seconds.to_string(),
        // What is counted up from the second below zero.
        fraction if seconds < 0 => {
            ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - fraction.min(999_999_999))
        }
        fraction => ("", seconds.unsigned_abs(), fraction),
    };
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').to_owned()
}

fn ustar_header(
    entry: &Entry,
    prefix: &[u8],
    name: &[u8],
    text: impl Fn(&Vec<u8>) -> Vec<u8>,
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block[field::NAME], &text(&name.to_vec()));
    octal(&mut block[field::MODE], u64::from(entry.mode));
    octal(&mut block[field::UID], entry.uid);
    octal(&mut block[field::GID], entry.gid);
    octal(&mut block[field::SIZE], entry.size);
    octal(&mut block[field::MTIME], u64::try_from(entry.modified.seconds).unwrap_or(0));
    block[field::TYPE] = entry.kind.flag();
    put(&mut block[field::LINK], &text(&entry.link));
    octal(&mut block[field::DEVICE_MAJOR], u64::from(entry.device_major));
    octal(&mut block[field::DEVICE_MINOR], u64::from(entry.device_minor));
    put(&mut block[field::PREFIX], prefix);
    seal(&mut block);
    block
}

/// Magic and checksum.
fn seal(block: &mut [u8; BLOCK]) {
    block[field::MAGIC].copy_from_slice(b"ustar\x0000");
    let (sum, _) = checksums(block);
    octal(&mut block[field::CHECKSUM.start..field::CHECKSUM.end - 1], sum);
    block[field::CHECKSUM.end - 1] = b' ';
}

/// As much of `text` as fits. A slash at the cut would make old readers take a file for a directory.
fn put(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    if text.len() > field.len() && field.last() == Some(&b'/') {
        let kept = field.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
        field[kept] = 0;
    }
}

/// Zero-padded octal digits and a NUL; zero if it does not fit (a PAX record has the number then).
fn octal(field: &mut [u8], number: u64) {
    let number = if fits_octal(field.len(), number) { number } else { 0 };
    let digits = format!("{number:0width$o}", width = field.len() - 1);
    field[..digits.len()].copy_from_slice(digits.as_bytes());
}

fn fits_octal(width: usize, number: u64) -> bool {
    number < 1 << ((width - 1) * 3)
}

fn time_fits(entry: &Entry) -> bool {
    entry.modified.nanoseconds == 0
        && u64::try_from(entry.modified.seconds).is_ok_and(|seconds| fits_octal(field::MTIME.len(), seconds))
}

fn is_ascii(text: &[u8]) -> bool {
    text.iter().all(|b| b.is_ascii() && *b != 0)
}

fn ascii_of(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|b| b.is_ascii() && *b != 0).collect()
}

/// `dir/PaxHeaders.0/file`, the customary name of a PAX header.
fn pax_name(name: &[u8]) -> Vec<u8> {
    let (directory, file) = match name.iter().rposition(|b| *b == b'/') {
        Some(at) => name.split_at(at + 1),
        None => (&b""[..], name),
    };
    [directory, b"PaxHeaders.0/", file].concat()
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;

    fn written(entry: &Entry) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.header(entry).unwrap();
        writer.out
    }

    #[test]
    fn a_long_ascii_name_is_split_not_extended() {
        let name = format!("{}/{}", "d".repeat(150), "f".repeat(90));
        let bytes = written(&Entry::new(Kind::File, name.as_bytes()));
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[field::PREFIX.start..field::PREFIX.start + 150], "d".repeat(150).as_bytes());
        let bytes = written(&Entry::new(Kind::File, "f".repeat(101)));
        assert_eq!(bytes[field::TYPE], b'x');
    }

    #[test]
    fn sizes_over_eight_gibibytes_get_a_record() {
        let mut entry = Entry::new(Kind::File, "big");
        entry.size = 1 << 33;
        let bytes = written(&entry);
        assert!(String::from_utf8_lossy(&bytes[BLOCK..2 * BLOCK]).starts_with("19 size=8589934592\n"));
        entry.size -= 1;
        assert_eq!(written(&entry).len(), BLOCK);
    }
}
