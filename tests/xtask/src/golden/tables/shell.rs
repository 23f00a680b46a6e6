//! `parser/shell.json`: words and their expansions, in seven modes.

use super::{same, text, texts};
use serde_json::Value;
use slipway_frontend::dockerfile::shell::{EnvironmentList, Lexer};

/// `environments`: of `shell-env.json`.
pub(super) fn words(row: &Value, environments: &Value) -> Result<(), String> {
    let environment: EnvironmentList = texts(environments, text(row, "env").unwrap()).iter().collect();
    let result = lexer(text(row, "mode").unwrap()).process(text(row, "input").unwrap(), &environment);
    let result = match (result, text(row, "error")) {
        (Err(error), Some(theirs)) => return same("error", error.to_string(), theirs.to_owned()),
        (Err(error), None) => return Err(format!("ours fails: {error}")),
        (Ok(result), Some(theirs)) => {
            return Err(format!("ours gives {result:?}, theirs fails: {theirs}"));
        }
        (Ok(result), None) => result,
    };
    same("word", result.text.as_str(), text(row, "word").unwrap())?;
    same("words", result.words, texts(row, "words"))?;
    same("matched", result.matched.into_iter().collect(), texts(row, "matched"))?;
    same("unmatched", result.unmatched.into_iter().collect(), texts(row, "unmatched"))
}

fn lexer(mode: &str) -> Lexer {
    let plain = Lexer::new('\\');
    match mode {
        "default" => plain,
        "escape-backtick" => Lexer::new('`'),
        "rawQuotes" => Lexer { raw_quotes: true, ..plain },
        "rawEscapes" => Lexer { raw_escapes: true, ..plain },
        "rawQuotes+rawEscapes" => Lexer { raw_quotes: true, raw_escapes: true, ..plain },
        "skipProcessQuotes" => Lexer { skip_quotes: true, ..plain },
        "skipUnsetEnv" => Lexer { skip_unset: true, ..plain },
        other => panic!("unknown mode {other}"),
    }
}
