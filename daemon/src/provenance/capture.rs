//! What one result is made of: sources, and whatever steps asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use slipway_frontend::plan::git_url::GitReference;
use slipway_model::llb::pb::op::Op as Kind;
use slipway_model::llb::pb::{MountType, NetMode};
use slipway_model::llb::{self, VertexDigest, pb};
use slipway_model::{Digest, PackageUrl, Platform, Reference};
use slipway_solver::{KeyId, Trace};
use slipway_worker::ops::{self, Bundle, Material};

use super::inquiry::ImageSource;
use super::request::{Asked, ConfigSource};

/// What the solver found out about the vertices of a build.
#[derive(Default)]
pub(crate) struct Pins {
    sources: HashMap<VertexDigest, Arc<str>>,
    keys: HashMap<(VertexDigest, usize), Vec<KeyId>>,
}

impl Pins {
    pub(crate) fn of(traces: Vec<Trace>) -> Self {
        let mut pins = Self::default();
        for trace in traces {
            let vertex = VertexDigest(trace.vertex.0);
            if let Some(resolved) = trace.resolved {
                pins.sources.insert(vertex, resolved);
            }
            for (output, keys) in trace.outputs {
                pins.keys.entry((vertex, output)).or_default().extend(keys);
            }
        }
        pins
    }

    fn source(&self, vertex: &VertexDigest) -> Option<&str> {
        self.sources.get(vertex).map(|pin| &**pin)
    }

    /// The keys of an output, the most telling first.
    pub(super) fn keys(&self, vertex: VertexDigest, output: usize) -> &[KeyId] {
        self.keys.get(&(vertex, output)).map_or(&[], Vec::as_slice)
    }

    /// The outputs that were asked for.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (VertexDigest, usize)> {
        self.keys.keys().copied()
    }
}

/// Each source once.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    images: Vec<Image>,
    blobs: Vec<(String, Digest, bool)>,
    git: Vec<Git>,
    http: Vec<(String, Digest)>,
    pub local: Vec<String>,
}

/// The same address by another bundle is another source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Git {
    url: String,
    bundle: Option<Bundle>,
    commit: String,
}

#[derive(Clone, Debug)]
struct Image {
    reference: String,
    platform: Option<Platform>,
    digest: Digest,
    local: bool,
}

/// A source as SLSA names it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct ResourceDescriptor {
    pub uri: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Capture {
    pub sources: Sources,
    pub secrets: Vec<Asked>,
    pub ssh: Vec<Asked>,
    /// Some step could reach a network.
    pub network: bool,
    /// Something else entered that is not known.
    pub incomplete: bool,
}

impl Capture {
    /// All that is in a graph.
    pub(super) fn add(&mut self, definition: &llb::Definition, pins: &Pins) {
        let Some((head, _)) = &definition.head else { return };
        for vertex in ops::post_order(head) {
            match &vertex.op.op {
                Some(Kind::Exec(exec)) => self.step(exec),
                // What it builds is known only when it runs.
                Some(Kind::Build(_)) => self.incomplete = true,
                Some(Kind::Source(_)) => match Material::of(&vertex, pins.source(&vertex.digest)) {
                    Some(material) => self.material(material),
                    None => self.incomplete = true,
                },
                _ => {}
            }
        }
    }

    fn step(&mut self, exec: &pb::ExecOp) {
        self.network |= exec.network() != NetMode::None;
        for mount in &exec.mounts {
            match (mount.mount_type(), &mount.secret_opt, &mount.ssh_opt) {
                (MountType::Secret, Some(secret), _) => ask(&mut self.secrets, &secret.id, secret.optional),
                (MountType::Ssh, _, Some(ssh)) => ask(&mut self.ssh, ssh_id(&ssh.id), ssh.optional),
                _ => {}
            }
        }
        for secret in &exec.secretenv {
            ask(&mut self.secrets, &secret.id, secret.optional);
        }
    }

    fn material(&mut self, material: Material) {
        match material {
            Material::Image { reference, platform, digest, local } => {
                self.sources.image(Image { reference, platform, digest, local });
            }
            Material::Blob { reference, digest, local } => {
                once(&mut self.sources.blobs, (reference, digest, local), |a, b| a.0 == b.0 && a.2 == b.2);
            }
            Material::Git { url, commit, bundle, secrets, ssh } => {
                let is_same = |a: &Git, b: &Git| a.url == b.url && a.bundle == b.bundle;
                once(&mut self.sources.git, Git { url, bundle, commit }, is_same);
                secrets.iter().for_each(|id| ask(&mut self.secrets, id, true));
                ssh.iter().for_each(|id| ask(&mut self.ssh, ssh_id(id), true));
            }
            Material::Http { url, digest } => {
                once(&mut self.sources.http, (url, digest), |a, b| a.0 == b.0);
            }
            Material::Local { name } => once(&mut self.sources.local, name, |a, b| a == b),
        }
    }

    /// A name that a frontend has looked up.
    pub(super) fn image(&mut self, image: ImageSource) {
        let ImageSource { reference, platform, digest, local } = image;
        let platform = platform.map(|platform| platform.normalized());
        self.sources.image(Image { reference, platform, digest: digest.0, local });
    }

    /// Sorted, and images that are there by their tag are not there by digest, too.
    pub(super) fn finish(&mut self) {
        self.sources.finish();
        self.secrets.sort_by(|a, b| a.id.cmp(&b.id));
        self.ssh.sort_by(|a, b| a.id.cmp(&b.id));
    }
}

