//! A tree of busybox, a fresh upper per run, and the executors to try.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use slipway_containerd::{Client, ContainerdTasks, Runtime};
use slipway_model::mount::{OverlayUpper, Tree};
use slipway_run::{
    BuiltinExecutor, Error, Executor, Exit, Networks, OciExecutor, Options, OutsideExecutor, ProcessSpec,
    Running, Started, Stdio,
};
use slipway_tests::Containerd;
use tokio_util::sync::CancellationToken;

/// For what ends at once, or never.
const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const PATH: &str = "PATH=/usr/local/bin:/usr/bin:/bin:/sbin";

/// Calls the test with a fresh [`Case`] for each executor; root and busybox are needed.
pub(super) fn on_each(test: impl Fn(&Case)) {
    if !on_ours_with(&|_| Networks::default(), &test) {
        return;
    }
    let Some(containerd) = Containerd::start() else { return };
    let runtime = Runtime { name: "io.containerd.runc.v2".into(), binary: "runc".into() };
    test(&Case::new("containerd", &|_| Networks::default(), |directory, options| {
        let client = Client::new(&containerd.address(), "laws", "of-executors").unwrap();
        let tasks = ContainerdTasks::open(client, runtime.clone()).unwrap();
        Box::new(OutsideExecutor::new(Arc::new(tasks), directory.join("steps"), options).unwrap())
    }));
    // What a runtime that is gone has left goes when the next begins.
    let client = Client::new(&containerd.address(), "laws", "of-executors").unwrap();
    ContainerdTasks::open(client, runtime).unwrap();
    assert!(containerd.ctr_lines("laws", &["containers", "ls", "-q"]).is_empty());
    containerd.assert_idle();
}

/// The same without those that somebody else stands behind.
pub(super) fn on_ours(test: impl Fn(&Case)) {
    on_ours_with(&|_| Networks::default(), test);
}

/// The same with networks for each, whose state may be kept in the directory that `networks` is called with. Whether
/// there is anything to run on.
pub(super) fn on_ours_with(networks: &dyn Fn(&Path) -> Networks, test: impl Fn(&Case)) -> bool {
    if !rustix::process::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
        println!("skipped: needs root and /bin/busybox (Debian's busybox-static)");
        return false;
    }
    test(&Case::new("builtin", networks, |_, options| Box::new(BuiltinExecutor::new(options))));
    let oci = |directory: &Path, options| OciExecutor::new("runc", directory.join("runc"), options);
    match oci(&std::env::temp_dir().join("slipway-run-probe"), Options::default()) {
        Ok(_) => {
            test(&Case::new("runc", networks, |directory, options| {
                Box::new(oci(directory, options).unwrap())
            }));
        }
        Err(error) => println!("skipped on runc: {error}"),
    }
    true
}

pub(super) struct Case {
    pub(super) name: &'static str,
    directory: tempfile::TempDir,
    options: Options,
    executor: Arc<dyn Executor>,
    runtime: tokio::runtime::Runtime,
}

