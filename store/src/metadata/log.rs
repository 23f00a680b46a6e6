//! What SQLite does not tell of its log: that the middle of it is damaged.
//!
//! Each frame of the log carries a checksum that goes on from the frame before, and SQLite reads up to the first
//! that does not fit. That is right for the rest of a write that a kill cut off, which is the last thing in the
//! file. But when whole frames of the same log come *after* one that does not fit, it was whole once, and what
//! was committed is being lost without a word. This looks for them.
//!
//! A flipped bit in the very last frame cannot be told from a torn write, and counts as one.
//!
//! The format is that of <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::error::{At as _, Result, if_exists};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// Where a log is damaged, and what is lost with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The first byte of the frame that does not fit.
    pub(crate) at: u64,
    /// Transactions after it.
    pub(crate) transactions: u64,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "is damaged at byte {}: at least {} later transactions are lost",
            self.at, self.transactions
        )
    }
}

/// The damage in the log at `path`, if there is any; a log that does not exist is whole.
pub(crate) fn examine(path: &Path) -> Result<Option<Damage>> {
    let Some(file) = if_exists(File::open(path).at("open", path))? else { return Ok(None) };
    scan(BufReader::with_capacity(1 << 18, file)).at("read", path)
}

fn scan(mut log: impl Read) -> io::Result<Option<Damage>> {
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let magic = word(&header, 0);
    let order = Order { big: magic & 1 == 1 };
    let page = word(&header, 8) as usize;
    let mut sums = order.add((0, 0), &header[..24]);
    if magic & !1 != MAGIC || !(512..=65536).contains(&page) || sums != (word(&header, 24), word(&header, 28))
    {
        // It is written before any frame: if one is there, it was whole.
        let mut frame = [0; FRAME_HEADER];
        return Ok(fill(&mut log, &mut frame)?.then_some(Damage { at: 0, transactions: 0 }));
    }
    let salts = (word(&header, 16), word(&header, 20));
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut at = HEADER as u64;
    let mut damage: Option<Damage> = None;
    let mut confirmed = false;
    while fill(&mut log, &mut frame)? {
        let (start, content) = frame.split_at(FRAME_HEADER);
        let ours = (word(start, 8), word(start, 12)) == salts;
        let sum = order.add(order.add(sums, &start[..8]), content);
        let stored = (word(start, 16), word(start, 20));
        let fits = ours && sum == stored;
        match &mut damage {
            None if !fits => damage = Some(Damage { at, transactions: 0 }),
            Some(damage) if fits => {
                confirmed = true;
                damage.transactions += u64::from(word(start, 4) != 0);
            }
            _ => {}
        }
        // After one that does not fit, the next is measured by what this one claims.
        sums = stored;
        at += frame.len() as u64;
    }
    Ok(damage.filter(|_| confirmed))
}

/// Whether there was as much.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The byte order that checksums are computed in.
struct Order {
    big: bool,
}

impl Order {
    fn add(&self, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let number = |word: &[u8]| {
            let word = word.try_into().unwrap_or_default();
            if self.big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(number(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(number(&pair[4..])).wrapping_add(first);
        }
        (first, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log of a database with some transactions in it.
    fn log() -> Vec<u8> {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("db");
        let db = rusqlite::Connection::open(&path).unwrap();
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        db.execute_batch("CREATE TABLE t (x)").unwrap();
        for number in 0..20 {
            db.execute("INSERT INTO t VALUES (?1)", [number]).unwrap();
        }
        std::fs::read(root.path().join("db-wal")).unwrap()
    }

    #[test]
    fn a_whole_log_and_one_that_was_cut_off_are_fine() {
        let log = log();
        for length in [0, 10, 32, 40, log.len() - 4200, log.len() - 1, log.len()] {
            assert_eq!(scan(&log[..length]).unwrap(), None, "{length} of {}", log.len());
        }
    }

    #[test]
    fn a_flipped_bit_before_the_last_frame_is_found() {
        let log = log();
        let frame = 24 + word(&log, 8) as usize;
        let last = log.len() - frame;
        for at in (0..last).step_by(397) {
            let mut log = log.clone();
            log[at] ^= 4;
            let damage = scan(&log[..]).unwrap().unwrap_or_else(|| panic!("byte {at} of {}", log.len()));
            let start = at.saturating_sub(32) / frame * frame + 32;
            assert!(damage.at == start as u64 || at < 32 && damage.at == 0, "{at}: {damage:?}");
        }
    }
}
