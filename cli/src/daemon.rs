//! `slipway daemon`: serve builds until told to stop.

use std::io::IsTerminal;

use slipway_daemon::config::Log;
use slipway_daemon::{Config, Daemon, LogLimits};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::arguments::{Connection, DaemonArguments};
use crate::connect;
use crate::error::Failure;

pub fn run(connection: &Connection, arguments: DaemonArguments) -> Result<(), Failure> {
    let mut config = match &arguments.config {
        Some(path) => Config::read(path).map_err(|error| Failure::new(error.to_string()))?,
        None => Config::default(),
    };
    if arguments.debug {
        config.log.level = Some("debug".into());
    }
    start_logging(&config.log)?;
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
        config.network.mode = network;
    }
    if let Some(snapshotter) = arguments.oci_worker_snapshotter {
        config.snapshotter = snapshotter;
    }
    arguments.workers.apply(&mut config)?;
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
    serve(config)
}

pub fn serve(config: Config) -> Result<(), Failure> {
    Daemon::run(config).map_err(|error| Failure {
        exit_code: if error.is_locked() { connect::EXIT_LOCKED } else { 1 },
        ..Failure::new(error.to_string())
    })
}

/// Libraries that tell of each frame and each request: of no use to whoever wants to know what the daemon does.
const CHATTY: [&str; 6] = ["h2", "hyper", "hyper_util", "reqwest", "rustls", "tonic"];

/// `$SLIPWAY_LOG` says which parts say how much; without it, `log` says it for all but the chatty ones, which say
/// more only when asked to trace.
pub fn start_logging(log: &Log) -> Result<(), Failure> {
    let level = log.level.as_deref().unwrap_or("info");
    let level: LevelFilter = match level {
        "warning" => LevelFilter::WARN,
        "fatal" | "panic" => LevelFilter::ERROR,
        level => level.parse().map_err(|_| {
            Failure::usage(format!("{level:?} is no log level: use trace, debug, info, warn or error"))
        })?,
    };
    let mut directives = level.to_string();
    if level == LevelFilter::DEBUG {
        CHATTY.iter().for_each(|library| directives.push_str(&format!(",{library}=info")));
    }
    let filter = EnvFilter::try_from_env("SLIPWAY_LOG").unwrap_or_else(|_| EnvFilter::new(directives));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.json {
        true => subscriber.json().init(),
        false => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    Ok(())
}

/// Of `--log-format`.
pub fn is_json(format: &str) -> Result<bool, Failure> {
    match format {
        "json" => Ok(true),
        "text" | "" => Ok(false),
        other => Err(Failure::usage(format!("--log-format {other:?}: use text or json"))),
    }
}
