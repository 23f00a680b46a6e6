//! `parser/dockerignore-read.json`.

mod golden;

use golden::{rows, same, text, texts};
use slipway_frontend::plan::ignore::read;

#[test]
fn files_read_as_in_the_reference() {
    rows("dockerignore-read.json", |row| match read(text(row, "input").unwrap().as_bytes()) {
        Ok(patterns) => same("patterns", patterns, texts(row, "patterns")),
        Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
    });
}
