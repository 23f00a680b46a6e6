//! SSH signatures (`PROTOCOL.sshsig` of OpenSSH), as git has them.
//!
//! The signature brings the key that made it; that key must be one of those that the build names. What is signed is
//! not the data but a frame around its hash, so that a signature for one purpose is none for another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

pub(crate) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
/// What git signs for.
const NAMESPACE: &[u8] = b"git";

/// Checks an armored signature of `data` against `keys`, lines in the form of `authorized_keys`.
pub(crate) fn verify(data: &[u8], signature: &str, keys: &str) -> Result<(), String> {
    let keys = parse_keys(keys)?;
    let blob = unarmored(signature)?;
    let signature = Signature::parse(&blob).ok_or("failed to parse ssh signature")?;
    let hash = match signature.hash {
        b"sha256" => digest::digest(&digest::SHA256, data),
        b"sha512" => digest::digest(&digest::SHA512, data),
        other => {
            let other = String::from_utf8_lossy(other);
            return Err(format!("unsupported SSH signature hash algorithm: {other}"));
        }
    };
    if signature.version != VERSION {
        return Err(format!("unsupported SSH signature version: {}", signature.version));
    }
    if signature.namespace != NAMESPACE {
        let namespace = String::from_utf8_lossy(signature.namespace);
        return Err(format!("unexpected SSH signature namespace: {namespace:?}"));
    }
    if !keys.iter().any(|key| key == signature.key) {
        return Err("failed to verify ssh signature: it was made with another key".into());
    }
    let mut signed = MAGIC.to_vec();
    for part in [signature.namespace, b"", signature.hash, hash.as_ref()] {
        signed.extend((part.len() as u32).to_be_bytes());
        signed.extend(part);
    }
    check(signature.key, signature.signature, &signed)
        .map_err(|reason| format!("failed to verify ssh signature: {reason}"))
}

struct Signature<'a> {
    version: u32,
    key: &'a [u8],
    namespace: &'a [u8],
    hash: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signature<'a> {
    fn parse(blob: &'a [u8]) -> Option<Self> {
        let mut rest = blob.strip_prefix(MAGIC)?;
        let version = number(&mut rest)?;
        let (key, namespace) = (string(&mut rest)?, string(&mut rest)?);
        let (_reserved, hash, signature) = (string(&mut rest)?, string(&mut rest)?, string(&mut rest)?);
        rest.is_empty().then_some(Self { version, key, namespace, hash, signature })
    }
}

fn check(key: &[u8], signature: &[u8], signed: &[u8]) -> Result<(), String> {
    const BROKEN: &str = "it is not well formed";
    let (mut key, mut signature) = (key, signature);
    let kind = string(&mut key).ok_or(BROKEN)?;
    let (form, bytes) = (string(&mut signature).ok_or(BROKEN)?, string(&mut signature).ok_or(BROKEN)?);
    let wrong = |_: ring::error::Unspecified| "the signature is wrong".to_owned();
    let plain = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8], bytes: &[u8]| {
        UnparsedPublicKey::new(algorithm, key).verify(signed, bytes).map_err(wrong)
    };
    match (kind, form) {
        (b"ssh-ed25519", b"ssh-ed25519") => plain(&ED25519, string(&mut key).ok_or(BROKEN)?, bytes),
        (b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp256") => {
            let _curve = string(&mut key).ok_or(BROKEN)?;
            let fixed = fixed(bytes, 32).ok_or(BROKEN)?;
            plain(&ECDSA_P256_SHA256_FIXED, string(&mut key).ok_or(BROKEN)?, &fixed)
        }
        (b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp384") => {
            let _curve = string(&mut key).ok_or(BROKEN)?;
            let fixed = fixed(bytes, 48).ok_or(BROKEN)?;
            plain(&ECDSA_P384_SHA384_FIXED, string(&mut key).ok_or(BROKEN)?, &fixed)
        }
        (b"ssh-rsa", b"rsa-sha2-256" | b"rsa-sha2-512") => {
            let (e, n) = (integer(&mut key).ok_or(BROKEN)?, integer(&mut key).ok_or(BROKEN)?);
            let algorithm = match form {
                b"rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
                _ => &RSA_PKCS1_2048_8192_SHA512,
            };
            RsaPublicKeyComponents { n, e }.verify(algorithm, signed, bytes).map_err(wrong)
        }
        (kind, form) => {
            let (kind, form) = (String::from_utf8_lossy(kind), String::from_utf8_lossy(form));
            Err(format!("keys of type {kind} with signatures of type {form} are not supported"))
        }
    }
}

