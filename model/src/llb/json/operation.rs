//! Each operation's own members, in the order of `ops.proto`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Form, Members, file};
use crate::llb::pb;

/// One operation of a definition.
pub fn operation(op: &pb::Op, form: Form) -> Value {
    let platform = op.platform.as_ref().map(|platform| {
        Members::of(form)
            .text("Architecture", &platform.architecture)
            .text("OS", &platform.os)
            .text("Variant", &platform.variant)
            .text("OSVersion", &platform.os_version)
            .texts("OSFeatures", &platform.os_features)
    });
    let constraints = op.constraints.as_ref().map(|wanted| Members::of(form).texts("filter", &wanted.filter));
    let members = Members::of(form).list("inputs", &op.inputs, |input| {
        Members::of(form).text("digest", &input.digest).long("index", input.index).into()
    });
    let members = match form {
        Form::Go => members.value("Op", kind(op, Members::of(form), form)),
        Form::Proto => kind(op, members, form),
    };
    members.maybe("platform", platform).maybe("constraints", constraints).into()
}

/// Where an operation comes from.
pub fn location(location: &pb::Location) -> Value {
    let position = |position: &pb::Position| {
        Members::default().number("line", position.line).number("character", position.character)
    };
    let range = |range: &pb::Range| {
        Members::default()
            .maybe("start", range.start.as_ref().map(position))
            .maybe("end", range.end.as_ref().map(position))
            .into()
    };
    Members::default()
        .number("sourceIndex", location.source_index)
        .list("ranges", &location.ranges, range)
        .into()
}

/// With the member that says what `op` does.
fn kind(op: &pb::Op, members: Members, form: Form) -> Members {
    use pb::op::Op;
    let numbered = |input: i64| Members::of(form).long("input", input);
    match &op.op {
        Some(Op::Exec(op)) => members.value("exec", exec(op, form)),
        Some(Op::Source(op)) => members.value(
            "source",
            Members::of(form)
                .text("identifier", &op.identifier)
                .map("attrs", &op.attrs, |text| text.as_str().into()),
        ),
        Some(Op::File(op)) => members.value(
            "file",
            Members::of(form).list("actions", &op.actions, |action| file::action(action, form)),
        ),
        Some(Op::Build(op)) => members.value("build", build(op, form)),
        Some(Op::Merge(op)) => members.value(
            "merge",
            Members::of(form).list("inputs", &op.inputs, |input| numbered(input.input).into()),
        ),
        Some(Op::Diff(op)) => members.value(
            "diff",
            Members::of(form)
                .maybe("lower", op.lower.as_ref().map(|side| numbered(side.input)))
                .maybe("upper", op.upper.as_ref().map(|side| numbered(side.input))),
        ),
        Some(Op::Passthrough(op)) => members.value(
            "passthrough",
            Members::of(form).text("id", &op.id).list("outputs", &op.outputs, |output| (*output).into()),
        ),
        None => members,
    }
}

fn build(op: &pb::BuildOp, form: Form) -> Members {
    let definition = op.def.as_ref().map(|definition| {
        Members::of(form).list("def", &definition.def, |bytes| STANDARD.encode(bytes).into())
    });
    Members::of(form)
        .long("builder", op.builder)
        .map("inputs", &op.inputs, |input| Members::of(form).long("input", input.input).into())
        .maybe("def", definition)
        .map("attrs", &op.attrs, |text| text.as_str().into())
}

fn exec(op: &pb::ExecOp, form: Form) -> Members {
    Members::of(form)
        .maybe("meta", op.meta.as_ref().map(|it| meta(it, form)))
        .list("mounts", &op.mounts, |it| mount(it, form))
        .choice("network", op.network, op.network().as_str_name())
        .choice("security", op.security, op.security().as_str_name())
        .list("secretenv", &op.secretenv, |secret| {
            let members = Members::of(form).text("ID", &secret.id).text("name", &secret.name);
            members.flag("optional", secret.optional).into()
        })
        .list("cdiDevices", &op.cdi_devices, |device| {
            Members::of(form).text("name", &device.name).flag("optional", device.optional).into()
        })
}

fn meta(meta: &pb::Meta, form: Form) -> Members {
    let name = |go, proto| form.name(go, proto);
    let proxy = meta.proxy_env.as_ref().map(|proxy| {
        Members::of(form)
            .text(name("http_proxy", "httpProxy"), &proxy.http_proxy)
            .text(name("https_proxy", "httpsProxy"), &proxy.https_proxy)
            .text(name("ftp_proxy", "ftpProxy"), &proxy.ftp_proxy)
            .text(name("no_proxy", "noProxy"), &proxy.no_proxy)
            .text(name("all_proxy", "allProxy"), &proxy.all_proxy)
    });
    Members::of(form)
        .texts("args", &meta.args)
        .texts("env", &meta.env)
        .text("cwd", &meta.cwd)
        .text("user", &meta.user)
        .maybe(name("proxy_env", "proxyEnv"), proxy)
        .list("extraHosts", &meta.extra_hosts, |host| {
            Members::of(form).text("Host", &host.host).text("IP", &host.ip).into()
        })
        .text("hostname", &meta.hostname)
        .list("ulimit", &meta.ulimit, |limit| {
            let members = Members::of(form).text("Name", &limit.name);
            members.long("Soft", limit.soft).long("Hard", limit.hard).into()
        })
        .text("cgroupParent", &meta.cgroup_parent)
        .flag("removeMountStubsRecursive", meta.remove_mount_stubs_recursive)
        .list("validExitCodes", &meta.valid_exit_codes, |code| (*code).into())
}

fn mount(mount: &pb::Mount, form: Form) -> Value {
    let owned = |id: &str, uid: u32, gid: u32, mode: u32, optional: bool| {
        let members = Members::of(form).text("ID", id).number("uid", uid).number("gid", gid);
        members.number("mode", mode).flag("optional", optional)
    };
    let tmpfs = mount.tmpfs_opt.as_ref().map(|tmpfs| Members::of(form).long("size", tmpfs.size));
    let cache = mount.cache_opt.as_ref().map(|cache| {
        Members::of(form).text("ID", &cache.id).choice(
            "sharing",
            cache.sharing,
            cache.sharing().as_str_name(),
        )
    });
    let secret = mount.secret_opt.as_ref();
    let ssh = mount.ssh_opt.as_ref();
    Members::of(form)
        .long("input", mount.input)
        .text("selector", &mount.selector)
        .text("dest", &mount.dest)
        .long("output", mount.output)
        .flag("readonly", mount.readonly)
        .choice("mountType", mount.mount_type, mount.mount_type().as_str_name())
        .maybe("TmpfsOpt", tmpfs)
        .maybe("cacheOpt", cache)
        .maybe("secretOpt", secret.map(|it| owned(&it.id, it.uid, it.gid, it.mode, it.optional)))
        .maybe("SSHOpt", ssh.map(|it| owned(&it.id, it.uid, it.gid, it.mode, it.optional)))
        .text("resultID", &mount.result_id)
        .choice("contentCache", mount.content_cache, mount.content_cache().as_str_name())
        .into()
}
