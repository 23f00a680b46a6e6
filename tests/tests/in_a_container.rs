//! A container that holds nothing but the binary, under its three names, as `docker buildx` starts one and talks to
//! it: drivers `docker-container` and `kubernetes`. The libraries that a debug build needs are the host's.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_tests::{Build, Fake, Project, eventually, needs, slipway};

const CONFIG: &str = "debug = true\ninsecure-entitlements = [\"network.host\"]\n\
    [worker.oci]\n  max-parallelism = 4\n  gc = true\n  [[worker.oci.gcpolicy]]\n    keepBytes = \"1GB\"\n    all = true\n\
    [worker.containerd]\n  enabled = false\n[registry.\"docker.io\"]\n  mirrors = [\"127.0.0.1:1\"]\n";

struct Container {
    folder: tempfile::TempDir,
    id: String,
    daemon: Child,
}

impl Container {
    /// Starts `buildkitd` with the flags and the file of buildx's driver, privileged, as the driver does.
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = folder.path().join("bundle");
        let root = bundle.join("rootfs");
        for directory in [
            "usr/bin",
            "etc/buildkit",
            "run",
            "var/lib/buildkit",
            "tmp",
            "proc",
            "sys",
            "dev",
            "lib",
            "lib64",
        ] {
            fs::create_dir_all(root.join(directory)).expect("a folder");
        }
        fs::copy(slipway(), root.join("usr/bin/slipway")).expect("the binary");
        for name in ["buildkitd", "buildctl"] {
            symlink("slipway", root.join("usr/bin").join(name)).expect("a name");
        }
        fs::write(root.join("etc/buildkit/buildkitd.toml"), CONFIG).expect("the configuration");
        let id = format!(
            "slipway-{}-{}",
            std::process::id(),
            folder.path().file_name().expect("a name").display()
        );
        run(Command::new("runc").args(["spec", "--bundle"]).arg(&bundle));
        let spec = privileged(&bundle);
        fs::write(bundle.join("config.json"), spec.to_string()).expect("the spec");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let mut command = Self::runc(folder.path());
        command.args(["run", "--bundle"]).arg(&bundle).arg(&id);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let daemon = command.spawn().expect("runc starts");
        let container = Self { folder, id, daemon };
        // As the probe of a pod asks.
        let is_ready = || container.exec(&["buildctl", "debug", "workers"]).status.success();
        assert!(eventually(Duration::from_secs(20), is_ready), "{}", container.log());
        container
    }

    fn runc(folder: &Path) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(folder.join("runc"));
        command
    }

    fn exec(&self, arguments: &[&str]) -> Output {
        let mut command = Self::runc(self.folder.path());
        command.args(["exec", &self.id]).args(arguments).stdin(Stdio::null());
        command.output().expect("runc runs")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A socket each of whose connections is one `buildctl dial-stdio` in the container.
    fn dial(&self) -> PathBuf {
        let socket = self.folder.path().join("dial.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let (folder, id) = (self.folder.path().to_owned(), self.id.clone());
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let mut command = Self::runc(&folder);
                command.args(["exec", &id, "buildctl", "dial-stdio"]);
                let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
                let Ok(child) = child else { return };
                thread::spawn(move || carry(connection, child));
            }
        });
        socket
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Self::runc(self.folder.path()).args(["kill", &self.id, "TERM"]).status();
        let ended = eventually(Duration::from_secs(10), || matches!(self.daemon.try_wait(), Ok(Some(_))));
        let _ = Self::runc(self.folder.path()).args(["delete", "--force", &self.id]).status();
        let _ = self.daemon.wait();
        assert!(ended || thread::panicking(), "it does not end when asked to:\n{}", self.log());
    }
}