fn ssh_id(id: &str) -> &str {
    if id.is_empty() { "default" } else { id }
}

fn ask(known: &mut Vec<Asked>, id: &str, optional: bool) {
    match known.iter_mut().find(|asked| asked.id == id) {
        Some(asked) => asked.optional &= optional,
        None => known.push(Asked { id: id.to_owned(), optional }),
    }
}

fn once<T>(known: &mut Vec<T>, new: T, is_same: impl Fn(&T, &T) -> bool) {
    if !known.iter().any(|old| is_same(old, &new)) {
        known.push(new);
    }
}

impl Sources {
    fn image(&mut self, image: Image) {
        let is_same = |a: &Image, b: &Image| {
            let platform = |image: &Image| {
                image.platform.clone().map(|platform| Platform { os_features: Vec::new(), ..platform })
            };
            a.reference == b.reference && a.local == b.local && platform(a) == platform(b)
        };
        once(&mut self.images, image, is_same);
    }

    fn finish(&mut self) {
        let parse = |image: &Image| image.reference.parse::<Reference>().ok();
        let name = |reference: Reference| reference.without_digest().or_latest().to_string();
        let tagged: Vec<String> =
            self.images.iter().filter_map(parse).filter(|it| it.digest().is_none()).map(name).collect();
        self.images.retain(|image| match parse(image) {
            Some(reference) if reference.digest().is_some() => !tagged.contains(&name(reference)),
            _ => true,
        });
        self.images.sort_by(|a, b| a.reference.cmp(&b.reference));
        self.blobs.sort();
        self.git.sort();
        self.http.sort();
        self.local.sort();
    }

    /// As materials of SLSA.
    pub(super) fn descriptors(&self) -> Vec<ResourceDescriptor> {
        let kind = |local: bool| if local { "oci" } else { "docker" };
        let images = self.images.iter().filter_map(|image| {
            let reference: Reference = image.reference.parse().ok()?;
            let purl = PackageUrl::image(kind(image.local), &reference, image.platform.as_ref());
            Some(descriptor(purl.to_string(), &image.digest))
        });
        let blobs = self.blobs.iter().filter_map(|(reference, digest, local)| {
            let purl = PackageUrl::image(kind(*local), &reference.parse().ok()?, None);
            Some(descriptor(purl.with("ref_type", "blob").to_string(), digest))
        });
        let git = self.git.iter().flat_map(|git| {
            let commit = ResourceDescriptor { uri: git.url.clone(), digest: commit_digest(&git.commit) };
            let bundle = git.bundle.as_ref().and_then(|bundle| {
                let purl = PackageUrl::image(kind(bundle.local), &bundle.reference.parse().ok()?, None);
                let purl = purl.with("ref_type", "bundle").with("vcs_url", &git.url);
                Some(descriptor(purl.to_string(), &bundle.digest))
            });
            [commit].into_iter().chain(bundle)
        });
        let http = self.http.iter().map(|(url, digest)| descriptor(url.clone(), digest));
        images.chain(blobs).chain(git).chain(http).collect()
    }

    /// Where `address`, a context, was taken from.
    pub(super) fn config_source(&self, address: &str) -> ConfigSource {
        let source = |uri: &str, digest| ConfigSource { uri: uri.to_owned(), digest, path: String::new() };
        let git = GitReference::parse(address).ok();
        let whole = git.as_ref().map_or_else(|| address.to_owned(), |git| git.with_fragment(true));
        let repository = git.as_ref().map_or_else(|| address.to_owned(), |git| git.with_fragment(false));
        if let Some(git) = self.git.iter().find(|git| git.url == repository) {
            return source(&whole, commit_digest(&git.commit));
        }
        match self.http.iter().find(|(url, _)| url == address) {
            Some((url, digest)) => source(url, descriptor(String::new(), digest).digest),
            None => source(address, BTreeMap::new()),
        }
    }
}

fn descriptor(uri: String, digest: &Digest) -> ResourceDescriptor {
    ResourceDescriptor { uri, digest: [(digest.algorithm().to_owned(), digest.hex())].into() }
}

fn commit_digest(commit: &str) -> BTreeMap<String, String> {
    let algorithm = if commit.len() == 64 { "sha256" } else { "sha1" };
    [(algorithm.to_owned(), commit.to_owned())].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both what was asked for and what it was read from can be looked up.
    #[test]
    fn a_bundle_is_named_beside_the_repository_that_it_stands_for() {
        let digest = Digest::of("x");
        let bundle = Bundle { reference: "host/bundles".into(), digest, local: false };
        let git = |bundle| Git { url: "https://host/r.git#main".into(), bundle, commit: "a".repeat(40) };
        let sources = Sources { git: vec![git(None), git(Some(bundle))], ..Sources::default() };
        let found = sources.descriptors();
        let uris = found.iter().map(|found| found.uri.as_str()).collect::<Vec<_>>();
        let bundle = "pkg:docker/host/bundles@latest?ref_type=bundle&vcs_url=https:%2F%2Fhost%2Fr.git%23main";
        assert_eq!(uris, ["https://host/r.git#main", "https://host/r.git#main", bundle]);
        assert_eq!(found[2].digest["sha256"], digest.hex());
    }
}
