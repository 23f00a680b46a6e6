//! `FROM [--platform=P] base [AS name]`: opens a stage.

use crate::dockerfile::Fault;
use crate::dockerfile::flags::{Flags, Kind};
use crate::dockerfile::stage::{Alias, From, Stage};
use crate::dockerfile::statement::{Statement, description};

pub(super) const FLAGS: &[(&str, Kind)] = &[("platform", Kind::Text)];

pub(in crate::dockerfile) fn read_from(statement: &Statement) -> Result<Stage, Fault> {
    let (base, alias) = match &statement.arguments.words[..] {
        [base] => (base, None),
        [base, keyword, name] if keyword.to_lowercase() == "as" => {
            (base, Some(Alias { keyword: keyword.clone(), name: name.clone() }))
        }
        _ => return Err(Fault::FromArguments),
    };
    let name = alias.as_ref().map(stage_name).transpose()?.unwrap_or_default();
    let flags = Flags::parse(&statement.flags, FLAGS)?;
    Ok(Stage {
        from: From {
            keyword: statement.keyword.clone(),
            platform: flags.text("platform"),
            base: base.clone(),
            alias,
        },
        doc: description(&statement.comments, &name),
        name,
        instructions: Vec::new(),
        comments: statement.comments.clone(),
        ranges: statement.ranges(),
        original: statement.original.trim().to_owned(),
    })
}

/// A letter, then letters, digits, `-`, `_`, `.`.
fn stage_name(alias: &Alias) -> Result<String, Fault> {
    let name = alias.name.to_lowercase();
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(word) {
        Ok(name)
    } else {
        Err(Fault::StageName(alias.name.clone()))
    }
}