/// Bytes of both directions, until one of them ends.
///
/// As `dyn`: else the kernel moves them (`splice`), and holds the pipe while it waits for the socket, so that nobody
/// reads what is in the pipe already.
fn carry(connection: UnixStream, mut child: Child) {
    let (Some(mut input), Some(mut output)) = (child.stdin.take(), child.stdout.take()) else { return };
    let (mut from, mut to) = (connection.try_clone().expect("a socket"), connection);
    let sending = thread::spawn(move || io::copy(&mut from as &mut dyn io::Read, &mut input));
    let _ = io::copy(&mut output as &mut dyn io::Read, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = sending.join();
    let _ = child.wait();
}

fn privileged(bundle: &Path) -> Value {
    let text = fs::read(bundle.join("config.json")).expect("a spec");
    let mut spec: Value = serde_json::from_slice(&text).expect("a spec");
    let ours = fs::read_to_string("/proc/self/status").expect("what we may do");
    let may = |line: &str| {
        let bits = line.strip_prefix("CapBnd:")?.trim();
        u64::from_str_radix(bits, 16).ok()
    };
    let bits = ours.lines().find_map(may).expect("what we may do");
    let names: Vec<&str> = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits & (1 << bit) != 0)
        .map(|(_, name)| *name)
        .collect();
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = json!([
        "buildkitd",
        "--config",
        "/etc/buildkit/buildkitd.toml",
        "--allow-insecure-entitlement=network.host"
    ]);
    spec["process"]["noNewPrivileges"] = false.into();
    for set in ["bounding", "effective", "permitted"] {
        spec["process"]["capabilities"][set] = json!(names);
    }
    spec["process"]["capabilities"]["ambient"] = json!([]);
    spec["process"]["capabilities"]["inheritable"] = json!([]);
    spec["process"]["rlimits"] = json!([]);
    spec["root"]["readonly"] = false.into();
    spec["linux"]["maskedPaths"] = json!([]);
    spec["linux"]["readonlyPaths"] = json!([]);
    spec["linux"]["resources"] = json!({ "devices": [{ "allow": true, "access": "rwm" }] });
    // The network is the host's, so that the test's registry can be reached.
    let namespaces = ["pid", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    spec["linux"]["namespaces"] = json!(namespaces);
    let mounts = spec["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["destination"] != "/sys" && mount["destination"] != "/sys/fs/cgroup");
    mounts
        .push(json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "rw"] }));
    for library in ["/lib", "/lib64", "/usr/lib"] {
        if Path::new(library).exists() {
            mounts.push(json!({ "destination": library, "type": "none", "source": library, "options": ["rbind", "ro"] }));
        }
    }
    // An overlay cannot stand on another: the state is on a volume.
    let state = bundle.join("state");
    fs::create_dir_all(&state).expect("a folder");
    mounts.push(json!({ "destination": "/var/lib/buildkit", "type": "none", "source": state, "options": ["rbind", "rw"] }));
    spec
}

const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn drivers_of_buildx_find_what_they_need() {
    needs!("runc", "busybox");
    let (fake, container) = (Fake::with_busybox(), Container::start());
    // The driver reads the third word.
    let version = String::from_utf8_lossy(&container.exec(&["buildkitd", "--version"]).stdout).into_owned();
    let words: Vec<&str> = version.split_whitespace().collect();
    assert!(words.len() >= 4 && words[0] == "buildkitd" && words[2].starts_with('v'), "{version}");
    let workers = container.exec(&["buildctl", "debug", "workers", "--format", "{{json .}}"]);
    assert!(String::from_utf8_lossy(&workers.stdout).contains("linux/amd64") || workers.status.success());

    // A build over the standard streams of a process in the container.
    let socket = container.dial();
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nCOPY file /copied\nRUN cat /copied > /ran\n");
    let project = project.file("file", "content");
    let out = Project::empty();
    let mut client = Command::new(slipway());
    client.env("HOME", project.path()).env("DOCKER_CONFIG", project.join("docker"));
    client.arg("--addr").arg(format!("unix://{}", socket.display()));
    Build::new(client, project.path()).to(out.path()).succeed();
    assert_eq!(out.read("ran"), "content");
    assert!(!container.log().contains("panicked"));
}
