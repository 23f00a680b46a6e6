//! `RUN`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use slipway_model::llb::{Node, pb};

use super::exec::{Exec, Mounted};
use super::history::add_layer;
use super::metadata::{Metadata, location};
use super::stage::{Planned, StageState};
use super::state::Environment;
use super::{Lowering, file};
use crate::dockerfile::heredoc;
use crate::dockerfile::instruction::{Device, InlineFile, Mount, MountKind, NetworkMode, Run, SecurityMode};
use crate::dockerfile::shell::{Lexer, Variables};
use crate::error::Failure;

impl Lowering<'_> {
    pub(super) fn run_command(
        &mut self,
        stage: &mut StageState,
        planned: &Planned,
        run: &Run,
    ) -> Result<(), Failure> {
        let instruction = &planned.instruction;
        let mounts = run.expand_mounts(&mut |word| self.expand(stage, instruction, word))?;
        // A command may read any file.
        self.path_sets[stage.paths].insert("/".to_owned());
        let mut exec = self.exec();
        let mut text = instruction.original.clone();
        let scripts = stage.image.platform.os != "windows";
        exec.args = self.run_arguments(run, scripts, &mut exec.mounts, &mut text)?;
        if run.command_line.prepend_shell {
            exec.args = super::settings::with_shell(&stage.image, &exec.args);
        }
        self.add_mounts(stage, planned, &mounts, &mut exec)?;
        match run.security {
            SecurityMode::Sandbox => {}
            SecurityMode::Insecure => exec.security = pb::SecurityMode::Insecure,
        }
        match run.network {
            NetworkMode::Default => {}
            NetworkMode::None => exec.network = pb::NetMode::None,
            NetworkMode::Host => exec.network = pb::NetMode::Host,
        }
        exec.devices = devices(run)?;
        exec.period = self.period(run.cache);
        let name = self.run_name(stage, &text, &mounts)?;
        if self.request.options.shm_size > 0 {
            exec.mounts.push(shared_memory(self.request.options.shm_size));
        }
        let history = ["RUN ", &with_arguments(stage, &exec.args)].concat();
        let metadata = Metadata::named(name)
            .command(instruction.original.clone())
            .ignore_cache(stage.ignore_cache || run.cache.no_cache)
            .resources(self.request.options.resources.as_ref());
        self.has_empty_command |= exec.args.is_empty();
        let node = exec.node(&mut stage.state, &self.target_platform, metadata);
        self.spend(node.variables.as_ref().map_or(0, |variables| variables.size()))?;
        let node = self.graph.add(Node { locations: vec![location(&instruction.ranges)], ..node });
        stage.state.output = Some(node.output());
        add_layer(&mut stage.image, &history, self.epoch);
        Ok(())
    }

    /// What options say for every command.
    fn exec(&self) -> Exec {
        let options = self.request.options;
        Exec {
            hostname: options.hostname.clone(),
            network: options.network,
            proxy: self.proxy.clone(),
            extra_hosts: options.extra_hosts.clone(),
            ulimits: options.ulimits.clone(),
            cgroup_parent: options.cgroup_parent.clone(),
            ..Exec::default()
        }
    }

    /// A single heredoc is the command itself: a script that is mounted if it names its interpreter.
    /// Others are left to the shell, all of them without `scripts`. `text` is what progress shows.
    fn run_arguments(
        &mut self,
        run: &Run,
        scripts: bool,
        mounts: &mut Vec<Mounted>,
        text: &mut String,
    ) -> Result<Vec<String>, Failure> {
        let line = &run.command_line;
        let Some(first) = line.files.first() else { return Ok(line.args.clone()) };
        let ([written], true) = (&line.args[..], line.prepend_shell) else {
            return Err(Failure::new(format!(
                "parsing produced an invalid run command: [{}]",
                line.args.join(" ")
            )));
        };
        if heredoc::parse(written)?.is_none() {
            return Ok(vec![reconstituted(written, &line.files)]);
        }
        text.push_str(&format!(" ({})", summary(&first.data)));
        let data = if first.chomp { heredoc::chomp(&first.data) } else { first.data.clone() };
        if !scripts || !data.starts_with("#!") {
            return Ok(vec![data]);
        }
        let script = self.graph.add(file::inline_file(&first.name, 0o755, data));
        let mount = pb::Mount {
            dest: "/dev/pipes/".to_owned(),
            selector: "/".to_owned(),
            readonly: true,
            ..pb::Mount::default()
        };
        mounts.push(Mounted { from: Some(script.output()), mount, discards: false });
        // The shell is put before it all the same.
        Ok(vec![format!("/dev/pipes/{}", first.name)])
    }

    fn run_name(&mut self, stage: &mut StageState, text: &str, mounts: &[Mount]) -> Result<String, Failure> {
        let lexer = Lexer { raw_quotes: true, skip_unset: true, ..self.lexer };
        let masked = Masked::new(&stage.state.environment, mounts);
        let text = self.shown(&lexer, text, &masked);
        self.spend(text.len())?;
        // The state's platform, which a stage from scratch does not have yet.
        let platform = stage.state.platform.clone();
        let shown = if self.request.options.multi_platform { platform.as_ref() } else { None };
        Ok(stage.progress.name(&stage.name, &text, shown, &stage.state.environment))
    }
}

