//! Broken files and words: the parser answers with a tree or an error, never with a panic, and what
//! it says about places is true.
//!
//! `SLIPWAY_SEED` repeats one run; a failure prints the seed and the input.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a test: both end in its report

mod memory;

use slipway_frontend::Language;
use slipway_frontend::dockerfile::shell::{EnvironmentList, Lexer, MAX_LENGTH};
use slipway_frontend::dockerfile::{Command, Dockerfile, Fault, Range, directive, parse};
use slipway_frontend::plan::ignore;
use slipway_model::pattern::{ParentMatch, PatternMatcher};

const FILES: [&str; 2] =
    [include_str!("data/every-instruction.Dockerfile"), include_str!("data/backtick.Dockerfile")];
const WORDS: &str = include_str!("data/words.txt");
const SEED: u64 = 0x5117_0a75;
const ROUNDS: u64 = 3000;

/// Pieces that matter to some rule.
const PIECES: [&[u8]; 28] = [
    b"\\\n",
    b"\n",
    b"\r\n",
    b"#",
    b"# escape=`\n",
    b"<<",
    b"<<EOF\n",
    b"EOF\n",
    b"\"",
    b"'",
    b"$",
    b"${",
    b"}",
    b"[",
    b"[\"",
    b"]",
    b",",
    b"=",
    b"--",
    b"--mount=",
    b"\t",
    b" ",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc2\xa0",
    b"ONBUILD ",
    b"FROM ",
];

#[test]
fn whole_files_parse() {
    for file in FILES {
        let dockerfile = parse(file.as_bytes()).unwrap();
        assert!(!dockerfile.stages.is_empty());
        check(file.as_bytes(), &dockerfile);
    }
}

#[test]
fn mutated_files_do_not_panic() {
    for_each_mutation(&FILES, |source| {
        let _ = (directive::detect_syntax(source), ignore::read(source));
        match parse(source) {
            Ok(dockerfile) => check(source, &dockerfile),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                check_ranges(source, &error.ranges);
            }
        }
    });
}

