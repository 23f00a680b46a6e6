//! Namespaces that wait for processes, where making one takes long.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::{Attachment, Lease, NetworkUsage, Provider};
use crate::Result;

/// A provider, and what it has made in advance.
#[derive(Debug)]
pub(super) struct Pool {
    provider: Box<dyn Provider>,
    /// How many there are to be, in use or not.
    size: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Attachment>,
    /// Those in use included.
    count: usize,
    filling: Option<JoinHandle<()>>,
    is_closed: bool,
}

impl Pool {
    pub(super) fn new(provider: Box<dyn Provider>, size: usize) -> Self {
        Self { provider, size, state: Mutex::default() }
    }

    /// A name that the network is to know the process by needs a namespace that was made for it.
    pub(super) fn lease(self: &Arc<Self>, hostname: &str) -> Result<Lease> {
        let waiting = if hostname.is_empty() { self.state.lock().idle.pop() } else { None };
        let attachment = match waiting {
            Some(attachment) => attachment,
            None => self.make(hostname)?,
        };
        self.fill();
        Ok(Lease { pool: self.clone(), attachment: Some(attachment), usage: NetworkUsage::default() })
    }

    pub(super) fn give_back(&self, attachment: Attachment, is_unchanged: bool) {
        {
            let mut state = self.state.lock();
            let is_wanted = !state.is_closed && state.count <= self.size;
            if is_wanted && is_unchanged && attachment.hostname.is_empty() {
                return state.idle.push(attachment);
            }
        }
        self.remove(&attachment);
    }

    pub(super) fn close(&self) {
        let filling = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.filling.take()
        };
        // It ends with what it has just made.
        let _ = filling.map(JoinHandle::join);
        let idle = std::mem::take(&mut self.state.lock().idle);
        for attachment in idle {
            self.remove(&attachment);
        }
        self.provider.close();
    }

    fn make(&self, hostname: &str) -> Result<Attachment> {
        self.state.lock().count += 1;
        let made = self.provider.attach(hostname);
        if made.is_err() {
            self.state.lock().count -= 1;
        }
        made
    }

    fn remove(&self, attachment: &Attachment) {
        self.provider.detach(attachment);
        self.state.lock().count -= 1;
    }

    /// Makes what is missing, beside the process that has just got the first.
    fn fill(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let is_filling = state.filling.as_ref().is_some_and(|filling| !filling.is_finished());
        if is_filling || state.is_closed || state.count >= self.size {
            return;
        }
        let pool = self.clone();
        let filling = std::thread::Builder::new().name("networks".into()).spawn(move || {
            while pool.is_short() {
                match pool.make("") {
                    Ok(attachment) => pool.give_back(attachment, true),
                    // Whoever needs one will hear of it.
                    Err(_) => break,
                }
            }
        });
        // Without a thread, namespaces are made when they are wanted.
        state.filling = filling.ok();
    }

    fn is_short(&self) -> bool {
        let state = self.state.lock();
        !state.is_closed && state.count < self.size
    }
}
