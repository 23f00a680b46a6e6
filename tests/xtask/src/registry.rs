//! A real registry on loopback: Debian's `docker-registry`, on a free port, with its own folder.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::run;

/// Runs until dropped.
pub struct Registry {
    process: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl Registry {
    pub fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.join("config.yml");
        let data = folder.join("data");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n",
                data.display()
            ),
        )?;
        let log = File::create(folder.join("log"))?;
        let process = Command::new("docker-registry")
            .args(["serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let registry = Self { process, address };
        registry.wait()?;
        Ok(registry)
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&self.address).is_err() {
            if Instant::now() > deadline {
                bail!("the registry does not listen on {}", self.address);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
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
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
