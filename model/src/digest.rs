//! Content digests (OCI image-spec, "Digests"): an algorithm and the hash of some bytes.
//!
//! A [`Digest`] that exists is valid: known algorithm, right length, lower-case hex. What a digest
//! is *of* is told by the newtypes ([`BlobDigest`], [`DiffId`], [`ChainId`], …), so that the digest
//! of a compressed blob can never be passed where that of its uncompressed tar is meant.

use std::fmt;
use std::io;
use std::str::FromStr;

use sha2::Digest as _;

/// `sha256:<64 hex>` or `sha512:<128 hex>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("invalid digest {0:?}: expected ALGORITHM:HEX, for example sha256:<64 hex digits>")]
    Format(String),
    #[error("unsupported digest algorithm {0:?}: use sha256 or sha512")]
    Algorithm(String),
    #[error("invalid digest {0:?}: expected {1} lower-case hex digits")]
    Hex(String, usize),
}

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self::Sha256(sha2::Sha256::digest(bytes.as_ref()).into())
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    /// The hash as lower-case hex, without the algorithm.
    pub fn hex(&self) -> String {
        hex(self.as_bytes())
    }

    /// What [`fmt::Display`] writes, without its detour.
    pub fn text(&self) -> String {
        hex_after(if matches!(self, Self::Sha256(_)) { "sha256:" } else { "sha512:" }, self.as_bytes())
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| DigestError::Format(text.to_owned()))?;
        match algorithm {
            "sha256" => {
                decode_hex(hex).map(Self::Sha256).ok_or_else(|| DigestError::Hex(text.to_owned(), 64))
            }
            "sha512" => {
                decode_hex(hex).map(Self::Sha512).ok_or_else(|| DigestError::Hex(text.to_owned(), 128))
            }
            other => Err(DigestError::Algorithm(other.to_owned())),
        }
    }
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    hex_after("", bytes)
}

fn hex_after(start: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(start.len() + 2 * bytes.len());
    text.push_str(start);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn decode_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let hex = hex.as_bytes();
    if hex.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes (SHA-256) what is written to it; use it beside a file or inside a copy loop.
#[derive(Clone, Default)]
pub struct Hasher {
    sha256: sha2::Sha256,
    length: u64,
}

impl Hasher {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Bytes seen so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn finish(self) -> Digest {
        Digest::Sha256(self.sha256.finalize().into())
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! digest_of {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::DigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}
pub(crate) use digest_of;

digest_of! {
    /// The digest of bytes as they are stored and sent (a compressed layer, a config, a manifest).
    BlobDigest
}
digest_of! {
    /// The digest of a layer's uncompressed tar (`rootfs.diff_ids` of an image config).
    DiffId
}
digest_of! {
    /// The digest of a stack of layers (OCI image-spec, "Layer ChainID").
    ChainId
}

impl ChainId {
    /// The chain of `layers` from the bottom up; `None` for no layers.
    pub fn of(layers: &[DiffId]) -> Option<Self> {
        let (first, rest) = layers.split_first()?;
        Some(rest.iter().fold(Self(first.0), |chain, layer| chain.with(*layer)))
    }

    /// The chain of `self` with one more layer on top.
    pub fn with(self, layer: DiffId) -> Self {
        Self(Digest::of(format!("{self} {layer}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_digests_parse() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.parse(), Ok(Digest::of("")));
        assert_eq!(Digest::of("").to_string(), empty);
        for bad in
            ["", "sha256", "sha256:", "sha256:00", &empty.to_uppercase(), &format!("{empty}0"), "md5:00"]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_chain_folds_from_the_bottom() {
        let layers = [DiffId(Digest::of("a")), DiffId(Digest::of("b"))];
        let expected = Digest::of(format!("{} {}", layers[0], layers[1]));
        assert_eq!(ChainId::of(&layers), Some(ChainId(expected)));
        assert_eq!(ChainId::of(&[]), None);
    }
}
