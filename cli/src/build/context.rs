//! Where a build's files are: the context, the Dockerfile, named contexts.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use slipway_session::provider::Layout;

use super::layout;
use crate::arguments::BuildArguments;
use crate::error::Failure;

/// At most this much of a Dockerfile is read from standard input.
const LARGEST_DOCKERFILE: u64 = 16 << 20;
/// As much of standard input as tells a tar from a Dockerfile.
const HEAD: usize = 512;

/// What is offered to the daemon, and what the frontend is told about it.
pub struct Context {
    pub directories: HashMap<String, PathBuf>,
    /// OCI layouts by the name of their store.
    pub layouts: HashMap<String, Layout>,
    pub attributes: BTreeMap<String, String>,
    /// Keeps what the daemon remembers of different projects apart.
    pub shared_key: String,
    /// Files that came from standard input; removed at the end.
    _temporary: Vec<Temporary>,
}

/// A directory that is removed when dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Context {
    pub fn prepare(arguments: &BuildArguments) -> Result<Self, Failure> {
        let mut context = Self {
            directories: HashMap::new(),
            layouts: HashMap::new(),
            attributes: BTreeMap::new(),
            shared_key: String::new(),
            _temporary: Vec::new(),
        };
        match arguments.context.as_str() {
            "-" => context.read_stdin(arguments)?,
            url if is_remote(url) => context.remote(url, arguments)?,
            path => context.local(Path::new(path), arguments)?,
        }
        for named in &arguments.build_context {
            context.named(named)?;
        }
        Ok(context)
    }

    fn local(&mut self, path: &Path, arguments: &BuildArguments) -> Result<(), Failure> {
        let root = directory(path)?;
        self.shared_key = root.to_string_lossy().into_owned();
        self.offer("context", root.clone());
        match arguments.file.as_deref() {
            Some("-") => {
                let mut input = std::io::stdin().lock();
                self.dockerfile_from(&mut input)
            }
            Some(file) => self.dockerfile_at(Path::new(file)),
            None => {
                self.offer("dockerfile", root);
                self.attribute("filename", "Dockerfile");
                Ok(())
            }
        }
    }

    fn dockerfile_at(&mut self, path: &Path) -> Result<(), Failure> {
        let missing =
            |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
        let found = path.metadata().map_err(missing)?;
        if found.is_dir() {
            return Err(Failure::usage(format!(
                "{} is a directory: name a Dockerfile in it",
                path.display()
            )));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.offer("dockerfile", directory(parent)?);
        self.attribute("filename", &name);
        Ok(())
    }

    fn dockerfile_from(&mut self, input: &mut dyn Read) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("cannot read standard input: {error}"));
        let mut text = Vec::new();
        input.take(LARGEST_DOCKERFILE + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > LARGEST_DOCKERFILE {
            return Err(Failure::new("the Dockerfile on standard input is larger than 16 MiB"));
        }
        let folder = self.temporary()?;
        std::fs::write(folder.join("Dockerfile"), text).map_err(failed)?;
        self.offer("dockerfile", folder);
        self.attribute("filename", "Dockerfile");
        Ok(())
    }

    /// A tar (compressed or not) is the context; anything else is a Dockerfile with an empty context.
    fn read_stdin(&mut self, arguments: &BuildArguments) -> Result<(), Failure> {
        if arguments.file.as_deref() == Some("-") {
            return Err(Failure::usage("standard input cannot be both the context and the Dockerfile"));
        }
        let failed = |error: std::io::Error| Failure::new(format!("cannot read the context: {error}"));
        let mut input = BufReader::new(std::io::stdin().lock());
        let mut head = Vec::new();
        (&mut input).take(HEAD as u64).read_to_end(&mut head).map_err(failed)?;
        let compressed = head.starts_with(&[0x1f, 0x8b]);
        let mut input = std::io::Cursor::new(head.clone()).chain(input);
        let folder = self.temporary()?;
        if compressed {
            tar::Archive::new(flate2::read::MultiGzDecoder::new(input)).unpack(&folder).map_err(failed)?;
        } else if head.get(257..262) == Some(b"ustar") {
            tar::Archive::new(input).unpack(&folder).map_err(failed)?;
        } else {
            self.offer("context", folder);
            return self.dockerfile_from(&mut input);
        }
        self.offer("context", folder.clone());
        self.offer("dockerfile", folder);
        self.attribute("filename", arguments.file.as_deref().unwrap_or("Dockerfile"));
        Ok(())
    }

    fn remote(&mut self, url: &str, arguments: &BuildArguments) -> Result<(), Failure> {
        self.attribute("context", url);
        match arguments.file.as_deref() {
            Some("-") => {
                let mut input = std::io::stdin().lock();
                self.dockerfile_from(&mut input)?;
                self.attribute("dockerfilekey", "dockerfile");
            }
            file => self.attribute("filename", file.unwrap_or("Dockerfile")),
        }
        Ok(())
    }

    /// `NAME=VALUE`: a directory, or anything with a scheme.
    fn named(&mut self, spec: &str) -> Result<(), Failure> {
        let (name, value) = spec.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Failure::usage(format!("--build-context {spec:?}: write NAME=DIR or NAME=docker-image://REF"))
        })?;
        let key = format!("context:{name}");
        if let Some(layout) = value.strip_prefix("oci-layout://") {
            let layout = layout::named(layout)
                .map_err(|reason| Failure::usage(format!("--build-context {spec:?}: {reason}")))?;
            let store = super::new_id()?;
            self.attribute(&key, &format!("oci-layout://{store}@{}", layout.digest));
            self.layouts.insert(format!("oci:{store}"), Layout { folder: layout.folder, writable: false });
            return Ok(());
        }
        if value.contains("://") || is_remote(value) {
            self.attribute(&key, value);
        } else {
            self.offer(name, directory(Path::new(value))?);
            self.attribute(&key, &format!("local:{name}"));
        }
        Ok(())
    }

    fn temporary(&mut self) -> Result<PathBuf, Failure> {
        let folder = std::env::temp_dir().join(format!("slipway-{}", super::new_id()?));
        std::fs::create_dir(&folder)
            .map_err(|error| Failure::new(format!("cannot create {}: {error}", folder.display())))?;
        self._temporary.push(Temporary(folder.clone()));
        Ok(folder)
    }

    fn offer(&mut self, name: &str, path: PathBuf) {
        self.directories.insert(name.to_owned(), path);
    }

    fn attribute(&mut self, key: &str, value: &str) {
        self.attributes.insert(key.to_owned(), value.to_owned());
    }
}

fn directory(path: &Path) -> Result<PathBuf, Failure> {
    let absolute = path.canonicalize().map_err(|error| {
        Failure::new(format!("unable to prepare context: path {:?}: {error}", path.display().to_string()))
    })?;
    // Opening it tells now, not in mid-build, whether it may be read.
    match File::open(&absolute).and_then(|file| file.metadata()) {
        Ok(found) if found.is_dir() => Ok(absolute),
        Ok(_) => {
            Err(Failure::new(format!("unable to prepare context: {} is not a directory", path.display())))
        }
        Err(error) => Err(Failure::new(format!("unable to prepare context: {}: {error}", path.display()))),
    }
}

fn is_remote(context: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    schemes.iter().any(|scheme| context.starts_with(scheme))
}
