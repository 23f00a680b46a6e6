//! Any ignore file gives patterns or an error, and patterns answer for any path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_frontend::plan::ignore;
use slipway_model::pattern::{ParentMatch, PatternMatcher};

fuzz_target!(|input: (&[u8], &str)| {
    let (file, path) = input;
    let Ok(patterns) = ignore::read(file) else { return };
    let Ok(matcher) = PatternMatcher::new(&patterns) else { return };
    let _ = (matcher.matches(path), matcher.matches_below(path, &ParentMatch::default()));
});
