//! Everything that is made, read by programs that nobody here wrote: every exporter × compression × reader.
//!
//! | reader | what it does with the image |
//! |---|---|
//! | skopeo | reads its config |
//! | umoci | unpacks it |
//! | buildah | makes a container of it and looks inside |
//! | containerd | imports it; where it can, unpacks and mounts it |
//! | runc | runs its command on the tree that umoci has unpacked |
//!
//! A cell that a reader cannot fill has its reason in [`Reader::cannot`]; every other one must hold.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use slipway_tests::command::{exists, output};
use slipway_tests::{Daemon, Project, Registry, needs, readers};

const DOCKERFILE: &str = "FROM BUSYBOX AS a\nRUN mkdir -p /s && echo made > /s/file && ln /s/file /s/hard && \
    ln -s file /s/soft && chmod 4750 /s/file\nFROM BUSYBOX\nCOPY --from=a /s/ /s/\nRUN rm /usr/bin/wget && \
    mkdir /empty\nLABEL made=here\nCMD [\"/bin/cat\", \"/s/file\"]\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exporter {
    Registry,
    OciArchive,
    OciLayout,
    DockerArchive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Skopeo,
    Umoci,
    Buildah,
    Containerd,
    Runc,
}

const EXPORTERS: [Exporter; 4] =
    [Exporter::Registry, Exporter::OciArchive, Exporter::OciLayout, Exporter::DockerArchive];
const COMPRESSIONS: [&str; 4] = ["gzip", "estargz", "zstd", "uncompressed"];
const READERS: [Reader; 5] =
    [Reader::Skopeo, Reader::Umoci, Reader::Buildah, Reader::Containerd, Reader::Runc];

impl Reader {
    fn program(self) -> &'static str {
        match self {
            Self::Skopeo => "skopeo",
            Self::Umoci => "umoci",
            Self::Buildah => "buildah",
            Self::Containerd => "containerd",
            Self::Runc => "runc",
        }
    }

    /// Why this cell stays empty.
    fn cannot(self, exporter: Exporter, compression: &str) -> Option<&'static str> {
        match (self, exporter, compression) {
            (Self::Umoci | Self::Runc, _, "zstd") => Some("umoci 0.4 knows no zstd"),
            (_, Exporter::DockerArchive, "zstd") => Some("archives of Docker have no zstd"),
            (Self::Containerd, Exporter::Registry | Exporter::OciLayout, _) => Some("it imports archives"),
            _ => None,
        }
    }
}

/// One image, in one form.
struct Made {
    exporter: Exporter,
    compression: &'static str,
    folder: PathBuf,
    registry: String,
}

impl Made {
    fn spec(&self) -> String {
        let (path, compression) = (self.folder.display(), self.compression);
        let how = format!("compression={compression},force-compression=true");
        match self.exporter {
            Exporter::Registry => format!("type=registry,name={},{how}", self.registry),
            Exporter::OciArchive => format!("type=oci,dest={path}/oci.tar,{how}"),
            Exporter::OciLayout => format!("type=oci,tar=false,dest={path}/layout,{how}"),
            Exporter::DockerArchive => format!("type=docker,dest={path}/docker.tar,{how}"),
        }
    }

    /// As skopeo and buildah name it.
    fn transport(&self) -> String {
        let path = self.folder.display();
        match self.exporter {
            Exporter::Registry => format!("docker://{}", self.registry),
            Exporter::OciArchive => format!("oci-archive:{path}/oci.tar"),
            Exporter::OciLayout => format!("oci:{path}/layout:1"),
            Exporter::DockerArchive => format!("docker-archive:{path}/docker.tar"),
        }
    }

    fn archive(&self) -> PathBuf {
        self.folder.join(if self.exporter == Exporter::DockerArchive { "docker.tar" } else { "oci.tar" })
    }
}

#[test]
fn every_reader_accepts_everything() {
    needs!("skopeo", "umoci", "docker-registry", "busybox");
    // Buildah takes no capital letters in the path of a layout.
    let name = format!("readers-{}", std::process::id());
    let folder = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir().unwrap();
    let registry = Registry::start(&folder.path().join("registry")).unwrap();
    let project = Project::new(&registry.add_busybox(), DOCKERFILE);
    let daemon = Daemon::start();
    let containerd = exists("containerd").then(|| Containerd::start(&folder.path().join("containerd")));
    let (mut table, mut failed) = (String::new(), Vec::new());
    for exporter in EXPORTERS {
        for compression in COMPRESSIONS {
            let name = format!("{exporter:?}-{compression}").to_lowercase();
            let made = Made {
                exporter,
                compression,
                folder: folder.path().join(&name),
                registry: registry.image(&format!("{name}:1")),
            };
            std::fs::create_dir(&made.folder).unwrap();
            daemon.build(&project).tag("example.com/app:1").output(made.spec()).succeed();
            let _ = write!(table, "{name:24}");
            let mut unpacked = None;
            for reader in READERS {
                let cell = match reader.cannot(exporter, compression) {
                    Some(_) => "-",
                    None if !exists(reader.program()) => "absent",
                    None => match read(reader, &made, containerd.as_ref(), &mut unpacked) {
                        Ok(()) => "yes",
                        Err(error) => {
                            failed.push(format!("{reader:?} of {name}: {error}"));
                            "NO"
                        }
                    },
                };
                let _ = write!(table, "{reader:?} {cell:8}");
            }
            table.push('\n');
        }
    }
    println!("{table}");
    assert!(failed.is_empty(), "{table}\n{}", failed.join("\n"));
}

