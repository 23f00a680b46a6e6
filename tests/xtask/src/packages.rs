//! What is needed from Debian (installed when we may, listed when we may not), and from npm.

use std::process::Command;

use anyhow::{Result, bail};
use slipway_tests::command::{exists, is_root, run};
use slipway_tests::object_stores;

/// A program and the package that has it.
pub type Needed = (&'static str, &'static str);

pub const DEMO: [Needed; 6] = [
    ("busybox", "busybox-static"),
    ("mmdebstrap", "mmdebstrap"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("runc", "runc"),
];

pub const TEST: [Needed; 12] = [
    ("busybox", "busybox-static"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("runc", "runc"),
    ("htpasswd", "apache2-utils"),
    ("buildah", "buildah"),
    ("containerd", "containerd"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("ssh-keygen", "openssh-client"),
];

/// Installs object stores from npm, if npm is there and answers: tests say that they are skipped where they are not.
pub fn ensure_object_stores() -> Result<()> {
    let folder = object_stores::folder();
    if folder.join("node_modules/.bin/azurite-blob").exists() || !exists("npm") {
        return Ok(());
    }
    println!("Installing from npm: {}", object_stores::PACKAGES.join(" "));
    std::fs::create_dir_all(&folder)?;
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
    if let Err(error) = run(install.args(object_stores::PACKAGES)) {
        println!("Not installed from npm: {error:#}");
    }
    Ok(())
}

/// Makes sure that all programs of `needed` are there.
pub fn ensure(needed: &[Needed]) -> Result<()> {
    let missing: Vec<&str> =
        needed.iter().filter(|(program, _)| !exists(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !is_root() || !exists("apt-get") {
        bail!("missing programs; install these Debian packages first: {packages}");
    }
    println!("Installing from Debian: {packages}");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing);
    run(&mut install)?;
    Ok(())
}
