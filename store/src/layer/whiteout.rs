//! How a layer says "gone": the names of the OCI image-spec ("Whiteouts") and the marks of overlayfs.
//!
//! | meaning | in a layer | in an overlay's upper directory |
//! |---|---|---|
//! | `name` is deleted | empty file `.wh.name` | character device 0/0 called `name` |
//! | nothing below is seen | empty file `.wh..wh..opq` inside | attribute `overlay.opaque` = `y` |
//!
//! The attribute is in the `trusted.` namespace, or in `user.` for overlays mounted with `userxattr`.

/// In front of the name that is deleted.
pub const PREFIX: &[u8] = b".wh.";
/// Names with this prefix are notes of AUFS about itself, never files.
pub const META_PREFIX: &[u8] = b".wh..wh.";
/// Marks its directory as opaque.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// Which namespace an overlay keeps its own attributes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Namespace {
    #[default]
    Trusted,
    /// Mounted with `userxattr`, as inside a user namespace.
    User,
}

impl Namespace {
    pub fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }
}

/// What a file's name in a layer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteout<'a> {
    /// An ordinary name.
    None,
    Deleted(&'a [u8]),
    Opaque,
    /// To be passed over.
    Meta,
    /// `.wh.`, `.wh..`, `.wh...`: would name nothing, the directory or its parent.
    Invalid,
}

impl<'a> Whiteout<'a> {
    pub fn of(name: &'a [u8]) -> Self {
        match name.strip_prefix(PREFIX) {
            None => Self::None,
            Some(_) if name == OPAQUE => Self::Opaque,
            Some(_) if name.starts_with(META_PREFIX) => Self::Meta,
            Some(b"" | b"." | b"..") => Self::Invalid,
            Some(deleted) => Self::Deleted(deleted),
        }
    }
}

/// Is `name` an attribute that an overlay keeps for itself? These never enter or leave a layer.
pub fn is_overlay_attribute(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_gone() {
        assert_eq!(Whiteout::of(b"a"), Whiteout::None);
        assert_eq!(Whiteout::of(b".wh.a"), Whiteout::Deleted(b"a"));
        assert_eq!(Whiteout::of(b".wh..wh..opq"), Whiteout::Opaque);
        assert_eq!(Whiteout::of(b".wh..wh.plnk"), Whiteout::Meta);
        assert_eq!(Whiteout::of(b".wh..a"), Whiteout::Deleted(b".a"));
        for bad in [&b".wh."[..], b".wh..", b".wh..."] {
            assert_eq!(Whiteout::of(bad), Whiteout::Invalid);
        }
    }
}
