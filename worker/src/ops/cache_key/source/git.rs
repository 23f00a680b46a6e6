//! A git commit, and what is made of it. The URL does not count: a mirror has the same commits.

use slipway_model::lexical;
use slipway_model::llb::pb;

use super::super::{CacheKey, CacheKeyError};
use super::{error, key};

/// `git://`, as the operation says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitIdentifier {
    pub remote: String,
    /// A branch, a tag, a full reference or a commit; empty for the default branch.
    pub reference: String,
    /// The folder of the commit to take; empty for all.
    pub subdir: String,
    /// A full or leading part of the commit's name that must match.
    pub checksum: String,
    pub keep_git_dir: bool,
    pub skip_submodules: bool,
    /// `checkout` (also if empty) or `commit`.
    pub mtime: String,
    pub fetch_by_commit: bool,
    /// Where to read the commits from instead of the remote.
    pub bundle: String,
    pub checkout_bundle: bool,
    /// The store of a client's layouts, and the client's session, that a bundle is in.
    pub bundle_store: Option<String>,
    pub bundle_session: Option<String>,
    /// Who has to have signed it.
    pub signature: Option<GitSignature>,
    pub auth_token_secret: String,
    pub auth_header_secret: String,
    pub ssh_socket: String,
    pub known_ssh_hosts: String,
}

/// What a build wants of the signature of a commit or a tag; it does not count in the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitSignature {
    /// Armored OpenPGP keys, or lines of `authorized_keys`.
    pub keys: String,
    pub reject_expired: bool,
    /// The signature of a commit does not do.
    pub require_signed_tag: bool,
    /// Only that of the commit does.
    pub ignore_signed_tag: bool,
}

/// What a reference came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedGit {
    /// The full reference, or the commit if that was asked for.
    pub reference: String,
    /// What the reference points at: a commit, or the object of an annotated tag.
    pub checksum: String,
    /// The commit behind an annotated tag, where that is wanted.
    pub commit: Option<String>,
}

impl GitIdentifier {
    /// `address` is the identifier without its scheme.
    pub fn parse(address: &str, op: &pb::SourceOp) -> Result<Self, CacheKeyError> {
        let (address, fragment) = address.split_once('#').unwrap_or((address, ""));
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let subdir = lexical::absolute(subdir.as_bytes());
        let mut identifier = Self {
            remote: with_scheme(address),
            reference: reference.to_owned(),
            subdir: String::from_utf8_lossy(subdir.get(1..).unwrap_or_default()).into_owned(),
            ..Self::default()
        };
        for (name, value) in &op.attrs {
            identifier.set(name, value);
        }
        identifier.validate()?;
        Ok(identifier)
    }

    fn set(&mut self, name: &str, value: &str) {
        let flag = value == "true";
        match name {
            "git.keepgitdir" => self.keep_git_dir = flag,
            "git.fullurl" => self.remote = with_scheme(value),
            "git.authheadersecret" => self.auth_header_secret = value.to_owned(),
            "git.authtokensecret" => self.auth_token_secret = value.to_owned(),
            "git.knownsshhosts" => self.known_ssh_hosts = value.to_owned(),
            "git.mountsshsock" => self.ssh_socket = value.to_owned(),
            "git.checksum" => self.checksum = value.to_owned(),
            "git.skipsubmodules" => self.skip_submodules = flag,
            "git.mtime" => self.mtime = value.to_owned(),
            "git.fetchbycommit" => self.fetch_by_commit = flag,
            "git.bundle" => self.bundle = value.to_owned(),
            "git.checkoutbundle" => self.checkout_bundle = flag,
            "oci.store" => self.bundle_store = Some(value.to_owned()),
            "oci.session" => self.bundle_session = Some(value.to_owned()),
            "git.sig.pubkey" => self.signature().keys = value.to_owned(),
            "git.sig.rejectexpired" => self.signature().reject_expired = flag,
            "git.sig.requiresignedtag" => self.signature().require_signed_tag = flag,
            "git.sig.ignoresignedtag" => self.signature().ignore_signed_tag = flag,
            _ => {}
        }
    }

    fn signature(&mut self) -> &mut GitSignature {
        self.signature.get_or_insert_default()
    }

