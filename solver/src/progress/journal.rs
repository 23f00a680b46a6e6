//! What happened to a vertex or an execution, remembered for those who join late.
//!
//! Journals are chained: that of an execution tells those of its vertices, those tell the streams of
//! jobs. Each holds its lock while it tells, so everybody hears everything once and in order; locks
//! are only ever taken in the direction of the chain.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Status, Warning};

/// How much output a journal keeps for late joiners. The beginning goes first.
const LOG_BYTES: usize = 256 * 1024;
/// How many lines of output, whatever their size: each costs memory of its own.
const LOG_CHUNKS: usize = 4096;
/// How many statuses and warnings a journal keeps.
const NOTES: usize = 512;

/// One thing that happened, not yet tied to a vertex.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Began {
        at: SystemTime,
        cached: bool,
    },
    Ended {
        at: SystemTime,
        cached: bool,
        error: Option<Arc<str>>,
    },
    /// Cancelled half-way.
    Cut {
        at: SystemTime,
    },
    /// A result is there, found in a cache or not, whatever is begun and cut short after it.
    Solved {
        cached: bool,
    },
    Log {
        at: SystemTime,
        stream: u32,
        data: Bytes,
    },
    Status {
        at: SystemTime,
        status: Status,
    },
    Warning {
        at: SystemTime,
        warning: Warning,
    },
}

pub(crate) trait Listener: Send + Sync {
    /// Says whether it wants to hear more.
    fn hear(&self, happening: &Happening) -> bool;

    /// Whether nobody will ever hear what this is told.
    fn is_gone(&self) -> bool;

    /// Whether this passes on what it hears to `journal`.
    fn passes_on_to(&self, _journal: &Arc<Journal>) -> bool {
        false
    }
}

#[derive(Default)]
pub(crate) struct Journal(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    past: Past,
    listeners: Vec<Arc<dyn Listener>>,
}

#[derive(Default)]
struct Past {
    began: Option<Happening>,
    ended: Option<Happening>,
    solved: Option<Happening>,
    logs: VecDeque<Happening>,
    log_bytes: usize,
    lost_bytes: usize,
    statuses: VecDeque<Happening>,
    warnings: VecDeque<Happening>,
}

impl Journal {
    pub(crate) fn tell(&self, happening: Happening) {
        let mut inner = self.0.lock();
        inner.listeners.retain(|listener| listener.hear(&happening));
        inner.past.keep(happening);
    }

    pub(crate) fn began(&self, cached: bool) {
        self.tell(Happening::Began { at: SystemTime::now(), cached });
    }

    pub(crate) fn ended(&self, cached: bool, error: Option<String>) {
        self.tell(Happening::Ended { at: SystemTime::now(), cached, error: error.map(Arc::from) });
    }

    pub(crate) fn cut_short(&self) {
        self.tell(Happening::Cut { at: SystemTime::now() });
    }

    /// Tells `listener` what happened so far, then what happens from now on.
    pub(crate) fn join(&self, listener: Arc<dyn Listener>) {
        let mut inner = self.0.lock();
        // Nothing may ever happen again here, while listeners come and go.
        inner.listeners.retain(|listener| !listener.is_gone());
        if inner.past.replay(&*listener) {
            inner.listeners.push(listener);
        }
    }

    /// The same, for a journal; it is not kept alive.
    pub(crate) fn pass_on_to(&self, journal: &Arc<Journal>) {
        self.join(Arc::new(Next(Arc::downgrade(journal))));
    }

    pub(crate) fn pass_on_no_more_to(&self, journal: &Arc<Journal>) {
        self.0.lock().listeners.retain(|listener| !listener.passes_on_to(journal));
    }
}

/// The next journal in the chain.
struct Next(Weak<Journal>);

impl Listener for Next {
    fn hear(&self, happening: &Happening) -> bool {
        self.0.upgrade().is_some_and(|journal| {
            journal.tell(happening.clone());
            true
        })
    }

    fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }

    fn passes_on_to(&self, journal: &Arc<Journal>) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(journal))
    }
}

impl Past {
    fn keep(&mut self, happening: Happening) {
        match happening {
            Happening::Began { .. } => {
                self.began = Some(happening);
                self.ended = None;
            }
            Happening::Ended { .. } | Happening::Cut { .. } => self.ended = Some(happening),
            Happening::Solved { .. } => self.solved = Some(happening),
            Happening::Log { ref data, .. } => {
                self.log_bytes += data.len();
                self.logs.push_back(happening);
                self.trim_logs();
            }
            Happening::Status { ref status, .. } => {
                let same = |known: &Happening| matches!(known, Happening::Status { status: s, .. } if s.id == status.id);
                match self.statuses.iter().position(same) {
                    Some(index) => self.statuses[index] = happening,
                    None => push_bounded(&mut self.statuses, happening),
                }
            }
            Happening::Warning { .. } => push_bounded(&mut self.warnings, happening),
        }
    }

