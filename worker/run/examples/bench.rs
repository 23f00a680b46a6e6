//! How long one trivial step takes: `bench [N] [ROOTFS]` runs `/bin/true` N times on an overlay over ROOTFS
//! with the built-in runtime, one after the other, and with a network of its own.
//!
//! Without ROOTFS the tree is the host's static busybox alone.
#![allow(clippy::print_stdout)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipway_model::mount::{OverlayUpper, Tree};
use slipway_run::{BuiltinExecutor, Executor, Network, Options, ProcessSpec, Stdio};
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    slipway_run::main_if_helper();
    let mut args = std::env::args().skip(1);
    let count = args.next().map_or(Ok(200), |count| count.parse())?;
    let directory = std::env::temp_dir().join(format!("slipway-bench-{}", std::process::id()));
    let rootfs = match args.next() {
        Some(rootfs) => PathBuf::from(rootfs),
        None => busybox(&directory.join("rootfs"))?,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    for network in [Network::Host, Network::None] {
        let mut times = Vec::new();
        for number in 0..count {
            let step = directory.join(format!("{network:?}-{number}"));
            let spec = spec(&rootfs, &step, network)?;
            let begin = Instant::now();
            let exit = runtime.block_on(run(spec))?;
            times.push(begin.elapsed());
            assert_eq!(exit.code(), 0);
        }
        report(&format!("builtin, network {network:?}"), times);
    }
    fs::remove_dir_all(directory)?;
    Ok(())
}

fn busybox(rootfs: &Path) -> std::io::Result<PathBuf> {
    for directory in ["bin", "proc", "dev", "sys", "etc"] {
        fs::create_dir_all(rootfs.join(directory))?;
    }
    fs::copy("/bin/busybox", rootfs.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", rootfs.join("bin/true"))?;
    Ok(rootfs.to_owned())
}

fn spec(rootfs: &Path, step: &Path, network: Network) -> std::io::Result<ProcessSpec> {
    let upper = OverlayUpper { upper: step.join("upper"), work: step.join("work") };
    fs::create_dir_all(&upper.upper)?;
    fs::create_dir_all(&upper.work)?;
    let root = Tree::Overlay { lowers: vec![rootfs.to_owned()], upper: Some(upper) };
    let mut spec = ProcessSpec::new("bench", root, ["/bin/true"]);
    spec.network = network;
    Ok(spec)
}

async fn run(spec: ProcessSpec) -> slipway_run::Result<slipway_run::Exit> {
    let null = || File::options().write(true).open("/dev/null").map(Into::into);
    let io = |stdout, stderr| Stdio { stdin: None, stdout, stderr };
    let (Ok(stdout), Ok(stderr)) = (null(), null()) else { panic!("no /dev/null") };
    BuiltinExecutor::new(Options::default()).run(spec, io(stdout, stderr), CancellationToken::new()).await
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let milliseconds = |index: usize| times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let (count, last) = (times.len(), times.len().saturating_sub(1));
    println!(
        "{name}: {count} runs, min {:.2} ms, median {:.2} ms, p90 {:.2} ms, max {:.2} ms",
        milliseconds(0),
        milliseconds(count / 2),
        milliseconds(count * 9 / 10),
        milliseconds(last)
    );
}
