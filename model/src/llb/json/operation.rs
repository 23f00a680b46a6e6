//! Each operation's own members, in the order of `ops.proto`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Members;
use crate::llb::pb;

/// One operation of a definition.
pub fn operation(op: &pb::Op) -> Value {
    let platform = op.platform.as_ref().map(|platform| {
        Members::default()
            .text("Architecture", &platform.architecture)
            .text("OS", &platform.os)
            .text("Variant", &platform.variant)
            .text("OSVersion", &platform.os_version)
            .texts("OSFeatures", &platform.os_features)
    });
    let constraints =
        op.constraints.as_ref().map(|wanted| Members::default().texts("filter", &wanted.filter));
    Members::default()
        .list("inputs", &op.inputs, |input| {
            Members::default().text("digest", &input.digest).number("index", input.index).into()
        })
        .value("Op", kind(op))
        .maybe("platform", platform)
        .maybe("constraints", constraints)
        .into()
}

/// Where operations come from, for one of them.
pub fn locations(locations: &pb::Locations) -> Value {
    let position = |position: &pb::Position| {
        Members::default().number("line", position.line).number("character", position.character)
    };
    let range = |range: &pb::Range| {
        Members::default()
            .maybe("start", range.start.as_ref().map(position))
            .maybe("end", range.end.as_ref().map(position))
            .into()
    };
    let location = |location: &pb::Location| {
        Members::default()
            .number("sourceIndex", location.source_index)
            .list("ranges", &location.ranges, range)
            .into()
    };
    Members::default().list("locations", &locations.locations, location).into()
}

fn kind(op: &pb::Op) -> Members {
    use pb::op::Op;
    let members = Members::default();
    match &op.op {
        Some(Op::Exec(op)) => members.value("exec", exec(op)),
        Some(Op::Source(op)) => members.value(
            "source",
            Members::default()
                .text("identifier", &op.identifier)
                .map("attrs", &op.attrs, |text| text.as_str().into()),
        ),
        Some(Op::File(op)) => {
            members.value("file", Members::default().list("actions", &op.actions, file_action))
        }
        Some(Op::Build(op)) => members.value("build", build(op)),
        Some(Op::Merge(op)) => members
            .value("merge", Members::default().list("inputs", &op.inputs, |input| numbered(input.input))),
        Some(Op::Diff(op)) => members.value(
            "diff",
            Members::default()
                .maybe("lower", op.lower.as_ref().map(|side| numbered(side.input)))
                .maybe("upper", op.upper.as_ref().map(|side| numbered(side.input))),
        ),
        Some(Op::Passthrough(op)) => members.value(
            "passthrough",
            Members::default().text("id", &op.id).list("outputs", &op.outputs, |output| (*output).into()),
        ),
        None => members,
    }
}

fn numbered(input: i64) -> Value {
    Members::default().number("input", input).into()
}

fn build(op: &pb::BuildOp) -> Members {
    let definition = op.def.as_ref().map(|definition| {
        Members::default().list("def", &definition.def, |bytes| STANDARD.encode(bytes).into())
    });
    Members::default()
        .number("builder", op.builder)
        .map("inputs", &op.inputs, |input| numbered(input.input))
        .maybe("def", definition)
        .map("attrs", &op.attrs, |text| text.as_str().into())
}

fn exec(op: &pb::ExecOp) -> Members {
    Members::default()
        .maybe("meta", op.meta.as_ref().map(meta))
        .list("mounts", &op.mounts, mount)
        .number("network", op.network)
        .number("security", op.security)
        .list("secretenv", &op.secretenv, |secret| {
            let members = Members::default().text("ID", &secret.id).text("name", &secret.name);
            members.flag("optional", secret.optional).into()
        })
        .list("cdiDevices", &op.cdi_devices, |device| {
            Members::default().text("name", &device.name).flag("optional", device.optional).into()
        })
}

fn meta(meta: &pb::Meta) -> Members {
    let proxy = meta.proxy_env.as_ref().map(|proxy| {
        Members::default()
            .text("http_proxy", &proxy.http_proxy)
            .text("https_proxy", &proxy.https_proxy)
            .text("ftp_proxy", &proxy.ftp_proxy)
            .text("no_proxy", &proxy.no_proxy)
            .text("all_proxy", &proxy.all_proxy)
    });
    Members::default()
        .texts("args", &meta.args)
        .texts("env", &meta.env)
        .text("cwd", &meta.cwd)
        .text("user", &meta.user)
        .maybe("proxy_env", proxy)
        .list("extraHosts", &meta.extra_hosts, |host| {
            Members::default().text("Host", &host.host).text("IP", &host.ip).into()
        })
        .text("hostname", &meta.hostname)
        .list("ulimit", &meta.ulimit, |limit| {
            let members = Members::default().text("Name", &limit.name);
            members.number("Soft", limit.soft).number("Hard", limit.hard).into()
        })
        .text("cgroupParent", &meta.cgroup_parent)
        .flag("removeMountStubsRecursive", meta.remove_mount_stubs_recursive)
        .list("validExitCodes", &meta.valid_exit_codes, |code| (*code).into())
}