    /// The name by which a bundle has to be known to carry the commit: that of a branch, but for tags.
    pub fn name_in_bundle(&self) -> String {
        let name = self.reference.as_str();
        if name.is_empty() || is_commit(name) {
            return "refs/heads/main".into();
        }
        if name.starts_with("refs/tags/") {
            return name.to_owned();
        }
        let name = name.strip_prefix("refs/").unwrap_or(name);
        format!("refs/heads/{}", name.strip_prefix("heads/").unwrap_or(name))
    }

    fn validate(&self) -> Result<(), CacheKeyError> {
        if self.reference.starts_with('-') {
            return Err(error(format!("invalid git ref {:?}", self.reference)));
        }
        if !self.bundle.is_empty() && self.checksum.is_empty() {
            return Err(error("git.bundle requires git.checksum to be set"));
        }
        if !self.bundle.is_empty() && is_commit(&self.reference) {
            self.check(&self.reference)?;
        }
        if self.checkout_bundle && self.keep_git_dir {
            return Err(error("git.checkoutbundle is incompatible with git.keepgitdir"));
        }
        if self.checkout_bundle && !self.subdir.is_empty() {
            return Err(error("git.checkoutbundle is incompatible with git.subdir"));
        }
        Ok(())
    }

    /// What the reference comes to without asking the remote; `None` where it must be asked.
    pub fn resolve_by_text(&self) -> Result<Option<ResolvedGit>, CacheKeyError> {
        if !self.checksum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let checksum = &self.checksum;
            return Err(error(format!("invalid checksum {checksum} for Git URL, expected hex commit hash")));
        }
        if !self.bundle.is_empty() && self.reference.is_empty() && is_commit(&self.checksum) {
            let commit = self.checksum.clone();
            return Ok(Some(ResolvedGit { reference: commit.clone(), checksum: commit, commit: None }));
        }
        if is_commit(&self.reference) {
            self.check(&self.reference)?;
            let commit = self.reference.clone();
            return Ok(Some(ResolvedGit { reference: commit.clone(), checksum: commit, commit: None }));
        }
        if !self.fetch_by_commit || !self.bundle.is_empty() {
            return Ok(None);
        }
        if self.checksum.is_empty() {
            return Err(error("fetch-by-commit requires a checksum or a commit SHA ref"));
        }
        if !is_commit(&self.checksum) {
            let checksum = &self.checksum;
            return Err(error(format!(
                "fetch-by-commit requires a full commit SHA checksum, got {checksum:?}"
            )));
        }
        let reference = match self.reference.as_str() {
            "" => self.checksum.clone(),
            full if full.starts_with("refs/") => full.to_owned(),
            branch => format!("refs/heads/{branch}"),
        };
        Ok(Some(ResolvedGit { reference, checksum: self.checksum.clone(), commit: None }))
    }

    /// Whether `commit` is the one that was demanded, if one was.
    pub fn check(&self, commit: &str) -> Result<(), CacheKeyError> {
        if commit.starts_with(&self.checksum) {
            return Ok(());
        }
        Err(error(format!("expected checksum to match {}, got {commit}", self.checksum)))
    }

    pub fn key(&self, resolved: &ResolvedGit) -> CacheKey {
        let commit = match &resolved.commit {
            _ if is_commit(&resolved.reference) => &resolved.reference,
            // More matches: all tags of a commit are the same checkout, unless `.git` is kept.
            Some(commit) if !self.keep_git_dir => commit,
            _ => &resolved.checksum,
        };
        let mut text = commit.clone();
        if self.keep_git_dir {
            text.push_str(".git");
            if !resolved.reference.is_empty() {
                text.push_str(&format!("#{}", resolved.reference));
            }
        }
        if !self.subdir.is_empty() {
            text.push_str(&format!(":{}", self.subdir));
        }
        if self.skip_submodules {
            text.push_str("(skip-submodules)");
        }
        if !matches!(self.mtime.as_str(), "" | "checkout") {
            text.push_str(&format!("(mtime={})", self.mtime));
        }
        if self.checkout_bundle {
            text.push_str("(bundle)");
        }
        key(&text)
    }
}

/// The full name of a commit, in SHA-1 or SHA-256 repositories.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A remote without a scheme is a host, unless it is of the form `user@host:path`.
fn with_scheme(remote: &str) -> String {
    let implicit_ssh =
        remote.split_once('/').map_or(remote, |(host, _)| host).contains('@') && remote.contains(':');
    if remote.contains("://") || implicit_ssh { remote.to_owned() } else { format!("https://{remote}") }
}
