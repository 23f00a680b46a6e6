//! Which field of a wire message prints under which name: the names of the `.proto` files, in their
//! order, every field `omitempty`. Names are not uniform there, and so they are not here.

use slipway_model::llb::pb;

use super::go_json::{Object, Value};

macro_rules! message {
    ($($type:ident { $($name:literal = $field:ident),* $(,)? })*) => {$(
        impl Value for pb::$type {
            fn write(&self, out: &mut String) {
                Object::begin(out)$(.some($name, &self.$field))*.end();
            }
        }
    )*};
}

message! {
    ExecOp {
        "meta" = meta, "mounts" = mounts, "network" = network, "security" = security,
        "secretenv" = secretenv, "cdiDevices" = cdi_devices,
    }
    Meta {
        "args" = args, "env" = env, "cwd" = cwd, "user" = user, "proxy_env" = proxy_env,
        "extraHosts" = extra_hosts, "hostname" = hostname, "ulimit" = ulimit,
        "cgroupParent" = cgroup_parent, "removeMountStubsRecursive" = remove_mount_stubs_recursive,
        "validExitCodes" = valid_exit_codes,
    }
    ProxyEnv {
        "http_proxy" = http_proxy, "https_proxy" = https_proxy, "ftp_proxy" = ftp_proxy,
        "no_proxy" = no_proxy, "all_proxy" = all_proxy,
    }
    HostIp { "Host" = host, "IP" = ip }
    Ulimit { "Name" = name, "Soft" = soft, "Hard" = hard }
    SecretEnv { "ID" = id, "name" = name, "optional" = optional }
    CdiDevice { "name" = name, "optional" = optional }
    Mount {
        "input" = input, "selector" = selector, "dest" = dest, "output" = output,
        "readonly" = readonly, "mountType" = mount_type, "TmpfsOpt" = tmpfs_opt,
        "cacheOpt" = cache_opt, "secretOpt" = secret_opt, "SSHOpt" = ssh_opt,
        "resultID" = result_id, "contentCache" = content_cache,
    }
    TmpfsOpt { "size" = size }
    CacheOpt { "ID" = id, "sharing" = sharing }
    SecretOpt { "ID" = id, "uid" = uid, "gid" = gid, "mode" = mode, "optional" = optional }
    SshOpt { "ID" = id, "uid" = uid, "gid" = gid, "mode" = mode, "optional" = optional }

    FileActionCopy {
        "src" = src, "dest" = dest, "owner" = owner, "mode" = mode, "followSymlink" = follow_symlink,
        "dirCopyContents" = dir_copy_contents,
        "attemptUnpackDockerCompatibility" = attempt_unpack_docker_compatibility,
        "createDestPath" = create_dest_path, "allowWildcard" = allow_wildcard,
        "allowEmptyWildcard" = allow_empty_wildcard, "timestamp" = timestamp,
        "include_patterns" = include_patterns, "exclude_patterns" = exclude_patterns,
        "alwaysReplaceExistingDestPaths" = always_replace_existing_dest_paths,
        "modeStr" = mode_str, "required_paths" = required_paths,
    }
    FileActionMkFile { "path" = path, "mode" = mode, "data" = data, "owner" = owner, "timestamp" = timestamp }
    FileActionMkDir {
        "path" = path, "mode" = mode, "makeParents" = make_parents, "owner" = owner, "timestamp" = timestamp,
    }
    FileActionRm { "path" = path, "allowNotFound" = allow_not_found, "allowWildcard" = allow_wildcard }
    FileActionSymlink { "oldpath" = oldpath, "newpath" = newpath, "owner" = owner, "timestamp" = timestamp }
    ChownOpt { "user" = user, "group" = group }
    NamedUserOpt { "name" = name, "input" = input }

    MergeOp { "inputs" = inputs }
    MergeInput { "input" = input }
    DiffOp { "lower" = lower, "upper" = upper }
    LowerDiffInput { "input" = input }
    UpperDiffInput { "input" = input }
    PassthroughOp { "id" = id, "outputs" = outputs }

    BuildOp { "builder" = builder, "inputs" = inputs, "def" = def, "attrs" = attrs }
    BuildInput { "input" = input }
    Definition { "def" = def, "metadata" = metadata, "Source" = source }
    OpMetadata {
        "ignore_cache" = ignore_cache, "description" = description, "export_cache" = export_cache,
        "caps" = caps, "progress_group" = progress_group, "linux_resources" = linux_resources,
    }
    ExportCache { "Value" = value }
    ProgressGroup { "id" = id, "name" = name, "weak" = weak }
    LinuxResources {
        "memory" = memory, "memorySwap" = memory_swap, "cpuShares" = cpu_shares, "cpuPeriod" = cpu_period,
        "cpuQuota" = cpu_quota, "cpusetCpus" = cpuset_cpus, "cpusetMems" = cpuset_mems,
    }
    Source { "locations" = locations, "infos" = infos }
    Locations { "locations" = locations }
    SourceInfo { "filename" = filename, "data" = data, "definition" = definition, "language" = language }
    Location { "sourceIndex" = source_index, "ranges" = ranges }
    Range { "start" = start, "end" = end }
    Position { "line" = line, "character" = character }
}

/// The one message that does not print its fields: uid 0 and "nobody given" look alike.
impl Value for pb::UserOpt {
    fn write(&self, out: &mut String) {
        Object::begin(out).always("User", &Choice(self)).end();
    }
}

struct Choice<'a>(&'a pb::UserOpt);

impl Value for Choice<'_> {
    fn write(&self, out: &mut String) {
        let fields = Object::begin(out);
        match &self.0.user {
            Some(pb::user_opt::User::ByName(named)) => fields.always("byName", named),
            Some(pb::user_opt::User::ById(id)) => fields.some("byId", id),
            None => fields,
        }
        .end();
    }
}