fn mount(mount: &pb::Mount) -> Value {
    let owned = |id: &str, uid: u32, gid: u32, mode: u32, optional: bool| {
        let members = Members::default().text("ID", id).number("uid", uid).number("gid", gid);
        members.number("mode", mode).flag("optional", optional)
    };
    let tmpfs = mount.tmpfs_opt.as_ref().map(|tmpfs| Members::default().number("size", tmpfs.size));
    let cache = mount
        .cache_opt
        .as_ref()
        .map(|cache| Members::default().text("ID", &cache.id).number("sharing", cache.sharing));
    let secret = mount.secret_opt.as_ref();
    let ssh = mount.ssh_opt.as_ref();
    Members::default()
        .number("input", mount.input)
        .text("selector", &mount.selector)
        .text("dest", &mount.dest)
        .number("output", mount.output)
        .flag("readonly", mount.readonly)
        .number("mountType", mount.mount_type)
        .maybe("TmpfsOpt", tmpfs)
        .maybe("cacheOpt", cache)
        .maybe("secretOpt", secret.map(|it| owned(&it.id, it.uid, it.gid, it.mode, it.optional)))
        .maybe("SSHOpt", ssh.map(|it| owned(&it.id, it.uid, it.gid, it.mode, it.optional)))
        .text("resultID", &mount.result_id)
        .number("contentCache", mount.content_cache)
        .into()
}

fn file_action(action: &pb::FileAction) -> Value {
    use pb::file_action::Action;
    let members = Members::default();
    let members = match &action.action {
        Some(Action::Copy(action)) => members.value("copy", copy(action)),
        Some(Action::Mkfile(file)) => members.value(
            "mkfile",
            Members::default()
                .text("path", &file.path)
                .number("mode", file.mode)
                .text("data", &STANDARD.encode(&file.data))
                .maybe("owner", file.owner.as_ref().map(owner))
                .number("timestamp", file.timestamp),
        ),
        Some(Action::Mkdir(folder)) => members.value(
            "mkdir",
            Members::default()
                .text("path", &folder.path)
                .number("mode", folder.mode)
                .flag("makeParents", folder.make_parents)
                .maybe("owner", folder.owner.as_ref().map(owner))
                .number("timestamp", folder.timestamp),
        ),
        Some(Action::Rm(rm)) => members.value(
            "rm",
            Members::default()
                .text("path", &rm.path)
                .flag("allowNotFound", rm.allow_not_found)
                .flag("allowWildcard", rm.allow_wildcard),
        ),
        // The reference says nothing of links; what was done is worth a word.
        Some(Action::Symlink(link)) => members.value(
            "symlink",
            Members::default()
                .text("oldpath", &link.oldpath)
                .text("newpath", &link.newpath)
                .maybe("owner", link.owner.as_ref().map(owner))
                .number("timestamp", link.timestamp),
        ),
        None => members,
    };
    json!({
        "input": action.input,
        "secondaryInput": action.secondary_input,
        "output": action.output,
        "Action": Value::from(members),
    })
}

fn copy(copy: &pb::FileActionCopy) -> Members {
    Members::default()
        .text("src", &copy.src)
        .text("dest", &copy.dest)
        .maybe("owner", copy.owner.as_ref().map(owner))
        .number("mode", copy.mode)
        .flag("followSymlink", copy.follow_symlink)
        .flag("dirCopyContents", copy.dir_copy_contents)
        .flag("attemptUnpackDockerCompatibility", copy.attempt_unpack_docker_compatibility)
        .flag("createDestPath", copy.create_dest_path)
        .flag("allowWildcard", copy.allow_wildcard)
        .flag("allowEmptyWildcard", copy.allow_empty_wildcard)
        .number("timestamp", copy.timestamp)
        .texts("include_patterns", &copy.include_patterns)
        .texts("exclude_patterns", &copy.exclude_patterns)
        .flag("alwaysReplaceExistingDestPaths", copy.always_replace_existing_dest_paths)
        .text("modeStr", &copy.mode_str)
        .texts("required_paths", &copy.required_paths)
}

fn owner(owner: &pb::ChownOpt) -> Members {
    use pb::user_opt::User;
    let user = |user: &pb::UserOpt| {
        let choice = match &user.user {
            Some(User::ById(id)) => Members::default().number("byId", *id),
            Some(User::ByName(named)) => Members::default()
                .value("byName", Members::default().text("name", &named.name).number("input", named.input)),
            None => Members::default(),
        };
        Members::default().value("User", choice)
    };
    Members::default()
        .maybe("user", owner.user.as_ref().map(user))
        .maybe("group", owner.group.as_ref().map(user))
}