/// What a process did.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<Exit, Error>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Case {
    fn new(
        name: &'static str,
        networks: &dyn Fn(&Path) -> Networks,
        executor: impl Fn(&Path, Options) -> Box<dyn Executor>,
    ) -> Self {
        let directory = tempfile::Builder::new().prefix("slipway-run-").tempdir().unwrap();
        for step in ["upper", "work", "runc"] {
            fs::create_dir(directory.path().join(step)).unwrap();
        }
        write_rootfs(&directory.path().join("rootfs"));
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // A parent of its own, so that it can be removed without disturbing other tests.
        let cgroup_parent = format!("slipway-test-{}-{number}", std::process::id());
        let options = Options {
            cgroup_parent,
            networks: networks(&directory.path().join("net")),
            ..Options::default()
        };
        let executor = executor(directory.path(), options.clone());
        let executor = Arc::from(executor);
        Self { name, directory, executor, options, runtime: tokio::runtime::Runtime::new().unwrap() }
    }

    pub(super) fn networks(&self) -> &Networks {
        &self.options.networks
    }

    pub(super) fn is_builtin(&self) -> bool {
        self.name == "builtin"
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A fresh directory beside the tree.
    pub(super) fn make(&self, name: &str) -> PathBuf {
        fs::create_dir_all(self.path(name)).unwrap();
        self.path(name)
    }

    /// Files of the image itself.
    pub(super) fn rootfs(&self) -> PathBuf {
        self.path("rootfs")
    }

    /// What the process has changed.
    pub(super) fn upper(&self) -> PathBuf {
        self.path("upper")
    }

    pub(super) fn tree(&self) -> Tree {
        let upper = OverlayUpper { upper: self.upper(), work: self.path("work") };
        Tree::Overlay { lowers: vec![self.rootfs()], upper: Some(upper) }
    }

    /// The same with changes of its own, for one that runs beside another.
    pub(super) fn tree_of_its_own(&self, name: &str) -> Tree {
        let upper = self.make(&format!("upper-{name}"));
        let upper = OverlayUpper { upper, work: self.make(&format!("work-{name}")) };
        Tree::Overlay { lowers: vec![self.rootfs()], upper: Some(upper) }
    }

    /// A process with these arguments in a tree of its own.
    pub(super) fn spec(&self, args: &[&str]) -> ProcessSpec {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("test-{}-{number}", std::process::id());
        let mut spec = ProcessSpec::new(id, self.tree(), args.iter().copied());
        spec.env = vec![PATH.into()];
        spec
    }

    pub(super) fn shell(&self, script: &str) -> ProcessSpec {
        self.spec(&["/bin/sh", "-c", script])
    }

    #[track_caller]
    pub(super) fn run(&self, spec: ProcessSpec) -> Outcome {
        self.run_until(spec, None)
    }

    /// The same, stopped after some time.
    #[track_caller]
    pub(super) fn run_until(&self, spec: ProcessSpec, stop_after: Option<Duration>) -> Outcome {
        self.run_with(spec, None, stop_after)
    }

    /// The same, with something to read, which then ends.
    #[track_caller]
    pub(super) fn run_with_input(&self, spec: ProcessSpec, input: &str) -> Outcome {
        let (stdin, mut writer) = std::io::pipe().unwrap();
        writer.write_all(input.as_bytes()).unwrap();
        drop(writer);
        self.run_with(spec, Some(stdin.into()), Some(PATIENCE))
    }

    #[track_caller]
    fn run_with(&self, spec: ProcessSpec, stdin: Option<OwnedFd>, stop_after: Option<Duration>) -> Outcome {
        let (mut stdout, stdout_writer) = std::io::pipe().unwrap();
        let (mut stderr, stderr_writer) = std::io::pipe().unwrap();
        let io = Stdio { stdin, stdout: stdout_writer.into(), stderr: stderr_writer.into() };
        let read = |pipe: &mut std::io::PipeReader| {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let id = spec.id.clone();
        let readers = std::thread::scope(|scope| {
            let stdout = scope.spawn(move || read(&mut stdout));
            let stderr = scope.spawn(move || read(&mut stderr));
            let stop = CancellationToken::new();
            let result = self.runtime.block_on(async {
                if let Some(after) = stop_after {
                    let stop = stop.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        stop.cancel();
                    });
                }
                self.executor.run(spec, io, stop).await
            });
            Outcome { result, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
        });
        self.assert_nothing_left(&id);
        readers
    }

    /// Runs `test` while the process runs, which is stopped afterwards.
    #[track_caller]
    pub(super) fn inside(&self, spec: ProcessSpec, test: impl FnOnce(&Inside<'_>)) {
        let id = spec.id.clone();
        let stop = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (executor, stopping) = (self.executor.clone(), stop.clone());
        let running = self.runtime.spawn(async move {
            let started: Started = Box::new(move |running| tell.send(running).unwrap());
            executor.run_with(spec, nowhere(), stopping, started).await
        });
        let process = told.recv().expect("it has not started");
        let tested = catch_unwind(AssertUnwindSafe(|| test(&Inside { case: self, process })));
        // Also after a test that has failed: its files are about to go.
        stop.cancel();
        let ended = self.runtime.block_on(running).unwrap();
        tested.unwrap_or_else(|panic| resume_unwind(panic));
        assert!(matches!(ended, Err(Error::Cancelled) | Ok(_)), "{}: {ended:?}", self.name);
        self.assert_nothing_left(&id);
    }

    /// Starts a process, waits for its first byte, and drops the future.
    pub(super) fn start_and_drop(&self, spec: ProcessSpec) -> std::io::PipeReader {
        let (stdout, stdout_writer) = std::io::pipe().unwrap();
        let stderr = fs::File::options().write(true).open("/dev/null").unwrap();
        let io = Stdio { stdin: None, stdout: stdout_writer.into(), stderr: stderr.into() };
        self.runtime.block_on(async {
            let readable = async {
                loop {
                    let mut poll = [rustix::event::PollFd::new(&stdout, rustix::event::PollFlags::IN)];
                    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                    if rustix::event::poll(&mut poll, Some(&now)).unwrap() > 0 {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                result = self.executor.run(spec, io, CancellationToken::new()) => panic!("{result:?}"),
                () = readable => {}
            }
        });
        stdout
    }

    /// The output of a process that must succeed.
    #[track_caller]
    pub(super) fn output(&self, spec: ProcessSpec) -> String {
        let outcome = self.run(spec);
        assert!(outcome.result.as_ref().is_ok_and(Exit::success), "{}: {outcome:?}", self.name);
        outcome.stdout
    }

    /// The error of a process that must not start.
    #[track_caller]
    pub(super) fn error(&self, spec: ProcessSpec) -> String {
        let outcome = self.run(spec);
        match outcome.result {
            Err(error) => error.to_string(),
            Ok(exit) => panic!("{}: started, {exit:?} {} {}", self.name, outcome.stdout, outcome.stderr),
        }
    }

    /// Laws that hold after every run: no mount of ours on the host, no control group, no process.
    #[track_caller]
    fn assert_nothing_left(&self, id: &str) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let directory = self.directory.path().to_str().unwrap();
        assert!(!mounts.contains(directory), "{}: left mounted:\n{mounts}", self.name);
        for parent in self.groups() {
            let group = parent.join("slipway").join(id);
            assert!(!group.exists(), "{}: left {}", self.name, group.display());
        }
    }

    /// The parent in every hierarchy.
    fn groups(&self) -> impl Iterator<Item = PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        controllers.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(&self.options.cgroup_parent))
    }
}

