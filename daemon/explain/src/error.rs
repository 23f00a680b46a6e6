//! Why explanations cannot be kept or read back. None of these fails a build.

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot keep what builds were made of")]
    Store(#[from] slipway_store::Error),
    #[error("cannot write down {what}")]
    Encode {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("{what} cannot be read back: it is damaged")]
    Damaged { what: String },
}
