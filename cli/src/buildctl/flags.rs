//! The flags of `buildctl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::arguments::ProgressMode;
use crate::tls::TlsArguments;
use crate::version;

#[derive(Parser)]
#[command(name = "buildctl", version = version::words(), disable_version_flag = true)]
#[command(about = "Talk to a build daemon, in the form of BuildKit's client")]
pub struct Flags {
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args)]
pub struct Connection {
    /// Address of the daemon: unix://PATH or tcp://HOST:PORT [default: unix:///run/buildkit/buildkitd.sock]
    #[arg(long, global = true, env = "BUILDKIT_HOST", value_name = "ADDRESS")]
    pub addr: Option<String>,
    #[command(flatten)]
    pub tls: TlsArguments,
    /// How many seconds the daemon has to answer; 0 is no limit
    #[arg(long, global = true, default_value_t = 5, value_name = "SECONDS")]
    pub timeout: u64,
    /// Wait for a daemon that is not there yet
    #[arg(long, global = true)]
    pub wait: bool,
    /// Accepted: errors are told in full anyway
    #[arg(long, global = true, hide = true)]
    debug: bool,
    /// Accepted: there is no log
    #[arg(long, global = true, hide = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Build what a frontend makes, or a definition on standard input
    #[command(alias = "b")]
    Build(Box<BuildFlags>),
    /// Show what the build cache holds
    Du(DuFlags),
    /// Remove what the build cache does not need
    Prune(PruneFlags),
    /// Remove the records of builds that are not pinned
    PruneHistories(Format),
    /// Connect standard input and output to the daemon
    #[command(hide = true)]
    DialStdio,
    /// Look into the daemon
    Debug {
        #[command(subcommand)]
        command: DebugCommand,
    },
}

#[derive(Subcommand)]
pub enum DebugCommand {
    /// List workers
    Workers(WorkersFlags),
    /// Show the daemon's version
    Info(Format),
    /// List records of builds
    Histories(Format),
    /// Pin, unpin or delete the record of a build
    Ctl(CtlFlags),
    /// Show builds as they begin and end
    Monitor(MonitorFlags),
    /// Show the log or the trace of a build
    Logs(LogsFlags),
    /// Write a blob to standard output
    Get { digest: String },
    /// Show a definition, from a file or standard input
    DumpLlb(DumpFlags),
}

#[derive(Args)]
pub struct Format {
    /// A Go template, such as '{{json .}}', or json
    #[arg(long, value_name = "TEMPLATE")]
    pub format: Option<String>,
}

#[derive(Args)]
pub struct BuildFlags {
    /// What to make of the result: type=image|oci|docker|local|tar[,KEY=VALUE]
    #[arg(short, long, value_name = "SPEC")]
    pub output: Vec<String>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t, env = "BUILDKIT_PROGRESS")]
    pub progress: ProgressMode,
    /// Write the progress to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// A directory that the build may read: NAME=DIR
    #[arg(long, value_name = "NAME=DIR")]
    pub local: Vec<String>,
    /// An OCI layout that the build may read: NAME=DIR
    #[arg(long, value_name = "NAME=DIR")]
    pub oci_layout: Vec<String>,
    /// Frontend, such as dockerfile.v0
    #[arg(long, default_value = "", hide_default_value = true)]
    pub frontend: String,
    /// Option of the frontend: KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    pub opt: Vec<String>,
    /// Run every step, whatever the cache holds
    #[arg(long)]
    pub no_cache: bool,
    /// Export the cache
    #[arg(long, value_name = "SPEC")]
    pub export_cache: Vec<String>,
    /// Import a cache
    #[arg(long, value_name = "SPEC")]
    pub import_cache: Vec<String>,
    /// A secret: id=NAME[,src=FILE|,env=VARIABLE]
    #[arg(long, value_name = "SPEC")]
    pub secret: Vec<String>,
    /// Allow more than steps may by default: network.host, security.insecure
    #[arg(long, value_name = "ENTITLEMENT")]
    pub allow: Vec<String>,
    /// An SSH agent for the build
    #[arg(long, value_name = "SPEC")]
    pub ssh: Vec<String>,
    /// Write facts about the build to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Rules about sources, as JSON
    #[arg(long, value_name = "FILE")]
    pub source_policy_file: Option<PathBuf>,
    /// Ask for the proxy network
    #[arg(long)]
    pub proxy_network: bool,
    /// Write the build's id to this file
    #[arg(long, value_name = "FILE")]
    pub ref_file: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub registry_auth_tlscontext: Vec<String>,
    #[arg(long, hide = true)]
    pub debug_json_cache_metrics: Option<String>,
}

#[derive(Args)]
pub struct DuFlags {
    /// Only what matches
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Show all about each record
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    pub format: Format,
}

#[derive(Args)]
pub struct PruneFlags {
    /// Keep what was used within this time, such as 24h
    #[arg(long, value_name = "DURATION")]
    pub keep_duration: Option<String>,
    /// Keep at most this much, in MB
    #[arg(long, default_value_t = 0.0, value_name = "MB")]
    pub keep_storage: f64,
    /// Always keep this much, in MB
    #[arg(long, default_value_t = 0.0, value_name = "MB")]
    pub keep_storage_min: f64,
    /// Free the disk until this much is available, in MB
    #[arg(long, default_value_t = 0.0, value_name = "MB")]
    pub free_storage: f64,
    /// Only what matches
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Also internal and frontends' records
    #[arg(long)]
    pub all: bool,
    /// Show all about each record
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    pub format: Format,
}

#[derive(Args)]
pub struct WorkersFlags {
    /// Only what matches, such as id==ID
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Show all about each worker
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    pub format: Format,
}

#[derive(Args)]
pub struct CtlFlags {
    #[arg(value_name = "REF")]
    pub id: String,
    /// Keep the record whatever its age
    #[arg(long)]
    pub pin: bool,
    /// Let the record go with its age
    #[arg(long, conflicts_with = "pin")]
    pub unpin: bool,
    /// Remove the record
    #[arg(long, conflicts_with_all = ["pin", "unpin"])]
    pub delete: bool,
}

#[derive(Args)]
pub struct MonitorFlags {
    /// Also builds that have ended
    #[arg(long)]
    pub completed: bool,
    /// Only this build
    #[arg(long = "ref", value_name = "REF", default_value = "", hide_default_value = true)]
    pub id: String,
}

#[derive(Args)]
pub struct LogsFlags {
    #[arg(value_name = "REF")]
    pub id: String,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    pub progress: ProgressMode,
    /// The trace instead of the log
    #[arg(long)]
    pub trace: bool,
}

#[derive(Args)]
pub struct DumpFlags {
    /// Standard input, if none or -
    pub file: Option<PathBuf>,
    /// For Graphviz
    #[arg(long)]
    pub dot: bool,
}
