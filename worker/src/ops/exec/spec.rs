//! The process as the runtime wants it.

use slipway_model::llb::pb;
use slipway_model::llb::pb::{NetMode, SecurityMode};
use slipway_run::{HostIp, Network, ProcessSpec, Resources, Security, Ulimit};
use slipway_solver::OpContext;

use super::ExecOp;
use super::mounts::Mounts;
use crate::{Error, Result, Value, Worker};

pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) async fn process_spec(
    op: &ExecOp,
    meta: &pb::Meta,
    ctx: &OpContext<Value>,
    mounts: &Mounts,
) -> Result<ProcessSpec> {
    let mut spec = ProcessSpec::new(op.worker.new_id()?, mounts.root.clone(), meta.args.clone());
    spec.env = environment(op, meta, ctx).await?;
    spec.cwd = meta.cwd.clone();
    spec.user = meta.user.clone();
    spec.readonly_root = mounts.readonly_root;
    spec.mounts = mounts.others.clone();
    spec.hostname = meta.hostname.clone();
    spec.extra_hosts = meta.extra_hosts.iter().map(extra_host).collect::<Result<_>>()?;
    spec.network = network(&op.worker, op.exec.network());
    spec.security = security(op.exec.security());
    spec.ulimits = meta.ulimit.iter().map(ulimit).collect();
    spec.cgroup_parent = (!meta.cgroup_parent.is_empty()).then(|| meta.cgroup_parent.clone());
    spec.resources = op.resources.as_ref().map(resources).unwrap_or_default();
    spec.remove_mount_stubs_recursive = meta.remove_mount_stubs_recursive;
    Ok(spec)
}

pub(crate) fn network(worker: &Worker, mode: NetMode) -> Network {
    match mode {
        NetMode::None => Network::None,
        NetMode::Host => Network::Host,
        NetMode::Unset => worker.default_network,
    }
}

pub(crate) fn security(mode: SecurityMode) -> Security {
    match mode {
        SecurityMode::Sandbox => Security::Sandbox,
        SecurityMode::Insecure => Security::Insecure,
    }
}

/// The step's own variables, a default `PATH`, proxies, and secrets that are asked for as variables.
async fn environment(op: &ExecOp, meta: &pb::Meta, ctx: &OpContext<Value>) -> Result<Vec<String>> {
    let mut env = Vec::new();
    if let Some(proxy) = &meta.proxy_env {
        env.extend(proxy_variables(proxy));
    }
    if !meta.env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.push(DEFAULT_PATH.to_owned());
    }
    env.extend(meta.env.iter().cloned());
    env.extend(secret_variables(&op.worker, &ctx.sessions(), &op.exec.secretenv).await?);
    Ok(env)
}

/// Secrets that are asked for as variables.
pub(crate) async fn secret_variables(
    worker: &Worker,
    sessions: &[String],
    wanted: &[pb::SecretEnv],
) -> Result<Vec<String>> {
    let mut env = Vec::new();
    for secret in wanted {
        match worker.secret(sessions, &secret.id).await? {
            Some(bytes) => {
                let value = String::from_utf8(bytes.into_inner())
                    .map_err(|_| Error::Failed(format!("secret {} is not a text", secret.id)))?;
                env.push(format!("{}={value}", secret.name));
            }
            None if secret.optional => {}
            None => return Err(Error::SecretNotFound(secret.id.clone())),
        }
    }
    Ok(env)
}

fn proxy_variables(proxy: &pb::ProxyEnv) -> Vec<String> {
    let all = [
        ("HTTP_PROXY", &proxy.http_proxy),
        ("HTTPS_PROXY", &proxy.https_proxy),
        ("FTP_PROXY", &proxy.ftp_proxy),
        ("NO_PROXY", &proxy.no_proxy),
        ("ALL_PROXY", &proxy.all_proxy),
    ];
    let set = all.into_iter().filter(|(_, value)| !value.is_empty());
    set.flat_map(|(name, value)| [format!("{name}={value}"), format!("{}={value}", name.to_lowercase())])
        .collect()
}

pub(crate) fn extra_host(host: &pb::HostIp) -> Result<HostIp> {
    let ip = host.ip.parse().map_err(|_| {
        Error::Failed(format!(
            "extra host {:?} has the address {:?}, which is not an IP address",
            host.host, host.ip
        ))
    })?;
    Ok(HostIp { host: host.host.clone(), ip })
}

fn ulimit(limit: &pb::Ulimit) -> Ulimit {
    Ulimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard }
}

fn resources(limits: &pb::LinuxResources) -> Resources {
    Resources {
        memory: limits.memory,
        memory_swap: limits.memory_swap,
        cpu_shares: limits.cpu_shares,
        cpu_period: limits.cpu_period,
        cpu_quota: limits.cpu_quota,
        cpuset_cpus: limits.cpuset_cpus.clone(),
        cpuset_mems: limits.cpuset_mems.clone(),
    }
}
