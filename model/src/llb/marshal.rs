//! The bytes of an operation, equal to those of the reference marshaller.
//!
//! Go's deterministic protobuf marshaller writes the plain fields of a message by number and its
//! oneofs *after* them, whatever their numbers. `Op` is the only message here where that shows:
//! `inputs` (1), `platform` (10) and `constraints` (11) come first, the operation (2 to 8) last.
//! Maps are sorted by key (the generated types use `BTreeMap`).
//!
//! A stage's commands share most of their variables, and a file may set very many. So they are kept
//! as [`WireVariables`], encoded when they are set, and copied into each operation as bytes.

use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::VertexDigest;
use super::pb;
use crate::Digest;

/// Field numbers of `Op`, `ExecOp` and `Meta` that are written here by hand.
const OP_INPUTS: u8 = 1;
const OP_EXEC: u8 = 2;
const OP_PLATFORM: u8 = 10;
const OP_CONSTRAINTS: u8 = 11;
const EXEC_META: u8 = 1;
const META_ENV: u8 = 2;

/// `KEY=value` texts of a process, in order, as `Meta.env` has them on the wire.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WireVariables(Vec<u8>);

impl Clone for WireVariables {
    /// With room: a copy is made to be added to.
    fn clone(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + self.0.len() / 8 + 64);
        bytes.extend_from_slice(&self.0);
        Self(bytes)
    }
}

impl WireVariables {
    pub fn push(&mut self, key: &str, value: &str) {
        let length = key.len() + 1 + value.len();
        self.0.reserve(length + 10);
        self.0.push(tag(META_ENV));
        encode_varint(length as u64, &mut self.0);
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        self.0.extend_from_slice(value.as_bytes());
    }

    /// Bytes that they add to an operation.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

/// The bytes of `op` and the vertex they are.
pub fn marshal(op: &pb::Op) -> (VertexDigest, Vec<u8>) {
    let mut bytes = Vec::with_capacity(op.encoded_len());
    write_plain(op, &mut bytes);
    if let Some(operation) = &op.op {
        operation.encode(&mut bytes);
    }
    (VertexDigest(Digest::of(&bytes)), bytes)
}

/// [`marshal`] of a command that has `variables` before those in `op`.
pub(super) fn marshal_with(mut op: pb::Op, variables: &WireVariables) -> (VertexDigest, Vec<u8>) {
    let Some(pb::op::Op::Exec(mut exec)) = op.op.take() else { return marshal(&op) };
    let mut tail = exec.meta.take().unwrap_or_default();
    let head = pb::Meta { args: std::mem::take(&mut tail.args), ..pb::Meta::default() };
    let meta_length = head.encoded_len() + variables.size() + tail.encoded_len();
    let exec_length = 1 + encoded_len_varint(meta_length as u64) + meta_length + exec.encoded_len();
    let mut bytes = Vec::with_capacity(op.encoded_len() + exec_length + 8);
    write_plain(&op, &mut bytes);
    bytes.push(tag(OP_EXEC));
    encode_varint(exec_length as u64, &mut bytes);
    bytes.push(tag(EXEC_META));
    encode_varint(meta_length as u64, &mut bytes);
    append(&head, &mut bytes);
    bytes.extend_from_slice(&variables.0);
    append(&tail, &mut bytes);
    append(&exec, &mut bytes);
    (VertexDigest(Digest::of(&bytes)), bytes)
}

/// All but the operation itself.
fn write_plain(op: &pb::Op, bytes: &mut Vec<u8>) {
    let pb::Op { inputs, platform, constraints, op: _ } = op;
    for input in inputs {
        write_field(OP_INPUTS, input, bytes);
    }
    if let Some(platform) = platform {
        write_field(OP_PLATFORM, platform, bytes);
    }
    if let Some(constraints) = constraints {
        write_field(OP_CONSTRAINTS, constraints, bytes);
    }
}

fn write_field(number: u8, message: &impl Message, bytes: &mut Vec<u8>) {
    bytes.push(tag(number));
    encode_varint(message.encoded_len() as u64, bytes);
    append(message, bytes);
}

fn append(message: &impl Message, bytes: &mut Vec<u8>) {
    // Writing into a Vec cannot run out of room.
    let _ = message.encode(bytes);
}

/// Of a field with a length: wire type 2.
fn tag(number: u8) -> u8 {
    number << 3 | 2
}

/// The operation that bytes are; `None` if they are none.
pub fn unmarshal(bytes: &[u8]) -> Option<pb::Op> {
    pb::Op::decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(env: &[&str]) -> pb::Op {
        let meta = pb::Meta {
            args: vec!["sh".to_owned(), String::new()],
            env: env.iter().map(|text| (*text).to_owned()).collect(),
            cwd: "/".to_owned(),
            valid_exit_codes: vec![1, 2],
            ..pb::Meta::default()
        };
        let mount = pb::Mount { dest: "/".to_owned(), ..pb::Mount::default() };
        let exec = pb::ExecOp { meta: Some(meta), mounts: vec![mount], network: 2, ..pb::ExecOp::default() };
        pb::Op {
            inputs: vec![pb::Input { digest: "sha256:x".to_owned(), index: 3 }],
            op: Some(pb::op::Op::Exec(exec)),
            platform: Some(pb::Platform { os: "linux".to_owned(), ..pb::Platform::default() }),
            constraints: Some(pb::WorkerConstraints::default()),
        }
    }

    #[test]
    fn the_operation_comes_last() {
        let op = exec(&["A=1"]);
        let bytes = marshal(&op).1;
        assert_eq!(unmarshal(&bytes), Some(op.clone()));
        let plain = pb::Op { op: None, ..op }.encode_to_vec();
        assert!(bytes.starts_with(&plain));
    }

    #[test]
    fn encoded_variables_are_as_listed_ones() {
        let long = "x".repeat(300);
        let mut variables = WireVariables::default();
        variables.push("A", "1");
        variables.push("LONG", &long);
        variables.push("EMPTY", "");
        let listed = exec(&["A=1", &format!("LONG={long}"), "EMPTY=", "LAST=2"]);
        assert_eq!(marshal_with(exec(&["LAST=2"]), &variables), marshal(&listed));
        assert_eq!(marshal_with(listed.clone(), &WireVariables::default()), marshal(&listed));
        let bare = pb::Op { op: Some(pb::op::Op::Exec(pb::ExecOp::default())), ..pb::Op::default() };
        assert!(unmarshal(&marshal_with(bare, &variables).1).is_some());
    }
}
