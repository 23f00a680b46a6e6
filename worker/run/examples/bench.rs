//! How long one trivial step takes: `bench [N] [RUNTIME]` runs `/bin/true` N times, one after the other, on an
//! overlay over the host's static busybox: with the built-in runtime, on the host's network and on one of its
//! own, and with RUNTIME (such as `runc`) where one is named.
#![allow(clippy::print_stdout)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipway_model::mount::{OverlayUpper, Tree};
use slipway_run::{BuiltinExecutor, Executor, Network, OciExecutor, Options, ProcessSpec, Stdio};
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    slipway_run::main_if_helper();
    let mut args = std::env::args().skip(1);
    let count = args.next().map_or(Ok(200), |count| count.parse())?;
    let directory = std::env::temp_dir().join(format!("slipway-bench-{}", std::process::id()));
    let rootfs = busybox(&directory.join("rootfs"))?;
    let builtin = BuiltinExecutor::new(Options::default());
    let mut rounds: Vec<(String, Network, Box<dyn Executor>)> = vec![
        ("builtin".into(), Network::Host, Box::new(builtin.clone())),
        ("builtin".into(), Network::None, Box::new(builtin)),
    ];
    if let Some(runtime) = args.next() {
        let executor = OciExecutor::new(&runtime, directory.join("state"), Options::default())?;
        rounds.push((runtime, Network::Host, Box::new(executor)));
    }
    let runtime = tokio::runtime::Runtime::new()?;
    for (round, (name, network, executor)) in rounds.iter().enumerate() {
        let mut times = Vec::new();
        for number in 0..count {
            let spec = spec(&rootfs, &directory.join(format!("{round}-{number}")), *network)?;
            let begin = Instant::now();
            let exit = runtime.block_on(run(executor.as_ref(), spec))?;
            times.push(begin.elapsed());
            assert_eq!(exit.code(), 0);
        }
        report(&format!("{name}, network {network:?}"), times);
    }
    Options::default().remove_control_group();
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

async fn run(executor: &dyn Executor, spec: ProcessSpec) -> slipway_run::Result<slipway_run::Exit> {
    let null = || File::options().write(true).open("/dev/null").map(Into::into);
    let io = |stdout, stderr| Stdio { stdin: None, stdout, stderr };
    let (Ok(stdout), Ok(stderr)) = (null(), null()) else { panic!("no /dev/null") };
    executor.run(spec, io(stdout, stderr), CancellationToken::new()).await
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
