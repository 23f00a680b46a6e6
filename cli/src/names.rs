//! The names that this binary answers to.
//!
//! A container that holds only this file, with links to it, is one that BuildKit's drivers can use: they
//! run `buildkitd` and `buildctl` in it. Without links, `slipway buildkitd …` and `slipway buildctl …` do
//! the same.

use std::ffi::OsString;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Slipway,
    Buildkitd,
    Buildctl,
}

/// Which program was asked for, and its arguments with its own name first.
pub fn program(arguments: impl Iterator<Item = OsString>) -> (Program, Vec<OsString>) {
    let mut words: Vec<OsString> = arguments.collect();
    let own =
        words.first().and_then(|path| Path::new(path).file_name()).and_then(|name| named(name.to_str()?));
    if let Some(program) = own {
        return (program, words);
    }
    match words.get(1).and_then(|word| named(word.to_str()?)) {
        Some(program) => {
            words.remove(0);
            (program, words)
        }
        None => (Program::Slipway, words),
    }
}

fn named(name: &str) -> Option<Program> {
    match name {
        "buildkitd" => Some(Program::Buildkitd),
        "buildctl" => Some(Program::Buildctl),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_words_count() {
        let asked = |words: &[&str]| {
            let (program, rest) = program(words.iter().map(OsString::from));
            (program, rest.len())
        };
        assert_eq!(asked(&["/usr/bin/buildctl", "du"]), (Program::Buildctl, 2));
        assert_eq!(asked(&["slipway", "buildkitd", "--debug"]), (Program::Buildkitd, 2));
        assert_eq!(asked(&["slipway", "build", "buildctl"]), (Program::Slipway, 3));
        assert_eq!(asked(&[]), (Program::Slipway, 0));
    }
}
