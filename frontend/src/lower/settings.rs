//! Instructions that only change the image config.

use slipway_model::ImageConfig;
use slipway_model::image_config::{Empty, Healthcheck};

use super::Lowering;
use super::history::add_setting;
use super::stage::StageState;
use crate::dockerfile::Instruction;
use crate::dockerfile::instruction::{
    CommandLine, Expose, HealthCheck, Maintainer, PortWord, Shell, StopSignal, User, Volume,
};
use crate::error::Failure;
use crate::lint;
use slipway_model::quote::quoted;

impl Lowering<'_> {
    pub(super) fn cmd(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        line: &CommandLine,
    ) -> Result<(), Failure> {
        let args = self.image_command(stage, instruction, line);
        add_setting(&mut stage.image, ["CMD ", &quoted_list(&args)].concat(), self.epoch);
        let config = &mut stage.image.config;
        config.cmd = (!args.is_empty()).then_some(args);
        // Deprecated, but what reads Docker's configs expects it.
        config.args_escaped = true;
        stage.has_cmd = true;
        Ok(())
    }

    pub(super) fn entrypoint(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        line: &CommandLine,
    ) -> Result<(), Failure> {
        let args = self.image_command(stage, instruction, line);
        add_setting(&mut stage.image, ["ENTRYPOINT ", &quoted_list(&args)].concat(), self.epoch);
        let config = &mut stage.image.config;
        config.entrypoint = (!args.is_empty()).then_some(args);
        if !stage.has_cmd {
            // The base's arguments were for the base's entrypoint.
            config.cmd = None;
        }
        Ok(())
    }

    fn image_command(
        &mut self,
        stage: &StageState,
        instruction: &Instruction,
        line: &CommandLine,
    ) -> Vec<String> {
        let has_shell = !stage.image.config.shell.is_empty();
        lint::json_args_recommended::check(instruction, has_shell, &mut self.linter);
        if line.prepend_shell { with_shell(&stage.image, &line.args) } else { line.args.clone() }
    }

    pub(super) fn healthcheck(&mut self, stage: &mut StageState, check: &HealthCheck) -> Result<(), Failure> {
        let config = check.config.clone();
        add_setting(&mut stage.image, ["HEALTHCHECK ", &shown_check(&config)].concat(), self.epoch);
        stage.image.config.healthcheck = Some(config);
        Ok(())
    }

    pub(super) fn expose(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        expose: &Expose,
    ) -> Result<(), Failure> {
        let mut words = Vec::new();
        for word in &expose.0 {
            words.extend(self.lexer.process_words(word, &stage.state.environment)?);
        }
        let mut ports = Vec::new();
        for word in &words {
            let port = PortWord::parse(word)?;
            lint::expose_proto_casing::check(instruction, word, &port, &mut self.linter);
            lint::expose_invalid_format::check(instruction, word, &port, &mut self.linter);
            ports.extend(port.ports()?);
        }
        add_setting(&mut stage.image, ["EXPOSE [", &ports.join(" "), "]"].concat(), self.epoch);
        stage.image.config.exposed_ports.extend(ports.into_iter().map(|port| (port, Empty {})));
        Ok(())
    }

    pub(super) fn maintainer(
        &mut self,
        stage: &mut StageState,
        maintainer: &Maintainer,
    ) -> Result<(), Failure> {
        stage.image.author.clone_from(&maintainer.0);
        add_setting(&mut stage.image, format!("MAINTAINER {}", maintainer.0), self.epoch);
        Ok(())
    }

    pub(super) fn shell(&mut self, stage: &mut StageState, shell: &Shell) -> Result<(), Failure> {
        stage.image.config.shell.clone_from(&shell.0);
        add_setting(&mut stage.image, ["SHELL [", &shell.0.join(" "), "]"].concat(), self.epoch);
        Ok(())
    }

    pub(super) fn stop_signal(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        signal: &StopSignal,
    ) -> Result<(), Failure> {
        let StopSignal(signal) = signal.expand(&mut |word| self.expand(stage, instruction, word))?;
        if !is_signal(&signal) {
            return Err(Failure::new(format!("invalid signal: {signal}")));
        }
        add_setting(&mut stage.image, format!("STOPSIGNAL {signal}"), self.epoch);
        stage.image.config.stop_signal = signal;
        Ok(())
    }

    pub(super) fn user(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        user: &User,
    ) -> Result<(), Failure> {
        let User(user) = user.expand(&mut |word| self.expand(stage, instruction, word))?;
        add_setting(&mut stage.image, format!("USER {user}"), self.epoch);
        stage.state.user.clone_from(&user);
        stage.image.config.user = user;
        Ok(())
    }

    pub(super) fn volume(
        &mut self,
        stage: &mut StageState,
        instruction: &Instruction,
        volume: &Volume,
    ) -> Result<(), Failure> {
        let Volume(paths) = volume.expand(&mut |word| self.expand(stage, instruction, word))?;
        if paths.iter().any(String::is_empty) {
            return Err(Failure::new("VOLUME specified can not be an empty string"));
        }
        add_setting(&mut stage.image, ["VOLUME [", &paths.join(" "), "]"].concat(), self.epoch);
        stage.image.config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        Ok(())
    }
}

/// Shell form: the stage's shell, and the command as its one argument.
pub(super) fn with_shell(image: &ImageConfig, args: &[String]) -> Vec<String> {
    let mut command = image.config.shell.clone();
    if command.is_empty() {
        let default: &[&str] =
            if image.platform.os == "windows" { &["cmd", "/S", "/C"] } else { &["/bin/sh", "-c"] };
        command = default.iter().map(|word| (*word).to_owned()).collect();
    }
    command.push(args.join(" "));
    command
}

/// `["a" "b"]`.
fn quoted_list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(quoted).collect::<Vec<_>>().join(" "))
}

fn shown_check(check: &Healthcheck) -> String {
    format!(
        "{{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        check.test.join(" "),
        shown_duration(check.interval),
        shown_duration(check.timeout),
        shown_duration(check.start_period),
        shown_duration(check.start_interval),
        check.retries
    )
}

/// Nanoseconds as Go shows them: `1h0m5s`, `1.5s`, `20ms`.
fn shown_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let (whole, rest) = (value / unit, value % unit);
        let width = unit.ilog10() as usize;
        let text = format!("{whole}.{rest:0width$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let text = match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{total}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(total, 1_000_000)),
        _ => {
            let (minutes, rest) = (total / 60_000_000_000, total % 60_000_000_000);
            let seconds = if rest == 0 { "0".to_owned() } else { fraction(rest, 1_000_000_000) };
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// A number other than 0, or one of Linux's names with or without `SIG`.
fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    const NAMES: [&str; 34] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
        "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
        "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
    ];
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix: &str, sign: char, most: u32| match name.strip_prefix(prefix) {
        Some("") => true,
        Some(rest) => {
            let number = rest.strip_prefix(sign).filter(|digits| !digits.starts_with(['0', '+']));
            number.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|number| number <= most)
        }
        None => false,
    };
    NAMES.contains(&name) || real_time("RTMIN", '+', 15) || real_time("RTMAX", '-', 14)
}
