//! Limits on what one step may say.
//!
//! There are none unless they are asked for, with the names and the meaning of BuildKit's
//! `BUILDKIT_STEP_LOG_MAX_SIZE` and `BUILDKIT_STEP_LOG_MAX_SPEED`: bytes of each stream of a step, and bytes for
//! each second that it has begun. What is beyond is read and dropped, so that the step does not stall; the end
//! of it is kept for the case that the step fails.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

/// How much of the end is kept.
const KEPT: usize = 256 << 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes.
    pub size: Option<u64>,
    /// Bytes for each second.
    pub speed: Option<u64>,
}

/// One stream of a step and what of it goes into the log.
pub(super) struct Clip {
    limits: LogLimits,
    began: Instant,
    seen: u64,
    clipping: bool,
    end: VecDeque<u8>,
}

impl LogLimits {
    /// `None` if nothing is limited.
    pub(super) fn clip(self) -> Option<Clip> {
        (self != Self::default()).then(|| Clip {
            limits: self,
            began: Instant::now(),
            seen: 0,
            clipping: false,
            end: VecDeque::new(),
        })
    }
}

impl Clip {
    /// What of `piece` is shown, and a note if that is not all of it.
    pub(super) fn admit(&mut self, piece: &[u8]) -> (Bytes, Option<String>) {
        let (most, reason) = self.most();
        let left = usize::try_from(most.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        self.seen += piece.len() as u64;
        let (shown, dropped) = piece.split_at(left.min(piece.len()));
        if !self.end.is_empty() || !dropped.is_empty() {
            self.end.extend(piece);
            self.end.drain(..self.end.len().saturating_sub(KEPT));
        }
        let newly = !self.clipping && !dropped.is_empty();
        self.clipping = !dropped.is_empty();
        (
            Bytes::copy_from_slice(shown),
            newly.then(|| format!("\n[output clipped, log limit {reason} reached]\n")),
        )
    }

    /// The end of what was said, if not all of it was shown.
    pub(super) fn into_end(self) -> Bytes {
        Vec::from(self.end).into()
    }

    /// Bytes that may be shown by now, and which limit that is.
    fn most(&self) -> (u64, String) {
        let seconds = self.began.elapsed().as_secs() + 1;
        let by_speed = self.limits.speed.map(|speed| speed.saturating_mul(seconds));
        match (self.limits.size, by_speed, self.limits.speed) {
            (Some(size), Some(most), Some(speed)) if most <= size => (most, format!("{}/s", units(speed))),
            (Some(size), _, _) => (size, units(size)),
            (None, Some(most), Some(speed)) => (most, format!("{}/s", units(speed))),
            _ => (u64::MAX, String::new()),
        }
    }
}

fn units(bytes: u64) -> String {
    match bytes {
        bytes if bytes > 0 && bytes % (1 << 20) == 0 => format!("{}MiB", bytes >> 20),
        bytes if bytes > 0 && bytes % (1 << 10) == 0 => format!("{}KiB", bytes >> 10),
        bytes => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_limited_unless_asked() {
        assert!(LogLimits::default().clip().is_none());
    }

    #[test]
    fn what_is_beyond_the_size_is_dropped_and_its_end_kept() {
        let mut clip = LogLimits { size: Some(2048), speed: None }.clip().unwrap();
        assert_eq!(clip.admit(&[b'a'; 2000]), (vec![b'a'; 2000].into(), None));
        let (shown, note) = clip.admit(&[b'b'; 100]);
        assert_eq!(shown.len(), 48);
        assert_eq!(note.unwrap(), "\n[output clipped, log limit 2KiB reached]\n");
        assert_eq!(clip.admit(&vec![b'c'; KEPT]), (Bytes::new(), None));
        assert_eq!(clip.admit(b"the end"), (Bytes::new(), None));
        let end = clip.into_end();
        assert!(end.len() == KEPT && end.ends_with(b"cthe end"));
    }

    #[test]
    fn the_lower_limit_is_named() {
        let mut clip = LogLimits { size: Some(1 << 20), speed: Some(1024) }.clip().unwrap();
        assert!(clip.admit(&[0; 4096 * 1024]).1.unwrap().contains("1KiB/s"));
        let mut clip = LogLimits { size: Some(1 << 20), speed: Some(1 << 30) }.clip().unwrap();
        assert!(clip.admit(&[0; 4096 * 1024]).1.unwrap().contains("limit 1MiB"));
    }
}
