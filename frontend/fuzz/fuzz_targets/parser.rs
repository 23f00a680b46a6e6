//! Any bytes are a tree or errors, each with places in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_frontend::dockerfile;

fuzz_target!(|source: &[u8]| {
    let reading = dockerfile::read(source);
    assert_eq!(dockerfile::parse(source).is_ok(), reading.errors.is_empty());
    let lines = source.split(|byte| *byte == b'\n').count();
    for range in reading.errors.iter().flat_map(|error| &error.ranges) {
        assert!(range.start.line as usize <= lines);
    }
});