    fn trim_logs(&mut self) {
        while self.log_bytes > LOG_BYTES || self.logs.len() > LOG_CHUNKS {
            let Some(Happening::Log { data, .. }) = self.logs.pop_front() else { return };
            self.log_bytes -= data.len();
            self.lost_bytes += data.len();
        }
    }

    fn replay(&self, listener: &dyn Listener) -> bool {
        let gap = self.logs.front().filter(|_| self.lost_bytes > 0).and_then(|first| match first {
            Happening::Log { at, .. } => {
                let data = format!("[{} bytes of earlier output are left out]\n", self.lost_bytes).into();
                Some(Happening::Log { at: *at, stream: 2, data })
            }
            _ => None,
        });
        let notes = self.statuses.iter().chain(&self.warnings);
        let states = (self.solved.iter().chain(&self.began), &self.ended);
        let mut past = states.0.chain(&gap).chain(&self.logs).chain(notes).chain(states.1);
        past.all(|happening| listener.hear(happening))
    }
}

fn push_bounded(notes: &mut VecDeque<Happening>, note: Happening) {
    if notes.len() == NOTES {
        notes.pop_front();
    }
    notes.push_back(note);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Ear(Mutex<Vec<String>>);

    impl Listener for Ear {
        fn hear(&self, happening: &Happening) -> bool {
            self.0.lock().push(match happening {
                Happening::Began { .. } => "began".into(),
                Happening::Ended { .. } => "ended".into(),
                Happening::Cut { .. } => "cut".into(),
                Happening::Solved { .. } => "solved".into(),
                Happening::Log { data, .. } => String::from_utf8_lossy(data).chars().take(60).collect(),
                Happening::Status { status, .. } => format!("{} {}", status.id, status.current),
                Happening::Warning { .. } => "warning".into(),
            });
            true
        }

        fn is_gone(&self) -> bool {
            self.0.lock().contains(&"gone".to_owned())
        }
    }

    fn log(data: impl Into<Bytes>) -> Happening {
        Happening::Log { at: SystemTime::UNIX_EPOCH, stream: 1, data: data.into() }
    }

    fn status(id: &str, current: u64) -> Happening {
        let status = Status { id: id.into(), current, ..Status::default() };
        Happening::Status { at: SystemTime::UNIX_EPOCH, status }
    }

    #[test]
    fn who_joins_late_hears_what_happened_and_then_what_happens() {
        let journal = Journal::default();
        journal.began(false);
        journal.tell(log("one"));
        journal.tell(status("pull", 1));
        journal.tell(status("pull", 2));
        let ear = Arc::new(Ear::default());
        journal.join(ear.clone());
        journal.tell(log("two"));
        journal.ended(false, None);
        assert_eq!(*ear.0.lock(), ["began", "one", "pull 2", "two", "ended"]);
    }

    #[test]
    fn memory_is_bounded_and_the_gap_is_named() {
        let journal = Journal::default();
        for _ in 0..5 {
            journal.tell(log(vec![b'x'; 100 * 1024]));
        }
        (0..10_000).for_each(|id| journal.tell(status(&id.to_string(), 0)));
        let ear = Arc::new(Ear::default());
        journal.join(ear.clone());
        let heard = ear.0.lock();
        assert_eq!(heard[0], "[307200 bytes of earlier output are left out]\n");
        assert_eq!(heard.len(), 1 + 2 + NOTES);
    }

    #[test]
    fn those_who_left_do_not_pile_up() {
        let (journal, vertex) = (Journal::default(), Arc::new(Journal::default()));
        journal.ended(false, None);
        for _ in 0..100 {
            let ear = Arc::new(Ear::default());
            journal.join(ear.clone());
            ear.0.lock().push("gone".into());
            journal.pass_on_to(&Arc::new(Journal::default()));
        }
        journal.pass_on_to(&vertex);
        assert_eq!(journal.0.lock().listeners.len(), 1);
    }

    #[test]
    fn chained_journals_pass_on_what_they_hear() {
        let (execution, vertex) = (Journal::default(), Arc::new(Journal::default()));
        let ear = Arc::new(Ear::default());
        vertex.join(ear.clone());
        execution.tell(log("early"));
        execution.pass_on_to(&vertex);
        execution.tell(log("late"));
        assert_eq!(*ear.0.lock(), ["early", "late"]);
    }
}
