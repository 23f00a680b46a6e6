//! Operations as `protojson` writes them: names and order of `ops.proto`, numbers of 64 bits as text.

use serde_json::{Value, json};
use slipway_model::llb::pb;

use super::json::{Members, base64};

pub(super) fn operation(op: &pb::Op) -> Value {
    use pb::op::Op;
    let members = Members::default().list("inputs", &op.inputs, |input| {
        Members::default().text("digest", &input.digest).long("index", input.index).into()
    });
    let members = match &op.op {
        Some(Op::Exec(op)) => members.value("exec", exec(op)),
        Some(Op::Source(op)) => members.value("source", source(op)),
        Some(Op::File(op)) => {
            members.value("file", Members::default().list("actions", &op.actions, file_action))
        }
        Some(Op::Merge(op)) => members
            .value("merge", Members::default().list("inputs", &op.inputs, |input| numbered(input.input))),
        Some(Op::Diff(op)) => {
            let lower = op.lower.as_ref().map_or(Value::Null, |side| numbered(side.input));
            let upper = op.upper.as_ref().map_or(Value::Null, |side| numbered(side.input));
            members.value("diff", Members::default().value("lower", lower).value("upper", upper))
        }
        // Only graphs that the client made can hold others; they are told by their kind.
        Some(_) => members.value("build", json!({})),
        None => members,
    };
    let platform = op.platform.as_ref().map(|platform| {
        Members::default()
            .text("Architecture", &platform.architecture)
            .text("OS", &platform.os)
            .text("Variant", &platform.variant)
            .text("OSVersion", &platform.os_version)
            .texts("OSFeatures", &platform.os_features)
    });
    let constraints =
        op.constraints.as_ref().map(|constraints| Members::default().texts("filter", &constraints.filter));
    members
        .value("platform", platform.map_or(Value::Null, Value::from))
        .value("constraints", constraints.map_or(Value::Null, Value::from))
        .into()
}

fn numbered(input: i64) -> Value {
    Members::default().long("input", input).into()
}

fn source(op: &pb::SourceOp) -> Value {
    Members::default()
        .text("identifier", &op.identifier)
        .map("attrs", &op.attrs, |text| text.as_str().into())
        .into()
}

fn exec(op: &pb::ExecOp) -> Value {
    let network = match op.network() {
        pb::NetMode::Unset => "",
        other => other.as_str_name(),
    };
    let security = match op.security() {
        pb::SecurityMode::Sandbox => "",
        other => other.as_str_name(),
    };
    Members::default()
        .value("meta", op.meta.as_ref().map_or(Value::Null, meta))
        .list("mounts", &op.mounts, mount)
        .text("network", network)
        .text("security", security)
        .list("secretenv", &op.secretenv, |secret| {
            let members = Members::default().text("ID", &secret.id).text("name", &secret.name);
            members.flag("optional", secret.optional).into()
        })
        .list("cdiDevices", &op.cdi_devices, |device| {
            Members::default().text("name", &device.name).flag("optional", device.optional).into()
        })
        .into()
}

fn meta(meta: &pb::Meta) -> Value {
    let proxy = meta.proxy_env.as_ref().map(|proxy| {
        Members::default()
            .text("httpProxy", &proxy.http_proxy)
            .text("httpsProxy", &proxy.https_proxy)
            .text("ftpProxy", &proxy.ftp_proxy)
            .text("noProxy", &proxy.no_proxy)
            .text("allProxy", &proxy.all_proxy)
    });
    Members::default()
        .texts("args", &meta.args)
        .texts("env", &meta.env)
        .text("cwd", &meta.cwd)
        .text("user", &meta.user)
        .value("proxyEnv", proxy.map_or(Value::Null, Value::from))
        .list("extraHosts", &meta.extra_hosts, |host| {
            Members::default().text("Host", &host.host).text("IP", &host.ip).into()
        })
        .text("hostname", &meta.hostname)
        .list("ulimit", &meta.ulimit, |limit| {
            let members = Members::default().text("Name", &limit.name);
            members.long("Soft", limit.soft).long("Hard", limit.hard).into()
        })
        .text("cgroupParent", &meta.cgroup_parent)
        .flag("removeMountStubsRecursive", meta.remove_mount_stubs_recursive)
        .list("validExitCodes", &meta.valid_exit_codes, |code| (*code).into())
        .into()
}