/// The corpus: the examples of the language's page, and the files of other tests.
#[test]
fn mutated_builds_do_not_panic() {
    let page = include_str!("../../docs/dockerfile.md");
    let blocks = |fence: &'static str| page.split(fence).skip(1).filter_map(|rest| rest.split("```").next());
    let mut files: Vec<&str> =
        blocks("```dockerfile\n").chain(blocks("```dockerfile extensions\n")).collect();
    files.extend(FILES);
    files.push(include_str!("../../testdata/demo/Dockerfile"));
    for_each_mutation(&files, |source| {
        let memory = memory::dockerfile(&String::from_utf8_lossy(source));
        for request in ["", "frontend.lint", "frontend.outline", "frontend.convertllb", "slipway.diagnostics"]
        {
            let asked = [("requestid", request)];
            let options = if request.is_empty() { &[][..] } else { &asked[..] };
            for language in [Language::default(), Language::extended(1)] {
                match memory::run_in(language, &memory, options) {
                    Ok(result) => assert_eq!(result.outputs.is_empty(), !request.is_empty()),
                    Err(error) => {
                        assert!(!error.message.is_empty());
                        for diagnostic in &error.diagnostics {
                            assert!(diagnostic.start <= diagnostic.end, "{diagnostic:?}");
                            assert!(!diagnostic.text(source).is_empty());
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn mutated_words_do_not_panic() {
    let environment: EnvironmentList = ["A=foo", "P=/a/b.tar.gz", "E="].iter().collect();
    let plain = Lexer::new('\\');
    for_each_mutation(&[WORDS], |source| {
        let text = String::from_utf8_lossy(source);
        for line in text.lines() {
            for lexer in [
                plain,
                Lexer { raw_quotes: true, raw_escapes: true, ..plain },
                Lexer { skip_quotes: true, skip_unset: true, ..Lexer::new('`') },
            ] {
                let first = lexer.process(line, &environment);
                assert_eq!(first, lexer.process(line, &environment));
            }
        }
    });
}

#[test]
fn mutated_patterns_do_not_panic() {
    let patterns = "a\n**/b\n!c/*.[ch]\n[^a-z]?\\*\n**\na/**/z\n[[:alpha:]-\\]x]\n.git*\n";
    for_each_mutation(&[patterns], |source| {
        let Ok(patterns) = ignore::read(source) else { return };
        let Ok(matcher) = PatternMatcher::new(&patterns) else { return };
        for path in ["a", "a/b", "x/y/b", "c/d.c", "é/.git", "", "/", "a/../b"] {
            let _ = (matcher.matches(path), matcher.matches_single_parent(path));
            let _ = matcher.matches_below(path, &ParentMatch::default());
        }
    });
}

#[test]
fn large_and_deep_inputs_are_answered() {
    let long_line = format!("FROM a\nRUN {}\n", "x".repeat(70_000));
    assert_eq!(parse(long_line.as_bytes()).unwrap_err().fault, Fault::LongLine(65_535));

    let megabyte = format!("FROM a\n{}", "RUN --mount=type=cache,target=/c true # <<x\n".repeat(25_000));
    assert_eq!(parse(megabyte.as_bytes()).unwrap_err().fault, Fault::UnterminatedHeredoc);
    let megabyte = format!("FROM a\n{}", "ENV a=b c=\"$d\"\n".repeat(70_000));
    assert_eq!(parse(megabyte.as_bytes()).unwrap().stages[0].instructions.len(), 70_000);

    let continued = format!("FROM a\nRUN {}true\n", "echo a && \\\n".repeat(90_000));
    assert_eq!(parse(continued.as_bytes()).unwrap().stages[0].instructions[0].ranges.len(), 90_001);

    let nested = format!("FROM a\n{}\\\nRUN x\n", "ONBUILD \\\n".repeat(100_000));
    assert_eq!(parse(nested.as_bytes()).unwrap_err().fault, Fault::ChainedOnBuild);

    let brackets = format!("FROM a\nCMD {}\n", "[".repeat(60_000));
    assert!(parse(brackets.as_bytes()).is_ok());
}

#[test]
fn expansions_are_bounded() {
    let lexer = Lexer::new('\\');
    let deep = "${a:-".repeat(100_000);
    assert!(lexer.process(&deep, &EnvironmentList::default()).is_err());

    let big: EnvironmentList = [format!("A={}", "x".repeat(MAX_LENGTH / 2))].iter().collect();
    for text in ["$A$A$A", "\"$A$A$A\"", "${B:-$A$A$A}", "${A//x/xyz}"] {
        assert!(lexer.process(text, &big).is_err(), "{text}");
    }

    let stars: EnvironmentList = [format!("A={}", "a".repeat(3000))].iter().collect();
    let pattern = format!("${{A##{}b}}", "*a".repeat(2000));
    assert_eq!(lexer.process(&pattern, &stars).unwrap().text.len(), 3000);
}

fn check(source: &[u8], dockerfile: &Dockerfile) {
    for arg in &dockerfile.global_args {
        assert!(matches!(arg.command, Command::Arg(_)));
    }
    for stage in &dockerfile.stages {
        check_ranges(source, &stage.ranges);
        for instruction in &stage.instructions {
            check_ranges(source, &instruction.ranges);
            assert_eq!(instruction.keyword.to_uppercase(), instruction.command.name());
            assert!(instruction.original.starts_with(&instruction.keyword));
        }
    }
}

fn check_ranges(source: &[u8], ranges: &[Range]) {
    let lines = source.split(|byte| *byte == b'\n').count();
    assert!(!ranges.is_empty());
    assert!(ranges.iter().all(|range| range.start.line as usize <= lines), "{ranges:?} of {lines} lines");
    assert!(ranges.windows(2).all(|pair| pair[0].end.line + 1 == pair[1].start.line));
}

fn for_each_mutation(files: &[&str], test: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let seed = std::env::var("SLIPWAY_SEED").ok().and_then(|text| text.parse().ok());
    let seeds = seed.map_or(SEED..SEED + ROUNDS, |seed| seed..seed + 1);
    for seed in seeds {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut source = files[random.below(files.len())].as_bytes().to_vec();
        for _ in 0..=random.below(8) {
            mutate(&mut source, &mut random);
        }
        if let Err(panic) = std::panic::catch_unwind(|| test(&source)) {
            println!("SLIPWAY_SEED={seed}\n{}", String::from_utf8_lossy(&source));
            std::panic::resume_unwind(panic);
        }
    }
}

fn mutate(source: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(source.len() + 1);
    let end = (at + random.below(20)).min(source.len());
    match random.below(4) {
        0 => drop(source.drain(at..end)),
        1 => drop(source.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
        2 => {
            let copy = source[at..end].to_vec();
            let to = random.below(source.len() + 1);
            drop(source.splice(to..to, copy));
        }
        _ => source.truncate(source.len() - random.below(source.len() / 8 + 1)),
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}