/// Build arguments for proxies reach every command without being declared, and outside of its
/// environment: their values do not count for the cache.
pub(super) fn proxy(build_arguments: &BTreeMap<String, String>) -> Option<pb::ProxyEnv> {
    let mut proxy = pb::ProxyEnv::default();
    let mut found = false;
    for (key, value) in build_arguments {
        let place = match key.to_lowercase().as_str() {
            "http_proxy" => &mut proxy.http_proxy,
            "https_proxy" => &mut proxy.https_proxy,
            "ftp_proxy" => &mut proxy.ftp_proxy,
            "no_proxy" => &mut proxy.no_proxy,
            "all_proxy" => &mut proxy.all_proxy,
            _ => continue,
        };
        place.clone_from(value);
        found = true;
    }
    found.then_some(proxy)
}

/// Devices are of the channel `labs`.
fn devices(run: &Run) -> Result<Vec<pb::CdiDevice>, Failure> {
    if !cfg!(feature = "labs") && !run.devices.is_empty() {
        return Err(Failure::new(
            "device feature is only supported in Dockerfile frontend 1.14.0-labs or later",
        ));
    }
    let device = |device: &Device| pb::CdiDevice { name: device.name.clone(), optional: !device.required };
    Ok(run.devices.iter().map(device).collect())
}

/// Secrets in the environment show as `****`.
struct Masked<'a> {
    environment: &'a Environment,
    secrets: Vec<&'a str>,
}

impl<'a> Masked<'a> {
    fn new(environment: &'a Environment, mounts: &'a [Mount]) -> Self {
        let secrets = mounts.iter().filter(|mount| mount.kind == MountKind::Secret);
        Self { environment, secrets: secrets.filter_map(|mount| mount.env.as_deref()).collect() }
    }
}

impl Variables for Masked<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if self.secrets.contains(&name) {
            return Some(Cow::Borrowed("****"));
        }
        self.environment.get(name)
    }

    fn names(&self) -> Vec<String> {
        self.environment.names()
    }
}

fn shared_memory(size: i64) -> Mounted {
    let mount = pb::Mount {
        dest: "/dev/shm".to_owned(),
        mount_type: pb::MountType::Tmpfs.into(),
        tmpfs_opt: Some(pb::TmpfsOpt { size }),
        ..pb::Mount::default()
    };
    Mounted { from: None, mount, discards: false }
}

/// The command and its heredocs as the shell reads them.
fn reconstituted(line: &str, files: &[InlineFile]) -> String {
    let mut text = line.to_owned();
    for InlineFile { name, data, .. } in files {
        text.extend(["\n", data, name]);
    }
    text
}

/// The first line of a body.
fn summary(body: &str) -> String {
    let body = body.trim().replace("\r\n", "\n");
    match body.split_once('\n') {
        Some((first, _)) => format!("{first}..."),
        None => body,
    }
}

/// `|2 A=1 B=2 command`: the arguments count for the cache, so history shows them.
fn with_arguments(stage: &StageState, args: &[String]) -> String {
    let mut values: Vec<(&str, &str)> = Vec::new();
    let mut places = HashMap::new();
    for argument in stage.arguments.iter() {
        let value = stage.state.environment.value(&argument.key).or(argument.value.as_deref());
        let value = value.unwrap_or_default();
        let place = *places.entry(argument.key.as_str()).or_insert(values.len());
        match values.get_mut(place) {
            Some((_, known)) => *known = value,
            None => values.push((&argument.key, value)),
        }
    }
    let mut words = Vec::new();
    if !values.is_empty() {
        words.push(format!("|{}", values.len()));
        words.extend(values.iter().map(|(key, value)| format!("{key}={value}")));
    }
    words.extend_from_slice(args);
    words.join(" ")
}
