//! The one spelling of a source that rules are compared with.

use slipway_model::llb::pb;

use crate::ops::cache_key::source::GitIdentifier;

const GIT: &str = "git://";
const FULL_URL: &str = "git.fullurl";

/// What `source` is called, whatever it calls itself: a git source by its remote, with the folder made plain.
pub(crate) fn name_of(source: &pb::SourceOp) -> String {
    let git = source.identifier.strip_prefix(GIT).and_then(|rest| GitIdentifier::parse(rest, source).ok());
    match git {
        Some(git) => git_name(&git),
        None => source.identifier.clone(),
    }
}

/// Called after `source` got another name: where the old one was fetched from is no longer true.
pub(super) fn forget_place(source: &mut pb::SourceOp) {
    source.attrs.remove(FULL_URL);
}

/// `git://HOST/PATH#REFERENCE:FOLDER`, the same for all protocols and users.
fn git_name(git: &GitIdentifier) -> String {
    let mut name = format!("{GIT}{}", place(&git.remote));
    if !git.reference.is_empty() || !git.subdir.is_empty() {
        name.push('#');
        name.push_str(&git.reference);
    }
    if !git.subdir.is_empty() {
        name.push(':');
        name.push_str(&git.subdir);
    }
    name
}

/// Host and path of a URL, or of the form `user@host:path`.
fn place(remote: &str) -> String {
    let (authority, path) = match remote.split_once("://") {
        Some((_, rest)) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => {
            // Whoever asks, with a password perhaps, stands before the last `@` of the host.
            let (host, path) = remote.split_at(remote.find('/').unwrap_or(remote.len()));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            let (host, start) = host.split_once(':').unwrap_or((host, ""));
            return name_at(host, &[start, path].concat());
        }
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    name_at(host, path)
}

fn name_at(host: &str, path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = slipway_model::lexical::clean_text(&format!("/{path}"));
    if path == "/" { host.to_owned() } else { format!("{host}{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_source_is_called_by_where_it_is() {
        let source = |identifier: &str, url: &str| {
            let attrs =
                [(FULL_URL.to_owned(), url.to_owned())].into_iter().filter(|(_, url)| !url.is_empty());
            name_of(&pb::SourceOp { identifier: identifier.into(), attrs: attrs.collect() })
        };
        for (identifier, url, expected) in [
            (
                "git://github.com/user/repo.git#main:../absolute/path",
                "",
                "git://github.com/user/repo.git#main:absolute/path",
            ),
            ("git://h/x", "https://user:secret@real.example:8080/y.git", "git://real.example:8080/y.git"),
            ("git://h/x#v1", "git@host:some/where.git", "git://host/some/where.git#v1"),
            ("git://h/x", "ssh://git@h/x", "git://h/x"),
            ("https://h/x#y", "", "https://h/x#y"),
            (
                "docker-image://docker.io/library/alpine:latest",
                "",
                "docker-image://docker.io/library/alpine:latest",
            ),
        ] {
            assert_eq!(source(identifier, url), expected);
        }
    }
}
