use std::io::{Read, Write};
use std::process::{Command, Stdio};

use slipway_model::media_type::Compression;
use slipway_model::{BlobDigest, DiffId, Digest};

use super::*;

/// Bytes that compress somewhat, the same for the same seed.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(length + 64);
    while out.len() < length {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        match state >> 61 {
            0 | 1 => out.extend_from_slice(&state.to_le_bytes()),
            n => out.extend(std::iter::repeat_n(b'a' + n as u8, (state >> 32) as usize % 40)),
        }
    }
    out.truncate(length);
    out
}

fn pack(options: CompressOptions, threads: usize, input: &[u8], step: usize) -> (Compressed, Vec<u8>) {
    let mut blob = Vec::new();
    let produce = Box::new(|out: &mut dyn Write| {
        input.chunks(step).try_for_each(|chunk| out.write_all(chunk)).map_err(LayerError::Output)
    });
    let compressed = compress(options, threads, &mut blob, produce).unwrap();
    (compressed, blob)
}

fn unpack_with(program: &str, blob: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut out = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(blob).unwrap());
        child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    });
    assert!(child.wait().unwrap().success());
    out
}

#[test]
fn output_does_not_depend_on_threads_or_on_how_it_is_written() {
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Uncompressed] {
        for length in [0, 1, blocks::SIZE - 1, blocks::SIZE, blocks::SIZE + 1, 5 * blocks::SIZE + 7, 12 << 20]
        {
            let input = text(length as u64, length);
            let options = CompressOptions { compression, ..CompressOptions::default() };
            let (first, blob) = pack(options, 1, &input, 10_000);
            assert_eq!(first.diff_id, DiffId(Digest::of(&input)));
            assert_eq!(first.blob, BlobDigest(Digest::of(&blob)));
            assert_eq!((first.size, first.uncompressed_size), (blob.len() as u64, length as u64));
            for (threads, step) in [(2, 512), (8, 1 << 20)] {
                assert_eq!(
                    pack(options, threads, &input, step),
                    (first, blob.clone()),
                    "{compression:?} {length}"
                );
            }
            match compression {
                Compression::Gzip => assert!(unpack_with("gunzip", &blob) == input, "{length}"),
                Compression::Zstd => assert!(unpack_with("zstd", &blob) == input, "{length}"),
                Compression::Uncompressed => assert!(blob == input),
            }
        }
    }
}

#[test]
fn every_level_is_readable() {
    let input = text(3, 2 * blocks::SIZE + 11);
    for level in 0..=9 {
        let (_, blob) = pack(
            CompressOptions {
                compression: Compression::Gzip,
                level: Some(level),
                ..CompressOptions::default()
            },
            2,
            &input,
            4096,
        );
        assert!(unpack_with("gunzip", &blob) == input, "{level}");
    }
    let options =
        CompressOptions { compression: Compression::Gzip, level: Some(10), ..CompressOptions::default() };
    assert!(matches!(options.check(), Err(LayerError::Level { level: 10, .. })));
}

#[test]
fn a_failing_sink_or_producer_ends_it_with_its_own_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| std::io::Error::other("disk full"))?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Uncompressed] {
        let options = CompressOptions { compression, level: Some(1), ..CompressOptions::default() };
        let input = text(9, 20 << 20);
        let produce = Box::new(|out: &mut dyn Write| out.write_all(&input).map_err(LayerError::Output));
        let error = compress(options, 2, &mut Full(1 << 20), produce).unwrap_err();
        assert!(
            matches!(&error, LayerError::Output(source) if source.to_string() == "disk full"),
            "{error:?}"
        );

        let produce = Box::new(|out: &mut dyn Write| {
            out.write_all(&input).map_err(LayerError::Output)?;
            Err(LayerError::Truncated)
        });
        let error = compress(options, 2, &mut std::io::sink(), produce).unwrap_err();
        assert!(matches!(error, LayerError::Truncated), "{error:?}");
    }
}

#[test]
fn files_of_an_estargz_layer_are_found_by_its_table() {
    use crate::layer::tar::{Entry, Kind, Writer};
    let large = text(5, 9 << 20);
    let mut tar = Writer::new(Vec::new());
    tar.header(&Entry { mode: 0o755, ..Entry::new(Kind::Directory, "d/") }).unwrap();
    for (name, content) in [("d/large", &large[..]), ("empty", b""), ("small", b"content")] {
        let entry = Entry { mode: 0o644, size: content.len() as u64, ..Entry::new(Kind::File, name) };
        tar.append(&entry, &mut &content[..]).unwrap();
    }
    let tar = tar.finish().unwrap();
    let options = CompressOptions { seekable: true, ..CompressOptions::default() };
    let (packed, blob) = pack(options, 1, &tar, 10_000);
    assert_eq!(pack(options, 8, &tar, 1 << 20), (packed, blob.clone()));

    let whole = unpack_with("gunzip", &blob);
    assert!(whole.starts_with(&tar));
    assert_eq!(packed.diff_id, DiffId(Digest::of(&whole)));
    assert_eq!(packed.uncompressed_size, whole.len() as u64);

    let footer = &blob[blob.len() - 51..];
    assert_eq!((&footer[12..14], &footer[32..38]), (&b"SG"[..], &b"STARGZ"[..]));
    let place = std::str::from_utf8(&footer[16..32]).unwrap();
    let place = usize::from_str_radix(place, 16).unwrap();
    let member = |at: usize| {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&blob[at..]).read_to_end(&mut bytes).unwrap();
        bytes
    };
    let table = member(place);
    let json = &table[512..table.iter().rposition(|byte| *byte == b'}').unwrap() + 1];
    assert_eq!(packed.table, Some(Digest::of(json)));
    let table: serde_json::Value = serde_json::from_slice(json).unwrap();
    let rows = table["entries"].as_array().unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["dir", "reg", "chunk", "chunk", "reg", "reg"]);
    let mut found = Vec::new();
    for row in &rows[1..4] {
        let at = usize::try_from(row["offset"].as_u64().unwrap()).unwrap();
        let length = row["chunkSize"].as_u64().unwrap_or((large.len() - found.len()) as u64);
        let mut chunk = member(at);
        chunk.truncate(usize::try_from(length).unwrap());
        assert_eq!(row["chunkDigest"], Digest::of(&chunk).to_string());
        found.extend(chunk);
    }
    assert!(found == large);
    assert_eq!(rows[1]["digest"], Digest::of(&large).to_string());
    assert!(member(usize::try_from(rows[5]["offset"].as_u64().unwrap()).unwrap()).starts_with(b"content"));
}
