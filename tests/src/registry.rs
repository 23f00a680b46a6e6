//! A real registry on loopback: Debian's `docker-registry`, on a free port, with its own folder.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::base_images;
use crate::command::{output, run};
use crate::process::eventually;

/// Runs until dropped.
pub struct Registry {
    process: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl Registry {
    /// Open to everybody.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, "")
    }

    /// Open to one user.
    pub fn with_user(folder: &Path, name: &str, password: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let users = folder.join("htpasswd");
        fs::write(&users, output(Command::new("htpasswd").args(["-Bbn", name, password]))?)?;
        Self::start_with(
            folder,
            &format!("auth: {{htpasswd: {{realm: tests, path: {}}}}}\n", users.display()),
        )
    }

    /// `more` is added to its configuration.
    fn start_with(folder: &Path, more: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let (config, data) = (folder.join("config.yml"), folder.join("data"));
        let storage = format!("storage: {{filesystem: {{rootdirectory: {}}}}}", data.display());
        let text =
            format!("version: 0.1\nlog: {{level: error}}\n{storage}\nhttp: {{addr: '{address}'}}\n{more}");
        fs::write(&config, text)?;
        let log = File::create(folder.join("log"))?;
        let mut serve = Command::new("docker-registry");
        serve.arg("serve").arg(&config).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let registry = Self { process: serve.spawn()?, address };
        let listens = eventually(Duration::from_secs(10), || TcpStream::connect(&registry.address).is_ok());
        ensure!(listens, "the registry does not listen on {}", registry.address);
        Ok(registry)
    }

    /// Copies the image of an OCI layout to `name:tag`.
    pub fn add(&self, layout: &Path, tag: &str, name: &str) -> Result<()> {
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "--quiet", "--dest-tls-verify=false"]);
        copy.arg(format!("oci:{}:{tag}", layout.display()));
        copy.arg(format!("docker://{}/{name}:{tag}", self.address));
        run(&mut copy)?;
        Ok(())
    }

    /// Copies the base image of the tests; gives its name.
    pub fn add_busybox(&self) -> String {
        self.add(&base_images::busybox_of_tests(), "latest", "busybox")
            .expect("skopeo copies the base image");
        self.image("busybox:latest")
    }

    /// `HOST:PORT/NAME`
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
