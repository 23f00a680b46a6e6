//! What was asked, in order.

/// Which of the fake's two hosts was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Registry,
    /// Where redirects of blobs and uploads lead.
    Storage,
}

/// One request and how it was answered.
#[derive(Clone, Debug)]
pub struct Logged {
    pub origin: Origin,
    pub method: String,
    pub path: String,
    pub query: String,
    /// `None` for an answer that never came.
    pub status: Option<u16>,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub user_agent: Option<String>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
}