fn read(
    reader: Reader,
    made: &Made,
    containerd: Option<&Containerd>,
    unpacked: &mut Option<PathBuf>,
) -> Result<(), String> {
    match reader {
        Reader::Skopeo => {
            let config = readers::config(&made.transport());
            check(config["config"]["Labels"]["made"] == "here", || format!("{config:#}"))
        }
        Reader::Umoci => {
            let root = readers::unpack(&made.transport(), &made.folder.join("unpacked"));
            check_tree(&root)?;
            *unpacked = root.parent().map(Path::to_path_buf);
            Ok(())
        }
        Reader::Buildah => buildah(made),
        Reader::Containerd => containerd.map_or(Ok(()), |containerd| containerd.import(made)),
        Reader::Runc => match unpacked {
            Some(bundle) => runc(bundle, &made.folder),
            None => Err("umoci has not unpacked it".into()),
        },
    }
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn check_tree(root: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let file = root.join("s/file").metadata().map_err(|error| error.to_string())?;
    check(file.mode() & 0o7777 == 0o4750, || format!("mode {:o}", file.mode()))?;
    check(file.nlink() == 2, || format!("{} names", file.nlink()))?;
    check(root.join("usr/bin/wget").symlink_metadata().is_err(), || "a removed file is there".into())?;
    check(root.join("empty").is_dir(), || "an empty folder is missing".into())
}

fn told(command: &mut Command) -> Result<String, String> {
    output(command).map_err(|error| format!("{error:#}"))
}

fn buildah(made: &Made) -> Result<(), String> {
    let store = made.folder.join("store");
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        command.args(["--storage-driver", "vfs", "--root"]).arg(store.join("root"));
        command.arg("--runroot").arg(store.join("run")).args(arguments);
        told(&mut command)
    };
    let from = ["from", "--quiet", "--tls-verify=false", "--name", "it", &made.transport()];
    buildah(&from)?;
    let root = buildah(&["mount", "it"])?;
    let checked = check_tree(Path::new(root.trim()));
    buildah(&["umount", "it"])?;
    buildah(&["rm", "it"])?;
    checked
}

/// The command of the image, on the bundle that umoci has made.
fn runc(bundle: &Path, folder: &Path) -> Result<(), String> {
    let config = bundle.join("config.json");
    let text = std::fs::read_to_string(&config).map_err(|error| error.to_string())?;
    let mut spec: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    // No terminal, and no limits and privileges that the machine may not have.
    spec["process"]["terminal"] = false.into();
    for (section, key) in [("process", "rlimits"), ("process", "capabilities"), ("linux", "resources")] {
        if let Some(section) = spec[section].as_object_mut() {
            section.remove(key);
        }
    }
    std::fs::write(&config, spec.to_string()).map_err(|error| error.to_string())?;
    let id = format!("readers-{}", std::process::id());
    let mut run = Command::new("runc");
    run.arg("--root").arg(folder.join("runc")).args(["run", "--bundle"]).arg(bundle).arg(&id);
    let said = told(&mut run)?;
    check(said == "made\n", || said)
}

/// A daemon with nothing but content, snapshots and images.
struct Containerd {
    process: std::process::Child,
    socket: PathBuf,
}

impl Containerd {
    fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
            path("root"),
            path("state"),
            path("sock"),
            path("opt")
        );
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let process = Command::new("containerd")
            .arg("--config")
            .arg(folder.join("config.toml"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let containerd = Self { process, socket: folder.join("sock") };
        let answers = slipway_tests::eventually(std::time::Duration::from_secs(20), || {
            containerd.ctr(&["version"]).is_ok()
        });
        assert!(
            answers,
            "containerd does not answer: {}",
            std::fs::read_to_string(folder.join("log")).unwrap()
        );
        containerd
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket).args(arguments);
        told(&mut command)
    }

    /// Imports and unpacks the image; it is one of ours if containerd's snapshot of it has our files.
    fn import(&self, made: &Made) -> Result<(), String> {
        let archive = made.archive().display().to_string();
        let snapshotter = ["--snapshotter", "native"];
        let imported = self.ctr(&[&["images", "import"], &snapshotter[..], &[&archive]].concat())?;
        check(imported.contains("example.com/app:1"), || imported)?;
        let target = made.folder.join("mounted");
        std::fs::create_dir_all(&target).map_err(|error| error.to_string())?;
        let target = target.display().to_string();
        let mount = ["images", "mount"];
        self.ctr(&[&mount[..], &snapshotter, &["example.com/app:1", &target]].concat())?;
        let checked = check_tree(Path::new(&target));
        self.ctr(&[&["images", "unmount"][..], &snapshotter, &["--rm", &target]].concat())?;
        self.ctr(&["images", "rm", "--sync", "example.com/app:1"])?;
        checked
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, slipway_tests::Signal::TERM);
        let _ = self.process.wait();
    }
}
