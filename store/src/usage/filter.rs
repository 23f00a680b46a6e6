//! Filters of `du` and `prune`, in containerd's syntax.
//!
//! ```text
//! filter   = selector *("," selector)             all of them must match
//! selector = field [("==" | "=" | "!=" | "~=") value]
//! value    = quoted | characters without ","
//! ```
//!
//! | field | present | value |
//! |---|---|---|
//! | `id`, `description`, `type` | if not empty | itself |
//! | `parents` | if there are any | ids, separated by `;` |
//! | `inuse`, `mutable`, `immutable`, `shared`, `private` | if so | empty |
//!
//! A field alone asks whether it is present. `!=` also matches where the field is absent. An unknown field is
//! never present, as in containerd.

use regex_lite::Regex;

use super::UsageRecord;
use crate::error::{Error, Result};

/// Lets records in that match any of its alternatives; without alternatives, all.
#[derive(Debug, Default)]
pub struct Filter {
    alternatives: Vec<Vec<Selector>>,
}

#[derive(Debug)]
struct Selector {
    field: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present,
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

/// Longer filters are refused: regular expressions grow when compiled.
const LENGTH: usize = 4096;

impl Filter {
    pub fn parse_all(filters: &[impl AsRef<str>]) -> Result<Self> {
        let alternatives = filters.iter().map(|filter| parse(filter.as_ref())).collect::<Result<_>>()?;
        Ok(Self { alternatives })
    }

    pub fn is_empty(&self) -> bool {
        self.alternatives.is_empty()
    }

    pub fn matches(&self, record: &UsageRecord) -> bool {
        self.matches_fields(|name| field(record, name))
    }

    /// The same for anything that has fields: `field` gives the value of one, if it is present.
    pub fn matches_fields(&self, field: impl Fn(&str) -> Option<String>) -> bool {
        let all = |selectors: &Vec<Selector>| {
            selectors.iter().all(|selector| selector.matches(field(&selector.field)))
        };
        self.is_empty() || self.alternatives.iter().any(all)
    }
}

impl Selector {
    fn matches(&self, value: Option<String>) -> bool {
        match &self.test {
            Test::Present => value.is_some(),
            Test::Equal(expected) => value.as_ref() == Some(expected),
            Test::NotEqual(unwanted) => value.unwrap_or_default() != *unwanted,
            Test::Matches(regex) => regex.is_match(&value.unwrap_or_default()),
        }
    }
}

/// The value of a field, if it is present.
fn field(record: &UsageRecord, name: &str) -> Option<String> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let flag = |flag: bool| flag.then(String::new);
    match name {
        "id" => text(&record.id),
        "description" => text(&record.description),
        "type" => text(record.record_type.as_str()),
        "parents" => {
            let ids: Vec<_> = record.parents.iter().map(|parent| parent.as_str()).collect();
            text(&ids.join(";"))
        }
        "inuse" => flag(record.in_use),
        "mutable" => flag(record.mutable),
        "immutable" => flag(!record.mutable),
        "shared" => flag(record.shared),
        "private" => flag(!record.shared),
        _ => None,
    }
}

fn parse(filter: &str) -> Result<Vec<Selector>> {
    let invalid = |reason: String| Error::Filter { filter: filter.chars().take(200).collect(), reason };
    if filter.len() > LENGTH {
        return Err(invalid(format!("longer than {LENGTH} bytes")));
    }
    let mut selectors = Vec::new();
    let mut rest = filter.trim();
    while !rest.is_empty() {
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return Err(invalid(format!("expected a field at {rest:?}")));
        }
        let (test, after) = parse_test(after).map_err(invalid)?;
        selectors.push(Selector { field: name.to_owned(), test });
        rest = match after.trim_start().strip_prefix(',') {
            Some(next) if next.trim().is_empty() => return Err(invalid("it ends with a comma".into())),
            Some(next) => next.trim_start(),
            None if after.trim().is_empty() => "",
            None => return Err(invalid(format!("expected a comma or an operator at {after:?}"))),
        };
    }
    Ok(selectors)
}

/// The operator and value at the start of `text`, and what follows them.
fn parse_test(text: &str) -> Result<(Test, &str), String> {
    let operator = ["==", "!=", "~=", "="].into_iter().find(|operator| text.starts_with(operator));
    let Some(operator) = operator else { return Ok((Test::Present, text)) };
    let (value, rest) = parse_value(&text[operator.len()..])?;
    let test = match operator {
        "!=" => Test::NotEqual(value),
        "~=" => Test::Matches(Regex::new(&value).map_err(|error| error.to_string())?),
        _ => Test::Equal(value),
    };
    Ok((test, rest))
}

fn parse_value(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
        let value = value.trim_end();
        return if value.is_empty() { Err("a value is missing".into()) } else { Ok((value.into(), rest)) };
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("a quote is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs::RecordType;
    use std::time::SystemTime;

    fn record() -> UsageRecord {
        UsageRecord {
            id: "abc".into(),
            parents: vec!["aaaaaaaaaaaaaaaa".parse().unwrap()],
            mutable: true,
            in_use: false,
            shared: false,
            size: 0,
            created: SystemTime::UNIX_EPOCH,
            last_used: None,
            usage_count: 0,
            description: "mount / from exec, \"x\"".into(),
            record_type: RecordType::CacheMount,
        }
    }

    fn matches(filters: &[&str]) -> bool {
        Filter::parse_all(filters).unwrap().matches(&record())
    }

    #[test]
    fn filters_select() {
        let no: &[&str] = &[];
        assert!(matches(no));
        for yes in [
            "id==abc",
            "id=abc",
            "id!=abd",
            "id~=^a.c$",
            "type==exec.cachemount",
            "mutable",
            "private",
            "mutable,private",
            "description~=exec",
            r#"description=="mount / from exec, \"x\"""#,
            "parents~=aaaa",
            "inuse!=x",
            "unknown!=x",
            "",
            " mutable , private ",
        ] {
            assert!(matches(&[yes]), "{yes:?}");
        }
        for no in
            ["id==ab", "immutable", "inuse", "shared", "mutable,inuse", "mutable==true", "unknown", "id~=^b"]
        {
            assert!(!matches(&[no]), "{no:?}");
        }
        assert!(matches(&["inuse", "mutable"]));
        assert!(!matches(&["inuse", "immutable"]));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["==x", "id==", "id==\"x", "id~=(", "id==a,", "id mutable", "id>3", ",", &"x".repeat(5000)]
        {
            assert!(matches!(Filter::parse_all(&[bad]), Err(Error::Filter { .. })), "{bad:?}");
        }
    }
}
