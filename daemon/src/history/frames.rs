//! The form of a log: `StatusResponse` messages, each after its length as four bytes, the lowest first.
//!
//! It is BuildKit's form of `application/vnd.buildkit.status.v0`. Messages that are read at once become one, up to the
//! one that would have a vertex twice: within a message there is no order between its kinds, and a vertex that
//! completes and starts again must not look as if it had done so at once.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use prost::Message;
use slipway_proto::control::StatusResponse;

const HEADER: usize = 4;
/// Bytes that are read at once; a larger frame is read whole.
const BATCH: usize = 256 << 10;
/// No frame is larger; what says so is damaged.
const LARGEST: usize = 64 << 20;

pub(super) fn append(buffer: &mut Vec<u8>, response: &StatusResponse) {
    let length = response.encoded_len();
    let Some(header) = u32::try_from(length).ok().filter(|_| length <= LARGEST) else { return };
    buffer.reserve(HEADER + length);
    buffer.extend_from_slice(&header.to_le_bytes());
    // A vector grows: there is room.
    let _ = response.encode(buffer);
}

/// The whole frames at the start of `bytes`, about a batch of them, as one message, and how many bytes they take.
pub(super) fn take(bytes: &[u8]) -> io::Result<(StatusResponse, usize)> {
    let (mut all, mut taken) = (StatusResponse::default(), 0);
    let mut vertices = HashSet::new();
    while taken < BATCH
        && let Some(length) = length(&bytes[taken..])?
        && let Some(frame) = bytes.get(taken + HEADER..taken + HEADER + length)
    {
        let one = StatusResponse::decode(frame).map_err(damaged)?;
        if one.vertexes.iter().any(|vertex| vertices.contains(&vertex.digest)) {
            break;
        }
        vertices.extend(one.vertexes.iter().map(|vertex| vertex.digest.clone()));
        all.vertexes.extend(one.vertexes);
        all.statuses.extend(one.statuses);
        all.logs.extend(one.logs);
        all.warnings.extend(one.warnings);
        taken += HEADER + length;
    }
    Ok((all, taken))
}

/// The frames of `file` from `position` on, which ends at `end`; `None` at the end.
///
/// `UnexpectedEof` if the last frame is not whole, `InvalidData` if it is no frame.
pub(super) fn read(file: &File, position: u64, end: u64) -> io::Result<Option<(StatusResponse, usize)>> {
    let left = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; left.min(BATCH)];
    file.read_exact_at(&mut bytes, position)?;
    if let Some(length) = length(&bytes)?
        && length + HEADER > bytes.len()
    {
        if length + HEADER > left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.resize(length + HEADER, 0);
        file.read_exact_at(&mut bytes, position)?;
    }
    match take(&bytes)? {
        (_, 0) => Err(io::ErrorKind::UnexpectedEof.into()),
        taken => Ok(Some(taken)),
    }
}

/// What the header at the start of `bytes` says, if it is there.
fn length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(header) = bytes.first_chunk() else { return Ok(None) };
    match usize::try_from(u32::from_le_bytes(*header)) {
        Ok(length) if length <= LARGEST => Ok(Some(length)),
        _ => Err(damaged("a frame is too large")),
    }
}

fn damaged(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use slipway_proto::control::{Vertex, VertexLog};

    use super::*;

    fn log(data: impl Into<bytes::Bytes>) -> StatusResponse {
        StatusResponse {
            logs: vec![VertexLog { msg: data.into(), ..Default::default() }],
            ..Default::default()
        }
    }

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    #[test]
    fn what_was_appended_is_read_whatever_its_size() {
        let messages: Vec<_> =
            [1, 10, BATCH * 3, 5, BATCH - 20, 100].iter().map(|size| vec![b'x'; *size]).collect();
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| append(&mut bytes, &log(message.clone())));
        let (file, end) = (file(&bytes), bytes.len() as u64);
        let (mut position, mut found) = (0, Vec::new());
        while let Some((response, taken)) = read(&file, position, end).unwrap() {
            position += taken as u64;
            found.extend(response.logs.into_iter().map(|log| log.msg.to_vec()));
        }
        assert_eq!(found, messages);
        assert_eq!(position, end);
    }

    #[test]
    fn a_vertex_is_in_a_message_once() {
        let vertex = |digest: &str, cached| StatusResponse {
            vertexes: vec![Vertex { digest: digest.into(), cached, ..Default::default() }],
            ..Default::default()
        };
        let mut bytes = Vec::new();
        for news in [vertex("a", false), vertex("b", false), log("said by a"), vertex("a", true)] {
            append(&mut bytes, &news);
        }
        let (first, taken) = take(&bytes).unwrap();
        assert_eq!((first.vertexes.len(), first.logs.len()), (2, 1));
        let (second, rest) = take(&bytes[taken..]).unwrap();
        assert!(second.vertexes[0].cached && taken + rest == bytes.len());
    }

    #[test]
    fn what_is_torn_or_no_frame_is_an_error() {
        let mut bytes = Vec::new();
        append(&mut bytes, &log("whole"));
        let whole = bytes.len();
        append(&mut bytes, &log("torn"));
        for end in whole + 1..bytes.len() {
            let torn = file(&bytes[..end]);
            assert_eq!(read(&torn, 0, end as u64).unwrap().unwrap().1, whole);
            let error = read(&torn, whole as u64, end as u64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        for bad in [&[255; 8][..], &[4, 0, 0, 0, 255, 255, 255, 255]] {
            let error = read(&file(bad), 0, bad.len() as u64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
