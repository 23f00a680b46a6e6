//! The command line. Names and meanings are those of `docker build`, `buildx` and `buildctl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::tls::TlsArguments;

#[derive(Parser)]
#[command(name = "slipway", version, about = "Build container images")]
#[command(
    after_help = "As `slipway buildkitd` and `slipway buildctl`, or by links of these names, it takes their place."
)]
pub struct Arguments {
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Clone)]
pub struct Connection {
    /// Address of a running daemon: unix://PATH or tcp://HOST:PORT. Without it, one runs for as long as it is needed
    #[arg(long, global = true, env = "BUILDKIT_HOST", value_name = "ADDRESS")]
    pub addr: Option<String>,
    /// Where images, caches and the daemon's own files rest
    #[arg(long, global = true, env = "SLIPWAY_ROOT", value_name = "DIR")]
    pub root: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsArguments,
}

#[derive(Subcommand)]
pub enum Command {
    /// Build an image from a Dockerfile
    Build(Box<BuildArguments>),
    /// Serve builds
    Daemon(Box<DaemonArguments>),
    /// Show what the build cache holds
    Du(DuArguments),
    /// Remove what the build cache does not need
    Prune(PruneArguments),
    /// Tell why the steps of a build ran, or which cached results they had
    Why(WhyArguments),
    /// Look at builds that were there
    History {
        #[command(subcommand)]
        command: HistoryCommand,
    },
    /// Connect standard input and output to the daemon
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
    Workers,
    /// Show the daemon's version
    Info,
    /// Check the files of a stopped daemon: exit code 0 if all is well, 1 if not
    Fsck(FsckArguments),
}

#[derive(Args)]
pub struct FsckArguments {
    /// Also read every blob whole and compare it with its digest
    #[arg(long, alias = "verify")]
    pub deep: bool,
    /// One JSON object for each finding
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum HistoryCommand {
    /// List builds, the newest first
    Ls {
        /// Only what matches, such as status==error or startedAt>24h; may be repeated
        #[arg(long, value_name = "FILTER")]
        filter: Vec<String>,
        /// One JSON object for each build
        #[arg(long)]
        json: bool,
    },
    /// Show what a build was asked and what came of it
    Inspect {
        /// The build: its name, the beginning of it, or ^N for the Nth before the newest; else the newest
        #[arg(value_name = "BUILD")]
        build: Option<String>,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show what a build said
    Logs {
        /// The build, as for inspect
        #[arg(value_name = "BUILD")]
        build: Option<String>,
        /// How it is shown
        #[arg(long, value_enum, default_value = "plain")]
        progress: ProgressMode,
    },
    /// Print the OpenTelemetry spans of a build, a JSON object each
    Trace {
        /// The build, as for inspect
        #[arg(value_name = "BUILD")]
        build: Option<String>,
    },
    /// Remove builds from the history
    Rm {
        /// Builds, as for inspect
        #[arg(value_name = "BUILD", required_unless_present = "all")]
        build: Vec<String>,
        /// All that have ended, except pinned ones
        #[arg(long, conflicts_with = "build")]
        all: bool,
    },
    /// Keep a build in the history whatever the limits are
    Pin {
        /// The build, as for inspect
        #[arg(value_name = "BUILD")]
        build: String,
        /// Let it go again
        #[arg(long)]
        undo: bool,
    },
}

#[derive(Args)]
pub struct BuildArguments {
    /// The build context: a directory, a URL, or - for a Dockerfile or a tar on standard input
    #[arg(value_name = "PATH")]
    pub context: String,
    /// Name of the image, such as registry.example/app:1.0; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// The Dockerfile; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
    /// Stage to build
    #[arg(long)]
    pub target: Option<String>,
    /// Set an ARG: KEY=VALUE, or KEY to take it from the environment
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Another named context: NAME=DIR or NAME=docker-image://REF
    #[arg(long, value_name = "NAME=VALUE")]
    pub build_context: Vec<String>,
    /// Set a label of the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Platforms to build for, such as linux/amd64,linux/arm64
    #[arg(long, value_delimiter = ',')]
    pub platform: Vec<String>,
    /// An SSH agent for RUN --mount=type=ssh and for git over SSH: default or ID[=SOCKET]
    #[arg(long, value_name = "SPEC")]
    pub ssh: Vec<String>,
    /// A secret for RUN --mount=type=secret: id=NAME[,src=FILE|,env=VARIABLE]
    #[arg(long, value_name = "SPEC")]
    pub secret: Vec<String>,
    /// Run every step, whatever the cache holds
    #[arg(long)]
    pub no_cache: bool,
    /// Stages to run whatever the cache holds
    #[arg(long, value_delimiter = ',', value_name = "STAGE")]
    pub no_cache_filter: Vec<String>,
    /// When registries are asked for base images: always, or only for what is missing. Without it they are asked, and
    /// what is known will do if they do not answer
    #[arg(long, value_enum, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "always")]
    pub pull: Option<Pull>,
    /// Keep what sources (images, git, HTTP) come to in this file: it is written, or brought up to date
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,
    /// Fail if a source is not what the lock file says, or is not in it
    #[arg(long, requires = "lock")]
    pub locked: bool,
    /// Rules about sources, as JSON: which are allowed, denied, or replaced by others
    #[arg(long, value_name = "FILE", env = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY")]
    pub source_policy_file: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t, env = "BUILDKIT_PROGRESS")]
    pub progress: ProgressMode,
    /// Print only the image's digest
    #[arg(short, long)]
    pub quiet: bool,
    /// What to make of the result: type=image|registry|oci|docker|local|tar[,dest=PATH][,KEY=VALUE], or a directory
    #[arg(short, long, value_name = "SPEC")]
    pub output: Vec<String>,
    /// Push the image: short for --output type=registry
    #[arg(long)]
    pub push: bool,
    /// Import a cache: type=registry,ref=NAME or NAME
    #[arg(long, value_name = "SPEC")]
    pub cache_from: Vec<String>,
    /// Export the cache
    #[arg(long, value_name = "SPEC")]
    pub cache_to: Vec<String>,
    /// Write facts about the build to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// Network of RUN steps: default, none or host
    #[arg(long, value_name = "MODE")]
    pub network: Option<String>,
    /// Add a line to the steps' /etc/hosts: HOST:IP
    #[arg(long, value_name = "HOST:IP")]
    pub add_host: Vec<String>,
    /// Allow more than steps may by default: network.host, security.insecure
    #[arg(long, value_name = "ENTITLEMENT")]
    pub allow: Vec<String>,
    /// Size of /dev/shm in steps, such as 64m
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Limits of steps: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT")]
    pub ulimit: Vec<String>,
    /// Annotation of the image: [TYPE:]KEY=VALUE
    #[arg(long, value_name = "ANNOTATION")]
    pub annotation: Vec<String>,
    /// What to say about the image: type=provenance|sbom[,KEY=VALUE]; disabled=true takes one back
    #[arg(long, value_name = "SPEC")]
    pub attest: Vec<String>,
    /// Where the image came from: true, false, or such as mode=max; short for --attest=type=provenance
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub provenance: Option<String>,
    /// What is in the image: true, false, or such as generator=IMAGE; short for --attest=type=sbom
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sbom: Option<String>,
    /// What to do: build, check, outline or targets
    #[arg(long, value_name = "METHOD", default_value = "build")]
    pub call: String,
    /// Check the Dockerfile without building: short for --call=check
    #[arg(long)]
    pub check: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    /// Ask; who does not answer fails the build
    #[value(alias = "true")]
    Always,
    /// Ask for what was never asked for
    Missing,
    /// Ask; what is known will do if nobody answers
    #[value(alias = "false")]
    Default,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// tty on a terminal, else plain
    #[default]
    Auto,
    Plain,
    Tty,
    Rawjson,
    Quiet,
    /// The same as quiet
    None,
}

