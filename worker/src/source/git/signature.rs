//! Signatures of commits and tags, by the keys that a build names.
//!
//! | object | what is signed | where the signature is |
//! |---|---|---|
//! | commit | the object without its signature headers | `gpgsig`, or `gpgsig-sha256` in a repository of SHA-256 |
//! | annotated tag | all that is before the signature | the end of its message |
//!
//! The signature of a tag goes before that of its commit, unless the build says otherwise.

use super::super::ssh_signature as ssh;
use super::command::{Git, Reach};
use super::repository::Repository;
use crate::ops::cache_key::source::{GitSignature, ResolvedGit};
use crate::{Error, Result};

const PGP: &str = "-----BEGIN PGP SIGNATURE-----";

/// Whether what the reference came to is signed as the build wants it.
pub(super) async fn check(
    git: &Git,
    repository: &Repository,
    rules: &GitSignature,
    resolved: &ResolvedGit,
) -> Result<()> {
    let object = |name: String| async move {
        let kind = git.run(Reach::Here, repository.place(), &["cat-file", "-t", &name]).await?;
        let bytes =
            git.run_for_bytes(Reach::Here, repository.place(), &["cat-file", kind.trim(), &name]).await?;
        Ok::<_, Error>((kind.trim().to_owned(), bytes))
    };
    let (kind, bytes) = object(resolved.checksum.clone()).await?;
    let is_tag = kind == "tag";
    let mut of_tag = None;
    if is_tag && !rules.ignore_signed_tag {
        match tag(&bytes).verify(rules) {
            Ok(()) => return Ok(()),
            Err(reason) => of_tag = Some(reason),
        }
    }
    let failed = |reason: String| Err(Error::Failed(format!("{}: {reason}", resolved.checksum)));
    if rules.require_signed_tag {
        return failed(of_tag.unwrap_or_else(|| "signed tag required but no signed tag found".into()));
    }
    let bytes = if is_tag { object(format!("{}^{{commit}}", resolved.checksum)).await?.1 } else { bytes };
    match commit(&bytes, resolved.checksum.len() == 64).verify(rules) {
        Ok(()) => Ok(()),
        Err(reason) => failed(reason),
    }
}

/// What was signed, and by what.
#[derive(Debug, PartialEq, Eq)]
struct Signed {
    data: Vec<u8>,
    signature: Option<String>,
}

impl Signed {
    fn verify(&self, rules: &GitSignature) -> Result<(), String> {
        let Some(signature) = &self.signature else { return Err("git object is not signed".into()) };
        if signature.starts_with(ssh::BEGIN) {
            return ssh::verify(&self.data, signature, &rules.keys);
        }
        if signature.starts_with(PGP) {
            return Err("OpenPGP signatures are not supported: sign with an SSH key".into());
        }
        Err("invalid signature format".into())
    }
}

fn commit(object: &[u8], is_sha256: bool) -> Signed {
    let own: &[u8] = if is_sha256 { b"gpgsig-sha256 " } else { b"gpgsig " };
    let headers_end = find(object, b"\n\n").map_or(object.len(), |at| at + 1);
    let (headers, rest) = object.split_at_checked(headers_end).unwrap_or((object, b""));
    let (mut data, mut signature) = (Vec::with_capacity(object.len()), None::<Vec<u8>>);
    // Whether the lines that follow a signature's first belong to it, and to ours.
    let (mut in_signature, mut in_own) = (false, false);
    for line in headers.split_inclusive(|byte| *byte == b'\n') {
        if let (true, Some(more)) = (in_signature, line.strip_prefix(b" ")) {
            if in_own && let Some(signature) = &mut signature {
                signature.extend(more);
            }
            continue;
        }
        in_signature = line.starts_with(b"gpgsig ") || line.starts_with(b"gpgsig-sha256 ");
        in_own = false;
        if !in_signature {
            data.extend(line);
        } else if let (Some(first), None) = (line.strip_prefix(own), &signature) {
            in_own = true;
            signature = Some(first.to_vec());
        }
    }
    data.extend(rest);
    Signed { data, signature: signature.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) }
}

fn tag(object: &[u8]) -> Signed {
    match [PGP, ssh::BEGIN].iter().filter_map(|mark| rfind_line(object, mark.as_bytes())).max() {
        None => Signed { data: object.to_vec(), signature: None },
        Some(at) => {
            let (data, signature) = object.split_at_checked(at).unwrap_or((object, b""));
            Signed { data: data.to_vec(), signature: Some(String::from_utf8_lossy(signature).into_owned()) }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The last line that begins so.
fn rfind_line(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let at = bytes.windows(wanted.len()).rposition(|window| window == wanted)?;
    let begins_line = at == 0 || bytes.get(at - 1) == Some(&b'\n');
    begins_line.then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_signatures_are_not_signed() {
        let object = b"tree aa\nauthor x\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n body\n -----END\ngpgsig-sha256 other\n more\nencoding y\n\ngpgsig is only text here\n";
        let signed = commit(object, false);
        assert_eq!(signed.data, b"tree aa\nauthor x\nencoding y\n\ngpgsig is only text here\n");
        assert_eq!(signed.signature.as_deref(), Some("-----BEGIN PGP SIGNATURE-----\n\nbody\n-----END\n"));
        assert_eq!(commit(object, true).signature.as_deref(), Some("other\nmore\n"));
        assert_eq!(commit(b"tree aa\n\ntext", false).signature, None);
        assert_eq!(commit(b"", false).data, b"");
    }

    #[test]
    fn a_tags_signature_ends_it() {
        let object = b"object aa\ntype commit\n\nsays -----BEGIN PGP SIGNATURE----- in passing\n-----BEGIN SSH SIGNATURE-----\nbody\n";
        let signed = tag(object);
        assert!(signed.data.ends_with(b"in passing\n"));
        assert_eq!(signed.signature.as_deref(), Some("-----BEGIN SSH SIGNATURE-----\nbody\n"));
        assert_eq!(tag(b"object aa\n\nmessage\n").signature, None);
    }
}