fn mount(mount: &pb::Mount) -> Value {
    let kind = match mount.mount_type() {
        pb::MountType::Bind => "",
        other => other.as_str_name(),
    };
    let cache = mount.cache_opt.as_ref().map(|cache| {
        let sharing = match cache.sharing() {
            pb::CacheSharingOpt::Shared => "",
            other => other.as_str_name(),
        };
        Members::default().text("ID", &cache.id).text("sharing", sharing)
    });
    let secret = mount.secret_opt.as_ref().map(|secret| {
        owned(&secret.id, secret.uid, secret.gid, secret.mode).flag("optional", secret.optional)
    });
    let ssh = mount
        .ssh_opt
        .as_ref()
        .map(|ssh| owned(&ssh.id, ssh.uid, ssh.gid, ssh.mode).flag("optional", ssh.optional));
    let tmpfs = mount.tmpfs_opt.as_ref().map(|tmpfs| Members::default().long("size", tmpfs.size));
    Members::default()
        .long("input", mount.input)
        .text("selector", &mount.selector)
        .text("dest", &mount.dest)
        .long("output", mount.output)
        .flag("readonly", mount.readonly)
        .text("mountType", kind)
        .value("TmpfsOpt", tmpfs.map_or(Value::Null, Value::from))
        .value("cacheOpt", cache.map_or(Value::Null, Value::from))
        .value("secretOpt", secret.map_or(Value::Null, Value::from))
        .value("SSHOpt", ssh.map_or(Value::Null, Value::from))
        .into()
}

fn owned(id: &str, uid: u32, gid: u32, mode: u32) -> Members {
    Members::default().text("ID", id).number("uid", uid).number("gid", gid).number("mode", mode)
}

fn file_action(action: &pb::FileAction) -> Value {
    use pb::file_action::Action;
    let members = Members::default()
        .long("input", action.input)
        .long("secondaryInput", action.secondary_input)
        .long("output", action.output);
    match &action.action {
        Some(Action::Copy(action)) => members.value("copy", copy(action)),
        Some(Action::Mkfile(file)) => members.value(
            "mkfile",
            Members::default()
                .text("path", &file.path)
                .number("mode", file.mode)
                .text("data", &base64(&file.data))
                .value("owner", owner(file.owner.as_ref()))
                .long("timestamp", file.timestamp),
        ),
        Some(Action::Mkdir(folder)) => members.value(
            "mkdir",
            Members::default()
                .text("path", &folder.path)
                .number("mode", folder.mode)
                .flag("makeParents", folder.make_parents)
                .value("owner", owner(folder.owner.as_ref()))
                .long("timestamp", folder.timestamp),
        ),
        Some(Action::Rm(rm)) => members.value(
            "rm",
            Members::default()
                .text("path", &rm.path)
                .flag("allowNotFound", rm.allow_not_found)
                .flag("allowWildcard", rm.allow_wildcard),
        ),
        Some(Action::Symlink(link)) => members.value(
            "symlink",
            Members::default()
                .text("oldpath", &link.oldpath)
                .text("newpath", &link.newpath)
                .value("owner", owner(link.owner.as_ref()))
                .long("timestamp", link.timestamp),
        ),
        None => members,
    }
    .into()
}

fn copy(copy: &pb::FileActionCopy) -> Value {
    Members::default()
        .text("src", &copy.src)
        .text("dest", &copy.dest)
        .value("owner", owner(copy.owner.as_ref()))
        .number("mode", copy.mode)
        .flag("followSymlink", copy.follow_symlink)
        .flag("dirCopyContents", copy.dir_copy_contents)
        .flag("attemptUnpackDockerCompatibility", copy.attempt_unpack_docker_compatibility)
        .flag("createDestPath", copy.create_dest_path)
        .flag("allowWildcard", copy.allow_wildcard)
        .flag("allowEmptyWildcard", copy.allow_empty_wildcard)
        .long("timestamp", copy.timestamp)
        .texts("includePatterns", &copy.include_patterns)
        .texts("excludePatterns", &copy.exclude_patterns)
        .flag("alwaysReplaceExistingDestPaths", copy.always_replace_existing_dest_paths)
        .text("modeStr", &copy.mode_str)
        .texts("requiredPaths", &copy.required_paths)
        .into()
}

fn owner(owner: Option<&pb::ChownOpt>) -> Value {
    use pb::user_opt::User;
    let Some(owner) = owner else { return Value::Null };
    let user = |user: &Option<pb::UserOpt>| match user.as_ref().map(|user| &user.user) {
        None => Value::Null,
        Some(None) => json!({}),
        // A choice is written even if it is 0.
        Some(Some(User::ById(id))) => json!({ "byID": id }),
        Some(Some(User::ByName(named))) => Members::default()
            .value("byName", Members::default().text("name", &named.name).long("input", named.input))
            .into(),
    };
    Members::default().value("user", user(&owner.user)).value("group", user(&owner.group)).into()
}
