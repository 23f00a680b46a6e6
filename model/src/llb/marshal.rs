//! The bytes of an operation, equal to those of the reference marshaller.
//!
//! Go's deterministic protobuf marshaller writes the plain fields of a message by number and its
//! oneofs *after* them, whatever their numbers. `Op` is the only message here where that shows:
//! `inputs` (1), `platform` (10) and `constraints` (11) come first, the operation (2 to 8) last.
//! Maps are sorted by key (the generated types use `BTreeMap`).

use prost::Message;

use super::VertexDigest;
use super::pb;
use crate::Digest;

/// The bytes of `op` and the vertex they are.
pub fn marshal(op: &pb::Op) -> (VertexDigest, Vec<u8>) {
    let (plain, operation) =
        (pb::Op { op: None, ..op.clone() }, pb::Op { op: op.op.clone(), ..pb::Op::default() });
    let mut bytes = Vec::with_capacity(plain.encoded_len() + operation.encoded_len());
    // Writing into a Vec cannot run out of room.
    let _ = plain.encode(&mut bytes);
    let _ = operation.encode(&mut bytes);
    (VertexDigest(Digest::of(&bytes)), bytes)
}

/// The operation that bytes are; `None` if they are none.
pub fn unmarshal(bytes: &[u8]) -> Option<pb::Op> {
    pb::Op::decode(bytes).ok()
}
