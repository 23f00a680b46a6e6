//! Any text expands or fails, and the same each time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_frontend::dockerfile::shell::{EnvironmentList, Lexer};

fuzz_target!(|text: &str| {
    let environment: EnvironmentList = ["A=foo", "P=/a/b.tar.gz", "E="].iter().collect();
    for lexer in [Lexer::new('\\'), Lexer { raw_quotes: true, skip_unset: true, ..Lexer::new('`') }] {
        assert_eq!(lexer.process(text, &environment), lexer.process(text, &environment));
    }
});
