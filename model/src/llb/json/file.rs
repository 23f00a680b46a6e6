//! What is done to files, action by action.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Form, Members};
use crate::llb::pb;

pub(super) fn action(action: &pb::FileAction, form: Form) -> Value {
    use pb::file_action::Action;
    let indices =
        [("input", action.input), ("secondaryInput", action.secondary_input), ("output", action.output)];
    let members = Members::of(form);
    let members = match form {
        Form::Go => members,
        Form::Proto => indices.iter().fold(members, |members, (key, index)| members.long(key, *index)),
    };
    let members = match &action.action {
        Some(Action::Copy(action)) => members.value("copy", copy(action, form)),
        Some(Action::Mkfile(file)) => members.value(
            "mkfile",
            Members::of(form)
                .text("path", &file.path)
                .number("mode", file.mode)
                .text("data", &STANDARD.encode(&file.data))
                .maybe("owner", file.owner.as_ref().map(|it| owner(it, form)))
                .long("timestamp", file.timestamp),
        ),
        Some(Action::Mkdir(folder)) => members.value(
            "mkdir",
            Members::of(form)
                .text("path", &folder.path)
                .number("mode", folder.mode)
                .flag("makeParents", folder.make_parents)
                .maybe("owner", folder.owner.as_ref().map(|it| owner(it, form)))
                .long("timestamp", folder.timestamp),
        ),
        Some(Action::Rm(rm)) => members.value(
            "rm",
            Members::of(form)
                .text("path", &rm.path)
                .flag("allowNotFound", rm.allow_not_found)
                .flag("allowWildcard", rm.allow_wildcard),
        ),
        // The reference says nothing of links; what was done is worth a word.
        Some(Action::Symlink(link)) => members.value(
            "symlink",
            Members::of(form)
                .text("oldpath", &link.oldpath)
                .text("newpath", &link.newpath)
                .maybe("owner", link.owner.as_ref().map(|it| owner(it, form)))
                .long("timestamp", link.timestamp),
        ),
        None => members,
    };
    match form {
        Form::Proto => members.into(),
        // Here indices are told even if they are 0.
        Form::Go => {
            let told = indices.iter().fold(Members::of(form), |told, (key, index)| told.value(key, *index));
            told.value("Action", members).into()
        }
    }
}

fn copy(copy: &pb::FileActionCopy, form: Form) -> Members {
    Members::of(form)
        .text("src", &copy.src)
        .text("dest", &copy.dest)
        .maybe("owner", copy.owner.as_ref().map(|it| owner(it, form)))
        .number("mode", copy.mode)
        .flag("followSymlink", copy.follow_symlink)
        .flag("dirCopyContents", copy.dir_copy_contents)
        .flag("attemptUnpackDockerCompatibility", copy.attempt_unpack_docker_compatibility)
        .flag("createDestPath", copy.create_dest_path)
        .flag("allowWildcard", copy.allow_wildcard)
        .flag("allowEmptyWildcard", copy.allow_empty_wildcard)
        .long("timestamp", copy.timestamp)
        .texts(form.name("include_patterns", "includePatterns"), &copy.include_patterns)
        .texts(form.name("exclude_patterns", "excludePatterns"), &copy.exclude_patterns)
        .flag("alwaysReplaceExistingDestPaths", copy.always_replace_existing_dest_paths)
        .text("modeStr", &copy.mode_str)
        .texts(form.name("required_paths", "requiredPaths"), &copy.required_paths)
}

fn owner(owner: &pb::ChownOpt, form: Form) -> Members {
    use pb::user_opt::User;
    let user = |user: &pb::UserOpt| {
        let members = Members::of(form);
        let choice = match &user.user {
            // `protojson` writes a choice even if it is 0.
            Some(User::ById(id)) if form == Form::Proto => members.value("byID", *id),
            Some(User::ById(id)) => members.number("byId", *id),
            Some(User::ByName(named)) => members
                .value("byName", Members::of(form).text("name", &named.name).long("input", named.input)),
            None => members,
        };
        match form {
            Form::Go => Members::of(form).value("User", choice),
            Form::Proto => choice,
        }
    };
    Members::of(form)
        .maybe("user", owner.user.as_ref().map(user))
        .maybe("group", owner.group.as_ref().map(user))
}