/// Two integers, one after the other, each with `length` bytes.
fn fixed(mut bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut both = Vec::with_capacity(2 * length);
    for _ in 0..2 {
        let integer = integer(&mut bytes)?;
        both.resize(both.len() + length.checked_sub(integer.len())?, 0);
        both.extend(integer);
    }
    bytes.is_empty().then_some(both)
}

/// A number of any size, without the zero that keeps it positive.
fn integer<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let bytes = string(rest)?;
    Some(bytes.strip_prefix(&[0]).unwrap_or(bytes))
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes(*bytes))
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)? as usize;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn unarmored(text: &str) -> Result<Vec<u8>, String> {
    let body = text.trim().strip_prefix(BEGIN).and_then(|text| text.strip_suffix(END));
    let body = body.ok_or("failed to decode ssh signature PEM block")?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).map_err(|_| "failed to decode ssh signature PEM block".into())
}

/// Options before a key are not looked at.
fn parse_keys(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let key = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.windows(2).find_map(|pair| {
            let blob = STANDARD.decode(pair[1]).ok()?;
            (string(&mut blob.as_slice())? == pair[0].as_bytes()).then_some(blob)
        })
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let keys: Vec<Vec<u8>> = lines.filter_map(key).collect();
    if keys.is_empty() { Err("failed to parse ssh public key".into()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A key of each kind and its signature of "signed", by OpenSSH itself.
    fn made(kind: &str, namespace: &str) -> Option<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let (key, file) = (folder.path().join("key"), folder.path().join("data"));
        std::fs::write(&file, "signed").unwrap();
        let arguments: Vec<&str> = kind.split(' ').collect();
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-t"])
            .args(arguments)
            .arg("-f")
            .arg(&key)
            .status();
        if !made.is_ok_and(|made| made.success()) {
            println!("skipped: ssh-keygen is not installed, or does not know {kind}");
            return None;
        }
        let sign = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(&key)
            .arg(&file)
            .output();
        assert!(sign.unwrap().status.success());
        let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        Some((read("key.pub"), read("data.sig")))
    }

    #[test]
    fn what_openssh_signs_is_good_and_nothing_else() {
        let other = made("ed25519", "git");
        for kind in ["ed25519", "ecdsa -b 256", "ecdsa -b 384", "rsa -b 2048"] {
            let Some((key, signature)) = made(kind, "git") else { return };
            verify(b"signed", &signature, &key).unwrap_or_else(|error| panic!("{kind}: {error}"));
            let both = format!("# two keys\n{}\n{key}", other.clone().unwrap().0);
            verify(b"signed", &signature, &both).unwrap();
            assert!(verify(b"changed", &signature, &key).unwrap_err().contains("wrong"), "{kind}");
            let error = verify(b"signed", &signature, &other.clone().unwrap().0).unwrap_err();
            assert!(error.contains("another key"), "{kind}: {error}");
        }
    }

    #[test]
    fn a_signature_for_another_purpose_is_none() {
        let Some((key, signature)) = made("ed25519", "file") else { return };
        assert!(verify(b"signed", &signature, &key).unwrap_err().contains("namespace"));
    }

    #[test]
    fn what_is_no_signature_or_no_key_is_told() {
        let Some((key, signature)) = made("ed25519", "git") else { return };
        assert!(verify(b"signed", &signature, "hello").unwrap_err().contains("public key"));
        assert!(verify(b"signed", "hello", &key).unwrap_err().contains("PEM"));
        let blob = unarmored(&signature).unwrap();
        for length in 0..blob.len() {
            let cut = format!("{BEGIN}\n{}\n{END}", STANDARD.encode(&blob[..length]));
            assert!(verify(b"signed", &cut, &key).is_err(), "{length}");
        }
        for at in 0..blob.len() {
            let mut bad = blob.clone();
            bad[at] ^= 1;
            let bad = format!("{BEGIN}\n{}\n{END}", STANDARD.encode(&bad));
            // The reserved field is not signed over here, and must be empty.
            assert!(verify(b"signed", &bad, &key).is_err(), "{at}");
        }
    }
}
