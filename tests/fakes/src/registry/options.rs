//! What a test chooses when it starts a fake registry.

/// The defaults are an open, well-behaved registry over plain HTTP.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub auth: Auth,
    /// HTTPS with the certificate of [`super::CERTIFICATE_AUTHORITY`]; HTTP/2 is offered.
    pub tls: bool,
    /// Another token service than its own `/token`.
    pub realm: Option<String>,
    /// Blobs are answered with a redirect to another host (another port).
    pub redirect_blobs: bool,
    /// Uploads go to another host (another port), as some object stores have it.
    pub upload_elsewhere: bool,
    /// Mount requests begin an ordinary upload.
    pub refuse_mounts: bool,
    /// `Range` is not understood: whole blobs, always.
    pub ignore_ranges: bool,
    /// No `Docker-Content-Digest` in answers about manifests.
    pub hide_digests: bool,
    /// A request body above this is answered with 413.
    pub largest_body: Option<u64>,
    /// `OCI-Chunk-Min-Length` of new uploads.
    pub least_chunk: Option<u64>,
    /// A path before `/v2/`'s repositories that belongs to every name, as mirrors have it.
    pub prefix: String,
}

/// Who may.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    #[default]
    Open,
    Basic {
        username: String,
        password: String,
    },
    /// Tokens from `/token` of the same host.
    Bearer {
        username: String,
        password: String,
        /// Also accepted as a refresh token by POST.
        identity_token: String,
        /// GET is answered with 404, as some registries do.
        only_post: bool,
        /// Repositories that anyone may pull from.
        public: Vec<String>,
        /// Repositories that not even the user gets a scope for.
        forbidden: Vec<String>,
    },
}

impl Auth {
    pub fn basic(username: &str, password: &str) -> Self {
        Self::Basic { username: username.into(), password: password.into() }
    }

    pub fn bearer(username: &str, password: &str) -> Self {
        Self::Bearer {
            username: username.into(),
            password: password.into(),
            identity_token: "identity".into(),
            only_post: false,
            public: Vec::new(),
            forbidden: Vec::new(),
        }
    }
}
