//! Real object stores on loopback, out of npm: `s3rver` speaks S3's protocol, `azurite` that of Azure. The latter
//! checks signatures, the former no more than whose they are.
//!
//! `cargo xtask test` installs them beside the binary under test; they are found there, or on the path.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slipway_fakes::FakeActions;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::binary::profile_folder;
use crate::command::exists;
use crate::process::eventually;

/// As npm names and numbers them.
pub const PACKAGES: [&str; 2] = ["s3rver@3.7.1", "azurite@3.35.0"];
/// Node takes its time when others are at work, too.
const START: Duration = Duration::from_secs(60);

/// The folder that [`PACKAGES`] are installed in.
pub fn folder() -> PathBuf {
    profile_folder().with_file_name("object-stores")
}

/// A server that runs until dropped.
pub struct ObjectStore {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl ObjectStore {
    /// With the bucket `cache`; `None`, and a word about it, if the program is not installed.
    pub fn s3() -> Option<Self> {
        Self::start("s3rver", |folder, port, command| {
            command.args(["--directory", &folder.display().to_string(), "--address", "127.0.0.1"]);
            command.args(["--port", &port.to_string(), "--configure-bucket", "cache"]);
        })
    }

    pub fn azure() -> Option<Self> {
        Self::start("azurite-blob", |folder, port, command| {
            command.args(["--location", &folder.display().to_string(), "--blobHost", "127.0.0.1"]);
            command.args(["--blobPort", &port.to_string(), "--skipApiVersionCheck", "--disableTelemetry"]);
        })
    }

    fn start(program: &str, arguments: impl FnOnce(&Path, u16, &mut Command)) -> Option<Self> {
        let ours = self::folder().join("node_modules/.bin").join(program);
        let program = if ours.exists() { ours.display().to_string() } else { program.to_owned() };
        if !ours.exists() && !exists(&program) {
            println!("skipped: {program} is not installed (npm install {})", PACKAGES.join(" "));
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let log = File::create(folder.path().join("log")).expect("a log");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("a folder");
        let mut command = Command::new(program);
        arguments(&data, port, &mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let store = Self { process: command.spawn().expect("the server starts"), folder, port };
        let listens = eventually(START, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert!(listens, "it does not listen: {}", store.log());
        Some(store)
    }

    /// The options of a cache in the bucket.
    pub fn s3_options(&self) -> String {
        format!(
            "type=s3,bucket=cache,region=us-east-1,endpoint_url=http://127.0.0.1:{},use_path_style=true,\
             access_key_id=S3RVER,secret_access_key=S3RVER",
            self.port
        )
    }

    /// The options of a cache in a container that is not there yet. The account is the one that everybody's
    /// emulator has.
    pub fn azure_options(&self) -> String {
        format!(
            "type=azblob,account_url=http://127.0.0.1:{}/devstoreaccount1,account_name=devstoreaccount1,\
             secret_access_key={}",
            self.port,
            Self::AZURE_SECRET
        )
    }

    pub const AZURE_SECRET: &'static str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// What the server said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Files in which it keeps objects.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The cache of GitHub Actions, for tests that are not asynchronous.
pub struct Actions {
    // Before its runtime, which its server runs on.
    fake: FakeActions,
    _runtime: Runtime,
}

impl Actions {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let fake = runtime.block_on(FakeActions::start()).expect("the fake starts");
        Self { fake, _runtime: runtime }
    }

    /// The options of a cache of a job on `branch`.
    pub fn options(&self, branch: &str) -> String {
        format!("type=gha,url_v2={},token={}", self.fake.url(), self.fake.token(branch))
    }
}

impl std::ops::Deref for Actions {
    type Target = FakeActions;

    fn deref(&self) -> &FakeActions {
        &self.fake
    }
}
