//! What goes wrong on purpose.

use std::time::Duration;

/// Applies to the next `times` requests with `method` whose path holds `path`.
#[derive(Clone, Debug)]
pub struct Fault {
    pub method: &'static str,
    pub path: String,
    pub times: usize,
    pub kind: FaultKind,
}

#[derive(Clone, Debug)]
pub enum FaultKind {
    /// An error answer, with `Retry-After` in seconds if given.
    Status { status: u16, retry_after: Option<u64> },
    /// The connection closes before any answer.
    DropRequest,
    /// The connection closes after so many bytes of the answer's body.
    DropAfter(usize),
    /// The connection closes after so many bytes of the request's body.
    DropUploadAfter(usize),
    /// One byte in the middle of the body is another.
    Corrupt,
    /// The body is cut short, and its length says so.
    Truncate(usize),
    /// Tokens handed out so far stop working, and the request is answered accordingly.
    ExpireTokens,
    /// Pieces of so many bytes, with a pause between them.
    Slow { piece: usize, pause: Duration },
}

impl Fault {
    pub fn new(method: &'static str, path: impl Into<String>, times: usize, kind: FaultKind) -> Self {
        Self { method, path: path.into(), times, kind }
    }

    pub fn status(method: &'static str, path: impl Into<String>, times: usize, status: u16) -> Self {
        Self::new(method, path, times, FaultKind::Status { status, retry_after: None })
    }
}

/// The fault for this request, counted down.
pub(super) fn take(faults: &mut Vec<Fault>, method: &str, path: &str) -> Option<FaultKind> {
    let at = faults.iter().position(|f| f.times > 0 && f.method == method && path.contains(&f.path))?;
    let fault = &mut faults[at];
    fault.times -= 1;
    let kind = fault.kind.clone();
    faults.retain(|f| f.times > 0);
    Some(kind)
}
