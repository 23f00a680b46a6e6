//! What a name means at the remote: one question, `ls-remote`.

use super::command::{Git, Place, Reach};
use crate::ops::cache_key::source::{GitIdentifier, ResolvedGit};
use crate::{Error, Result};

/// Asks for the reference, or for the default branch where none is named.
pub(super) async fn resolve(git: &Git, identifier: &GitIdentifier, shown: &str) -> Result<ResolvedGit> {
    let wanted = identifier.reference.as_str();
    let peeled = format!("{wanted}^{{}}");
    let asked = match wanted {
        "" => vec!["ls-remote", "--symref", "--", "origin", "HEAD"],
        wanted => vec!["ls-remote", "--", "origin", wanted, &peeled],
    };
    let failed = |error: Error| Error::Failed(format!("failed to fetch remote {shown}: {error}"));
    let answer = git.run(Reach::Origin, Place::default(), &asked).await.map_err(failed)?;
    let found = if wanted.is_empty() { default_branch(&answer) } else { named(wanted, &answer) };
    let resolved = found.ok_or_else(|| match wanted {
        "" => Error::Failed(format!("could not find default branch for repository: {shown}")),
        wanted => Error::Failed(format!("repository does not contain ref {wanted}, output: {answer:?}")),
    })?;
    let is_hash =
        |text: &str| matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash(&resolved.checksum) {
        return Err(Error::Failed(format!("invalid commit sha {:?}", resolved.checksum)));
    }
    Ok(resolved)
}

/// Whether it is what was demanded, if something was.
pub(super) fn check(identifier: &GitIdentifier, resolved: &ResolvedGit) -> Result<()> {
    let other = resolved.commit.as_deref().map(|commit| identifier.check(commit));
    match (identifier.check(&resolved.checksum), other) {
        (Ok(()), _) | (_, Some(Ok(()))) => Ok(()),
        (Err(error), _) => Err(Error::Failed(error.to_string())),
    }
}

/// Whether git complains of the way to the remote, and not of the remote's answer.
pub(super) fn is_unreachable(complaint: &str) -> bool {
    let known = [
        "Could not resolve host",
        "Temporary failure in name resolution",
        "Name or service not known",
        "Failed to connect",
        "Couldn't connect to server",
        "unable to connect to",
        "Connection refused",
        "Connection reset",
        "Connection timed out",
        "Operation timed out",
        "Network is unreachable",
        "No route to host",
        "Empty reply from server",
        "the remote end hung up unexpectedly",
        "returned error: 502",
        "returned error: 503",
        "returned error: 504",
    ];
    known.iter().any(|words| complaint.contains(words))
}

/// As it is remembered: lines of the reference, the object, and the commit behind a tag.
pub(super) fn to_text(resolved: &ResolvedGit) -> String {
    let commit = resolved.commit.as_deref().unwrap_or_default();
    format!("{}\n{}\n{commit}", resolved.reference, resolved.checksum)
}

pub(super) fn from_text(text: &str) -> Option<ResolvedGit> {
    let mut lines = text.split('\n');
    let (reference, checksum, commit) = (lines.next()?, lines.next()?, lines.next()?);
    Some(resolved(reference, checksum, Some(commit).filter(|commit| !commit.is_empty())))
}

/// Of `ref: refs/heads/main<TAB>HEAD` and `HASH<TAB>HEAD`.
fn default_branch(answer: &str) -> Option<ResolvedGit> {
    let lines =
        || answer.lines().filter_map(|line| line.split_once('\t')).filter(|(_, name)| *name == "HEAD");
    let branch = lines().find_map(|(target, _)| target.strip_prefix("ref: "))?;
    let (checksum, _) = lines().find(|(target, _)| !target.starts_with("ref: "))?;
    branch.starts_with("refs/heads/").then(|| resolved(branch, checksum, None))
}

/// A full name first, then a branch, then a tag, as `git checkout` prefers.
fn named(wanted: &str, answer: &str) -> Option<ResolvedGit> {
    let hash = |name: &str| {
        let mut lines = answer.lines().filter_map(|line| line.split_once('\t'));
        lines.find(|(_, found)| *found == name).map(|(hash, _)| hash)
    };
    let below = |prefix: &str| format!("{prefix}{}", wanted.strip_prefix(prefix).unwrap_or(wanted));
    let (full, branch, tag) = (below("refs/"), below("refs/heads/"), below("refs/tags/"));
    if let Some(hash) = hash(&full).filter(|_| full != tag) {
        return Some(resolved(&full, hash, None));
    }
    if let Some(hash) = hash(&branch) {
        return Some(resolved(&branch, hash, None));
    }
    hash(&tag).map(|object| resolved(&tag, object, hash(&format!("{tag}^{{}}"))))
}

fn resolved(reference: &str, checksum: &str, commit: Option<&str>) -> ResolvedGit {
    let (reference, checksum) = (reference.to_owned(), checksum.to_owned());
    ResolvedGit { reference, checksum, commit: commit.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_goes_before_a_tag_of_the_same_name() {
        let answer = "aa\trefs/tags/v1\nbb\trefs/tags/v1^{}\ncc\trefs/heads/x/v1\n";
        assert_eq!(named("v1", answer), Some(resolved("refs/tags/v1", "aa", Some("bb"))));
        assert_eq!(named("refs/tags/v1", answer), Some(resolved("refs/tags/v1", "aa", Some("bb"))));
        assert_eq!(named("tags/v1", answer), Some(resolved("refs/tags/v1", "aa", None)));
        assert_eq!(named("heads/x/v1", answer), Some(resolved("refs/heads/x/v1", "cc", None)));
        let both = format!("{answer}dd\trefs/heads/v1\n");
        assert_eq!(named("v1", &both), Some(resolved("refs/heads/v1", "dd", None)));
        assert_eq!(named("v2", &both), None);
    }

    #[test]
    fn what_is_remembered_is_what_was_noted() {
        for commit in [None, Some("bb")] {
            let noted = resolved("refs/tags/v1", "aa", commit);
            assert_eq!(from_text(&to_text(&noted)), Some(noted));
        }
        assert_eq!(from_text("nothing"), None);
    }

    #[test]
    fn the_default_branch_is_what_head_points_at() {
        let answer = "ref: refs/heads/main\tHEAD\naa\tHEAD\nbb\trefs/remotes/origin/HEAD\n";
        assert_eq!(default_branch(answer), Some(resolved("refs/heads/main", "aa", None)));
        assert_eq!(default_branch("aa\tHEAD\n"), None);
        assert_eq!(default_branch(""), None);
    }
}
