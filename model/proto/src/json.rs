//! Messages as JSON, by their descriptions in the `.proto` files.
//!
//! BuildKit's clients read details of errors in two spellings, which differ where a field's name has an underscore,
//! in enums, and in numbers of 64 bits:
//!
//! | spelling | names | enums | 64 bits | empty fields |
//! |---|---|---|---|---|
//! | [`canonical`] | `lowerCamelCase` | by name | as text | left out |
//! | [`go`] | as in the file | by number | as numbers | left out |

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

static FILES: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let files = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
    DescriptorPool::decode(&files[..]).unwrap_or_default()
});

/// The canonical JSON of protobuf. `name` is the message's, with its package: `errdefs.Solve`.
pub fn canonical(name: &str, message: &impl Message) -> Value {
    write(name, message, &SerializeOptions::new())
}

/// As Go's `encoding/json` writes generated structs.
pub fn go(name: &str, message: &impl Message) -> Value {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .use_enum_numbers(true)
        .stringify_64_bit_integers(false);
    write(name, message, &options)
}

/// Null for a name that no file has.
fn write(name: &str, message: &impl Message, options: &SerializeOptions) -> Value {
    let Some(description) = FILES.get_message_by_name(name) else { return Value::Null };
    let read = DynamicMessage::decode(description, &message.encode_to_vec()[..]);
    let written =
        read.ok().and_then(|read| read.serialize_with_options(serde_json::value::Serializer, options).ok());
    written.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{errdefs, pb};

    #[test]
    fn a_failed_operation_in_canonical_json() {
        let mount = pb::Mount { input: 1, dest: "/out".into(), mount_type: 3, ..pb::Mount::default() };
        let exec = pb::ExecOp { mounts: vec![mount], ..pb::ExecOp::default() };
        let op = pb::Op { op: Some(pb::op::Op::Exec(exec)), ..pb::Op::default() };
        let solve = errdefs::Solve {
            input_i_ds: vec!["a".into(), String::new()],
            op: Some(op),
            subject: Some(errdefs::solve::Subject::File(errdefs::FileAction { index: 2 })),
            ..errdefs::Solve::default()
        };
        let expected = json!({
            "inputIDs": ["a", ""],
            "op": { "exec": { "mounts": [{ "input": "1", "dest": "/out", "mountType": "CACHE" }] } },
            "file": { "index": "2" },
        });
        assert_eq!(canonical("errdefs.Solve", &solve), expected);
    }

    #[test]
    fn a_place_in_a_source_as_go_writes_it() {
        let start = Some(pb::Position { line: 7, character: 1 });
        let definition = pb::Definition { def: vec![b"op".as_ref().into()], ..pb::Definition::default() };
        let source = errdefs::Source {
            info: Some(pb::SourceInfo {
                filename: "Dockerfile".into(),
                data: b"FROM".as_ref().into(),
                definition: Some(definition),
                ..pb::SourceInfo::default()
            }),
            ranges: vec![pb::Range { start, end: None }],
        };
        let expected = json!({
            "info": { "filename": "Dockerfile", "data": "RlJPTQ==", "definition": { "def": ["b3A="] } },
            "ranges": [{ "start": { "line": 7, "character": 1 } }],
        });
        assert_eq!(go("errdefs.Source", &source), expected);
        assert_eq!(go("errdefs.Nothing", &source), Value::Null);
    }
}
