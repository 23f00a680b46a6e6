//! Which rules are on: `skip=A,B;error=true;experimental=C`, from the directive `# check=`, the build
//! argument `BUILDKIT_DOCKERFILE_CHECK`, or a comment above an instruction.

use super::linter::LintError;
use super::rule::Rule;
use crate::dockerfile::directive;
use crate::dockerfile::values::parse_bool;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub skip: Selection,
    pub experimental: Selection,
    /// A finding fails the build.
    pub findings_are_errors: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    all: bool,
    names: Vec<String>,
}

impl Config {
    /// The value of a directive, up to its first space.
    pub fn parse(text: &str) -> Result<Self, LintError> {
        let mut config = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(config);
        }
        for option in text.splitn(3, ';') {
            let (key, value) =
                option.split_once('=').ok_or_else(|| LintError::UnknownOption(option.to_owned()))?;
            match key.trim() {
                "skip" => config.skip = Selection::parse(value),
                "experimental" => config.experimental = Selection::parse(value),
                "error" => {
                    let value = value.trim();
                    config.findings_are_errors = parse_bool(value).ok_or_else(|| LintError::NotBoolean {
                        option: option.to_owned(),
                        value: value.to_owned(),
                    })?;
                }
                key => return Err(LintError::UnknownOption(key.to_owned())),
            }
        }
        Ok(config)
    }

    pub(super) fn allows(&self, rule: &Rule, comments: &[String]) -> bool {
        let own = self.selects(rule);
        // Comments can only add: to what is skipped, and to what is tried.
        let above = comments
            .iter()
            .filter_map(|comment| directive::in_comment(comment))
            .find(|directive| directive.name == "check")
            .and_then(|directive| Self::parse(directive.first_word()).ok());
        match above {
            Some(above) if rule.experimental => own || above.selects(rule),
            Some(above) => own && above.selects(rule),
            None => own,
        }
    }

    fn selects(&self, rule: &Rule) -> bool {
        if rule.experimental { self.experimental.contains(rule.name) } else { !self.skip.contains(rule.name) }
    }
}

impl Selection {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Self { all: true, names: Vec::new() },
            names => {
                Self { all: false, names: names.split(',').map(|name| name.trim().to_owned()).collect() }
            }
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|selected| selected == name)
    }
}