/// A container that runs.
pub(super) struct Inside<'a> {
    case: &'a Case,
    pub(super) process: Running,
}

impl Inside<'_> {
    /// What one more process does in it; `act` is called once it runs.
    #[track_caller]
    pub(super) fn join(&self, spec: ProcessSpec, act: impl FnOnce(Running) + Send + 'static) -> Outcome {
        let (mut stdout, stdout_writer) = std::io::pipe().unwrap();
        let (mut stderr, stderr_writer) = std::io::pipe().unwrap();
        let io = Stdio { stdin: None, stdout: stdout_writer.into(), stderr: stderr_writer.into() };
        let joining =
            self.case.executor.join(&self.process, spec, io, CancellationToken::new(), Box::new(act));
        let result = self.case.runtime.block_on(joining);
        let (mut out, mut err) = (String::new(), String::new());
        stdout.read_to_string(&mut out).unwrap();
        stderr.read_to_string(&mut err).unwrap();
        Outcome { result, stdout: out, stderr: err }
    }
}

fn nowhere() -> Stdio {
    let nothing = || fs::File::options().write(true).open("/dev/null").unwrap().into();
    Stdio { stdin: None, stdout: nothing(), stderr: nothing() }
}

impl Drop for Case {
    fn drop(&mut self) {
        self.options.remove_control_group();
        for group in self.groups() {
            let _ = fs::remove_dir(group);
        }
    }
}

fn write_rootfs(root: &Path) {
    for directory in ["bin", "sbin", "etc", "tmp", "root", "proc", "dev", "sys", "usr/bin", "home"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let applets = "sh true false cat echo ls id env pwd sleep kill stat touch mkdir rm ln mknod mount unshare \
        readlink hostname ip dd head grep wc chmod chown tail test sort umount ulimit ps ifconfig mv trap tr nc";
    for applet in applets.split_whitespace() {
        let _ = symlink("/bin/busybox", root.join("bin").join(applet));
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\napp:x:1001:\ngrp:x:2000:\nextra:x:3000:app\n").unwrap();
    rustix::fs::chmod(root.join("tmp"), rustix::fs::Mode::from_raw_mode(0o1777)).unwrap();
}
