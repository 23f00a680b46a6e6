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
            let options = CompressOptions { compression, level: None };
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
        let (_, blob) =
            pack(CompressOptions { compression: Compression::Gzip, level: Some(level) }, 2, &input, 4096);
        assert!(unpack_with("gunzip", &blob) == input, "{level}");
    }
    let options = CompressOptions { compression: Compression::Gzip, level: Some(10) };
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
        let options = CompressOptions { compression, level: Some(1) };
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
