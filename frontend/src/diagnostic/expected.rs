//! What would have been right, for each kind of fault that has an answer shorter than a manual.

use crate::dockerfile::{Fault, instruction};

/// `keyword` is the instruction's, in capitals. Empty where nothing helps beyond the message.
pub(super) fn of(fault: &Fault, keyword: &str) -> String {
    let text = match fault {
        Fault::UnknownInstruction(_) => return format!("one of {}", instruction::keywords().join(", ")),
        Fault::UnknownFlag(_) => return flags(keyword),
        Fault::FlagWithoutValue(flag) => return format!("--{flag}=<value>"),
        Fault::FlagNotBoolean { flag, .. } => return format!("--{flag}, --{flag}=true or --{flag}=false"),
        Fault::UnterminatedHeredoc => "a line that is nothing but the delimiter",
        Fault::EscapeToken(_) => "# escape=\\ or # escape=`",
        Fault::FromArguments => "FROM [--platform=<platform>] <image> [AS <name>]",
        Fault::StageName(_) => "a letter, then letters, digits, '-', '_' or '.'",
        Fault::NoStage => "a FROM instruction before it; only ARG may stand before the first",
        Fault::NoInstructions => "at least a FROM instruction",
        Fault::MissingEquals(_) => "<name>=<value>, with quotes around values that hold spaces",
        Fault::TwoArguments(_) => "<name>=<value>",
        Fault::JsonNotStrings => "[\"a\", \"b\"]: every member in double quotes",
        Fault::NotJson(_) => "[\"executable\", \"parameter\"]",
        Fault::NoDestination(_) => "<source>... <destination>",
        Fault::HealthcheckType(_) => "HEALTHCHECK [<flags>] CMD <command>, or HEALTHCHECK NONE",
        Fault::ShortInterval(_) | Fault::Duration(_) => "a duration of 1ms or more, as 30s or 1m30s",
        Fault::NetworkMode(_) => "default, none or host",
        Fault::SecurityMode(_) => "sandbox or insecure",
        Fault::MountType(_) => "bind, cache, secret, ssh or tmpfs",
        Fault::MountSharing(_) => "shared, private or locked",
        Fault::FromVariable => "a stage of its own: FROM ${IMAGE} AS <name>, then from=<name>",
        Fault::FieldWithoutValue(_) => "<key>=<value>",
        Fault::ContainerPort(_) | Fault::Port { .. } => "<port>[-<port>][/tcp|udp|sctp]",
        Fault::OctalMode(_) | Fault::SymbolicMode => "an octal number as 755, or changes as u=rwX,go-w",
        Fault::ChainedOnBuild => "ONBUILD <instruction>, only once",
        _ => "",
    };
    text.to_owned()
}

fn flags(keyword: &str) -> String {
    match instruction::flags(keyword) {
        [] => format!("no flag: {keyword} has none"),
        flags => {
            let flags: Vec<String> = flags.iter().map(|(name, _)| format!("--{name}")).collect();
            format!("one of {}", flags.join(", "))
        }
    }
}
