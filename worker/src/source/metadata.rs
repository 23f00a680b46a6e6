//! What a source stands for just now, without making a tree of it: an image's digest and config, a commit, the digest
//! of a file.
//!
//! The answer is the build's from then on ([`BuildSources`]): whoever fetches the source gets what was told here, with
//! no second question to its server. A web server can only be asked by downloading, so that download is the file.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use prost::bytes::Bytes;
use prost_types::Timestamp;
use sha2::{Sha256, Sha384, Sha512};
use slipway_model::Reference;
use slipway_model::llb::pb;
use slipway_proto::gateway::checksum_request::ChecksumAlgo;
use slipway_proto::gateway::{
    ChecksumRequest, ChecksumResponse, ResolveSourceGitResponse, ResolveSourceHttpResponse,
    ResolveSourceImageResponse, ResolveSourceMetaRequest, ResolveSourceMetaResponse,
};
use slipway_store::{Ref, inroot};

use super::blob;
use super::git::GitSource;
use super::http::WebFile;
use super::image::NamedImage;
use super::of_build::BuildSources;
use crate::blocking::blocking;
use crate::ops::file::newest;
use crate::{Error, Place, Result, Worker};

/// What may be hashed after a file.
const LONGEST_SUFFIX: usize = 4096;

/// Of a source that a build is going to use: one that its lock lets through.
pub struct Metadata {
    pub response: ResolveSourceMetaResponse,
    /// What to tell people: the answer is one of before.
    pub warning: Option<Arc<str>>,
    /// What the source is locked to.
    pub locked: Option<String>,
}

/// Answers `request`, whose source has been judged already. Policies in it are not looked at.
pub async fn resolve(
    worker: &Arc<Worker>,
    build: &Arc<BuildSources>,
    request: &ResolveSourceMetaRequest,
    sessions: Vec<String>,
) -> Result<Metadata> {
    let (response, warning) = look(worker, build, request, sessions).await?;
    let locked = build.lock().map(|lock| lock.note(&response)).transpose()?.flatten();
    Ok(Metadata { response, warning, locked })
}

/// The same for a source that will perhaps never be used, with what to warn of.
pub(crate) async fn look(
    worker: &Arc<Worker>,
    build: &Arc<BuildSources>,
    request: &ResolveSourceMetaRequest,
    sessions: Vec<String>,
) -> Result<(ResolveSourceMetaResponse, Option<Arc<str>>)> {
    let source = request.source.clone().unwrap_or_default();
    let unknown = || Error::Unsupported(format!("resolving the metadata of {:?}", source.identifier));
    let (scheme, rest) = source.identifier.split_once("://").ok_or_else(unknown)?;
    let mut response = ResolveSourceMetaResponse { source: Some(source.clone()), ..Default::default() };
    let warning = match scheme {
        "docker-image" | "oci-layout" => {
            let (image, warning) = image(worker, build, request, &source, rest, sessions).await?;
            response.image = Some(image);
            warning
        }
        "git" => {
            let (git, warning) = git(worker, build, request, &source, rest, &sessions).await?;
            response.git = Some(git);
            warning
        }
        "http" | "https" => {
            let (http, warning) = http(worker, build, request, &source, sessions).await?;
            response.http = Some(http);
            warning
        }
        // Its files are all there is to know.
        "local" => None,
        // Its digest is in its name.
        blob::REGISTRY | blob::LAYOUT => None,
        _ => return Err(unknown()),
    };
    Ok((response, warning))
}

async fn image(
    worker: &Arc<Worker>,
    build: &BuildSources,
    request: &ResolveSourceMetaRequest,
    source: &pb::SourceOp,
    name: &str,
    sessions: Vec<String>,
) -> Result<(ResolveSourceImageResponse, Option<Arc<str>>)> {
    let wanted = request.image.clone().unwrap_or_default();
    let reference: Reference =
        name.parse().map_err(|error| Error::Failed(format!("invalid reference {name:?}: {error}")))?;
    let name = reference.or_latest().to_string();
    let mut image = NamedImage::parse(worker, &name, source, request.platform.as_ref())?;
    if source.identifier.starts_with("oci-layout://") && image.place == Place::Registry {
        // A layout whose store has no name is still none of a registry's.
        image.place = Place::Layout { session: None, store: String::new() };
    }
    if !request.resolve_mode.is_empty() {
        image.request.resolve_mode = request.resolve_mode.parse().map_err(Error::Image)?;
    }
    let pinned = image.pin(worker, build, sessions.clone()).await?;
    let attestation_chain = match wanted.attestation_chain || !wanted.resolve_attestations.is_empty() {
        true => {
            let (origin, types) = (image.origin(worker, sessions), &wanted.resolve_attestations);
            worker.images.source.attestations(&*origin, &pinned, types).await.map_err(Error::Image)?
        }
        false => None,
    };
    let config = if wanted.no_config { Bytes::new() } else { pinned.config.clone() };
    let digest = pinned.root.digest.to_string();
    let response = ResolveSourceImageResponse { digest, config, attestation_chain };
    Ok((response, pinned.remembered.clone()))
}

