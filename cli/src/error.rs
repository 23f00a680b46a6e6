//! How a command fails: one message, and the exit code that `docker` would give.

/// What is told to the user.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    /// The lines of the source that are at fault, drawn.
    pub excerpt: Option<String>,
    pub exit_code: u8,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), excerpt: None, exit_code: 1 }
    }

    /// What was typed is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit_code: 125, ..Self::new(message) }
    }

    /// Interrupted, as shells count it.
    pub fn interrupted() -> Self {
        Self { exit_code: 130, ..Self::new("the build was cancelled") }
    }

    pub fn print(&self) {
        if let Some(excerpt) = &self.excerpt {
            eprint!("{excerpt}");
        }
        eprintln!("ERROR: {}", self.message);
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        let excerpt = crate::build::source::excerpt(&status);
        Self { excerpt, ..Self::new(status.message().to_owned()) }
    }
}

impl From<slipway_session::Error> for Failure {
    fn from(error: slipway_session::Error) -> Self {
        Self::new(error.to_string())
    }
}
