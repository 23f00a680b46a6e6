//! What is wrong with a Dockerfile, and where.
//!
//! The texts are those of the reference, word for word: users search for them, and tools match them.

use super::instruction::MountKind;
use super::{Range, shell};
use slipway_model::quote::quoted;

/// Shown as its fault's text; `ranges` let the caller print an excerpt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub fault: Fault,
    /// Set for faults of an instruction: the text then starts with it.
    pub line: Option<u32>,
    /// Physical lines, from 1 (0 for a fault in the first line's directive).
    pub ranges: Vec<Range>,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "dockerfile parse error on line {line}: {}", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.fault)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    // The file
    #[error("file with no instructions")]
    NoInstructions,
    #[error("no build stage in current context")]
    NoStage,
    #[error("dockerfile line greater than max allowed size of {0}")]
    LongLine(usize),
    #[error("onbuild trigger should be a single expression")]
    TriggerCount,
    #[error("*instructions.Stage is not a command type")]
    TriggerStage,

    // Directives
    #[error("invalid escape token '{0}' does not match ` or \\")]
    EscapeToken(String),
    #[error("only one {0} parser directive can be used")]
    RepeatedDirective(String),

    // The shape of a line
    #[error("{0} must have two arguments")]
    TwoArguments(&'static str),
    #[error("Syntax error - can't find = in {}. Must be of the form: name=value", quoted(.0))]
    MissingEquals(String),
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    JsonNotStrings,
    #[error("unterminated heredoc")]
    UnterminatedHeredoc,
    #[error("internal lexing of heredoc produced inconsistent results: {0}")]
    HeredocWord(String),

    // Instructions and flags
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    #[error("{fault} (did you mean {suggestion}?)")]
    Suggestion { fault: Box<Fault>, suggestion: String },
    #[error("arg should start with -- : {0}")]
    FlagWithoutDashes(String),
    #[error("unknown flag: --{0}")]
    UnknownFlag(String),
    #[error("duplicate flag specified: --{0}")]
    DuplicateFlag(String),
    #[error("missing a value on flag: --{0}")]
    FlagWithoutValue(String),
    #[error("expecting boolean value for flag --{flag}, not: {value}")]
    FlagNotBoolean { flag: String, value: String },

    // Arguments
    #[error("{0} requires at least one argument")]
    AtLeastOneArgument(&'static str),
    #[error("{0} requires exactly one argument")]
    ExactlyOneArgument(&'static str),
    #[error(
        "{0} requires at least two arguments, but only one was provided. Destination could not be determined"
    )]
    NoDestination(&'static str),
    #[error("{0} cannot accept a heredoc as a destination")]
    HeredocDestination(&'static str),
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(&'static str),
    #[error("FROM requires either one or three arguments")]
    FromArguments,
    #[error(
        "invalid name for build stage: {}, name can't start with a number or contain symbols",
        quoted(.0)
    )]
    StageName(String),
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    ChainedOnBuild,
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    ForbiddenTrigger(String),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,

    // HEALTHCHECK
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNoneArguments,
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthcheckWithoutCommand,
    #[error("Unknown type {} in HEALTHCHECK (try CMD)", quoted(.0))]
    HealthcheckType(String),
    #[error("Interval {} cannot be less than 1ms", quoted(.0))]
    ShortInterval(&'static str),
    #[error("--retries cannot be negative ({0})")]
    NegativeRetries(i64),
    #[error("time: {0}")]
    Duration(String),
    #[error("strconv.ParseInt: parsing {}: {problem}", quoted(.text))]
    Integer { problem: &'static str, text: String },

    // Extensions
    #[error("INCLUDE doesn't support variable expansion")]
    IncludeVariable,
    #[error("INCLUDE is nested more than {0} deep: does a file include itself?")]
    DeepIncludes(u8),
    #[error("more than {0} files are included")]
    ManyIncludes(usize),
    #[error("{0} has another escape character than the file that includes it")]
    IncludedEscape(String),
    #[error("{file}:{line}: {fault}")]
    Included { file: String, line: u32, fault: Box<Fault> },
    #[error("--cache-ttl={0} is shorter than a second")]
    ShortTimeToLive(String),

    // RUN
    #[error("invalid network mode {}", quoted(.0))]
    NetworkMode(String),
    #[error("security {} is not valid", quoted(.0))]
    SecurityMode(String),
    #[error("failed to parse csv mounts: {0}")]
    MountCsv(String),
    #[error("failed to parse csv devices: {0}")]
    DeviceCsv(String),
    #[error("'from' doesn't support variable expansion, define alias stage instead")]
    FromVariable,
    #[error("invalid field '{0}' must be a key=value pair")]
    FieldWithoutValue(String),
    #[error("invalid value for {key}: {value}")]
    InvalidValue { key: String, value: String },
    #[error("invalid value {value} for {key}")]
    InvalidNumber { key: String, value: String },
    #[error("unexpected key '{key}' in '{field}'")]
    UnexpectedKey { key: String, field: String },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    UnexpectedKeyForType { key: String, kind: MountKind },
    #[error("unsupported mount type {}", quoted(.0))]
    MountType(String),
    #[error("unsupported sharing value {}", quoted(.0))]
    MountSharing(String),
    #[error("{key} not allowed for \"{kind}\" type mounts")]
    KeyNotAllowed { key: &'static str, kind: MountKind },
    #[error("secret mount should not have a from")]
    SecretFrom,
    #[error("secret mount should not define sharing")]
    SecretSharing,
    #[error("invalid secret mount. one of source, target required")]
    SecretWithoutSource,
    #[error("both source and id can't be set")]
    SecretSourceAndId,
    #[error("invalid cache sharing set for {0} mount")]
    SharingNotAllowed(MountKind),
    #[error("device name already set to {0}")]
    DeviceNameTwice(String),

    // EXPOSE, --chmod
    #[error("invalid port: {}: {problem}", quoted(.text))]
    Port { text: String, problem: String },
    #[error("invalid containerPort: {0}")]
    ContainerPort(String),
    #[error("invalid hostPort: {0}")]
    HostPort(String),
    #[error("invalid IP address: {0}")]
    IpAddress(String),
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    PortRanges { container: String, host: String },
    #[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
    OctalMode(String),
    #[error("invalid syntax")]
    SymbolicMode,

    // The whole
    #[error(
        "the file becomes more than {0} bytes: every command lists all variables, set fewer or shorter ones"
    )]
    TooMuchText(usize),

    // Words
    #[error(transparent)]
    Shell(#[from] shell::Error),
}
