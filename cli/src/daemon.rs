//! `slipway daemon`: serve builds until told to stop.

use std::io::IsTerminal;

use slipway_daemon::{Config, Daemon, LogLimits};

use crate::arguments::{Connection, DaemonArguments};
use crate::connect;
use crate::error::Failure;

pub fn run(connection: &Connection, arguments: DaemonArguments) -> Result<(), Failure> {
    start_logging(arguments.debug);
    let mut config = match &arguments.config {
        Some(path) => Config::read(path).map_err(|error| Failure::new(error.to_string()))?,
        None => Config::default(),
    };
    // What was typed counts before what is written, and that before the usual place.
    let root = match (&connection.root, config.root.take()) {
        (None, Some(written)) => written,
        _ => connect::state_directory(connection)?,
    };
    config.root = Some(root.clone());
    config.listen = match (arguments.listen, &connection.addr) {
        (listen, _) if !listen.is_empty() => listen,
        (_, Some(address)) => vec![address.clone()],
        _ if !config.listen.is_empty() => config.listen,
        _ => vec![connect::default_address(&root)],
    };
    if let Some(runtime) = arguments.oci_worker_binary {
        config.runtime = runtime;
    }
    if let Some(network) = arguments.oci_worker_net {
        config.network = network;
    }
    if let Some(snapshotter) = arguments.oci_worker_snapshotter {
        config.snapshotter = snapshotter;
    }
    config.gc.gc = arguments.oci_worker_gc.or(config.gc.gc);
    if let Some(limits) = arguments.oci_worker_gc_keepstorage {
        let set = config.gc.set_keep_storage(&limits);
        set.map_err(|reason| Failure::usage(format!("--oci-worker-gc-keepstorage: {reason}")))?;
    }
    config.entitlements.extend(arguments.allow_insecure_entitlement);
    // What is negative limits nothing.
    config.log_limits = LogLimits {
        size: u64::try_from(arguments.step_log_max_size).ok(),
        speed: u64::try_from(arguments.step_log_max_speed).ok(),
    };
    config.exit_when_idle = arguments.exit_when_idle;
    Daemon::run(config).map_err(|error| Failure {
        exit_code: if error.is_locked() { connect::EXIT_LOCKED } else { 1 },
        ..Failure::new(error.to_string())
    })
}

fn start_logging(debug: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SLIPWAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(if debug { "debug" } else { "info" }));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
