//! `ONBUILD instruction`: kept as text in the image, run when the image is a base.

use crate::dockerfile::Fault;
use crate::dockerfile::flags::Flags;
use crate::dockerfile::statement::Statement;

/// The trigger as text, heredoc bodies appended; read back with
/// [`parse_trigger`](crate::dockerfile::parse_trigger).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnBuild(pub String);

impl OnBuild {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        let Some(trigger) = statement.arguments.words.first() else {
            return Err(Fault::AtLeastOneArgument("ONBUILD"));
        };
        Flags::none(&statement.flags)?;
        match trigger.to_uppercase().as_str() {
            "ONBUILD" => return Err(Fault::ChainedOnBuild),
            name @ ("MAINTAINER" | "FROM") => return Err(Fault::ForbiddenTrigger(name.to_owned())),
            "INCLUDE" if statement.language.is_extended() => {
                return Err(Fault::ForbiddenTrigger("INCLUDE".to_owned()));
            }
            _ => {}
        }
        let mut text = without_keyword(&statement.original).to_owned();
        for heredoc in &statement.heredocs {
            text.push('\n');
            text.push_str(&heredoc.content);
            text.push_str(&heredoc.name);
        }
        Ok(Self(text))
    }
}

fn without_keyword(original: &str) -> &str {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
    let start = original.trim_start_matches(blank);
    match start.get(..7) {
        Some(keyword) if keyword.eq_ignore_ascii_case("ONBUILD") => start[7..].trim_start_matches(blank),
        _ => original,
    }
}