async fn git(
    worker: &Arc<Worker>,
    build: &BuildSources,
    request: &ResolveSourceMetaRequest,
    source: &pb::SourceOp,
    address: &str,
    sessions: &[String],
) -> Result<(ResolveSourceGitResponse, Option<Arc<str>>)> {
    let git = GitSource::new(worker.clone(), address, source)?;
    let commit = git.resolve(build, sessions).await?;
    let resolved = &commit.resolved;
    let mut response = ResolveSourceGitResponse {
        checksum: resolved.checksum.clone(),
        r#ref: resolved.reference.clone(),
        commit_checksum: resolved.commit.clone().unwrap_or_default(),
        ..Default::default()
    };
    if request.git.as_ref().is_some_and(|git| git.return_object) {
        let objects = git.objects(sessions, resolved).await?;
        response.commit_object = objects.commit.into();
        response.tag_object = objects.tag.unwrap_or_default().into();
    }
    Ok((response, commit.remembered))
}

async fn http(
    worker: &Arc<Worker>,
    build: &BuildSources,
    request: &ResolveSourceMetaRequest,
    source: &pb::SourceOp,
    sessions: Vec<String>,
) -> Result<(ResolveSourceHttpResponse, Option<Arc<str>>)> {
    let checksum = request.http.as_ref().and_then(|http| http.checksum_request.as_ref());
    let checksum = checksum.map(Checksum::checked).transpose()?;
    let file = WebFile::new(worker.clone(), source)?;
    let resolved = file.resolve(build, sessions.clone()).await?;
    let mut response = ResolveSourceHttpResponse {
        checksum: resolved.digest.to_string(),
        filename: resolved.filename.clone(),
        last_modified: resolved.modified.map(|time| Timestamp { seconds: time.unix_timestamp(), nanos: 0 }),
        checksum_response: None,
    };
    if let Some(checksum) = checksum {
        let snapshot = file.fetch(&resolved, &sessions).await?;
        let name = resolved.filename.clone();
        response.checksum_response = Some(blocking(move || checksum.of(&snapshot, &name)).await?);
    }
    Ok((response, resolved.remembered))
}

/// When the newest file in the archive `source` was changed, in seconds since 1970; `None` if it is no archive. For
/// servers that do not say when they changed it.
pub async fn time_of_archive(
    worker: &Arc<Worker>,
    build: &Arc<BuildSources>,
    source: &pb::SourceOp,
) -> Result<Option<i64>> {
    let file = WebFile::new(worker.clone(), source)?;
    let resolved = file.resolve(build, build.sessions()).await?;
    let snapshot = file.fetch(&resolved, &build.sessions()).await?;
    blocking(move || {
        let tree = snapshot.mount()?;
        Ok(newest(inroot::open(tree.root(), Path::new(&resolved.filename))?))
    })
    .await
}

/// A digest of a file and some bytes after it: what detached signatures are over.
struct Checksum {
    algorithm: ChecksumAlgo,
    suffix: Bytes,
}

impl Checksum {
    fn checked(request: &ChecksumRequest) -> Result<Self> {
        let algorithm = ChecksumAlgo::try_from(request.algo)
            .map_err(|_| Error::Failed(format!("unsupported checksum algorithm {}", request.algo)))?;
        if request.suffix.len() > LONGEST_SUFFIX {
            let length = request.suffix.len();
            return Err(Error::Failed(format!(
                "checksum suffix exceeds max size: {length} bytes, at most {LONGEST_SUFFIX} are accepted"
            )));
        }
        Ok(Self { algorithm, suffix: request.suffix.clone() })
    }

    /// Of the file `name`, the only one of its tree.
    fn of(self, snapshot: &Ref, name: &str) -> Result<ChecksumResponse> {
        let tree = snapshot.mount()?;
        let file = inroot::open(tree.root(), Path::new(name))?;
        let digest = match self.algorithm {
            ChecksumAlgo::Sha256 => format!("sha256:{}", hash::<Sha256>(file, &self.suffix)?),
            ChecksumAlgo::Sha384 => format!("sha384:{}", hash::<Sha384>(file, &self.suffix)?),
            ChecksumAlgo::Sha512 => format!("sha512:{}", hash::<Sha512>(file, &self.suffix)?),
        };
        Ok(ChecksumResponse { digest, suffix: self.suffix })
    }
}

fn hash<H: sha2::Digest>(mut file: std::fs::File, suffix: &[u8]) -> Result<String> {
    let mut hasher = H::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = file.read(&mut buffer).map_err(|error| Error::io("cannot read the download", error))?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
    }
    hasher.update(suffix);
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_algorithms_and_short_suffixes() {
        let request = |algo: i32, length: usize| ChecksumRequest { algo, suffix: vec![0; length].into() };
        assert!(Checksum::checked(&request(2, LONGEST_SUFFIX)).is_ok());
        for (request, part) in [
            (request(99, 0), "unsupported checksum algorithm"),
            (request(0, 4097), "suffix exceeds max size"),
        ] {
            let error = Checksum::checked(&request).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(part), "{error}");
        }
    }
}
