//! What is needed from Debian: installed when we may, listed when we may not.

use std::process::Command;

use anyhow::{Result, bail};
use slipway_tests::command::{exists, is_root, run};

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

pub const TEST: [Needed; 7] = [
    ("busybox", "busybox-static"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("runc", "runc"),
    ("htpasswd", "apache2-utils"),
    ("containerd", "containerd"),
];

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