#[derive(Args)]
pub struct DaemonArguments {
    /// Where to listen: unix://PATH, tcp://HOST:PORT or fd://
    #[arg(long = "listen", alias = "listen-addr", value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Runtime of steps: builtin, or the path or name of an OCI runtime such as runc
    #[arg(long, value_name = "BINARY")]
    pub oci_worker_binary: Option<String>,
    /// Network of steps that ask for none in particular: auto, bridge, cni, host or none
    #[arg(long, value_name = "MODE")]
    pub oci_worker_net: Option<String>,
    /// Snapshotter: auto, overlayfs or native
    #[arg(long, value_name = "NAME")]
    pub oci_worker_snapshotter: Option<String>,
    #[command(flatten)]
    pub workers: crate::workers::WorkerFlags,
    /// Allow builds to ask for network.host, security.insecure or device
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',')]
    pub allow_insecure_entitlement: Vec<String>,
    /// Whether the build cache is kept within its limits without being asked
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub oci_worker_gc: Option<bool>,
    /// Limits of the build cache in MB: RESERVED[,FREE[,MAXIMUM]]
    #[arg(long, value_name = "LIMITS")]
    pub oci_worker_gc_keepstorage: Option<String>,
    /// Leave out of the log what one stream of a step says beyond these bytes; -1 is no limit
    #[arg(
        long, value_name = "BYTES", env = "BUILDKIT_STEP_LOG_MAX_SIZE", allow_negative_numbers = true,
        default_value_t = -1, hide_default_value = true
    )]
    pub step_log_max_size: i64,
    /// The same for the bytes of each second
    #[arg(
        long, value_name = "BYTES", env = "BUILDKIT_STEP_LOG_MAX_SPEED", allow_negative_numbers = true,
        default_value_t = -1, hide_default_value = true
    )]
    pub step_log_max_speed: i64,
    /// Say more in the log
    #[arg(long)]
    pub debug: bool,
    /// End when no client has been there for a moment
    #[arg(long, hide = true)]
    pub exit_when_idle: bool,
}

#[derive(Args)]
pub struct DuArguments {
    /// Only what matches, such as type==regular, inuse or until=24h; may be repeated
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Show all about each record
    #[arg(short, long)]
    pub verbose: bool,
    /// One JSON object for each record
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct WhyArguments {
    /// The beginning of a build's id; without it, or with - or last, the latest build
    #[arg(value_name = "BUILD")]
    pub build: Option<String>,
    /// A step: its number such as 3/7, its stage and number such as "build 2/3", the beginning of its digest, or a part
    /// of its name. Without it, all are listed
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// List the builds that are known
    #[arg(long, conflicts_with_all = ["build", "step"])]
    pub list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct PruneArguments {
    /// Only what matches, such as type==regular, shared or until=24h; may be repeated
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Also what other records build on and frontends' own files
    #[arg(short, long)]
    pub all: bool,
    /// Keep what was used within this time, such as 24h
    #[arg(long, value_name = "DURATION")]
    pub keep_duration: Option<String>,
    /// Keep at least this much, such as 10GB
    #[arg(long, value_name = "SIZE", alias = "keep-storage")]
    pub reserved_space: Option<String>,
    /// Keep at most this much
    #[arg(long, value_name = "SIZE")]
    pub max_used_space: Option<String>,
    /// Free the disk until this much is available
    #[arg(long, value_name = "SIZE")]
    pub min_free_space: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    #[arg(short, long)]
    pub verbose: bool,
}
