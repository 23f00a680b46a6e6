//! `--format`: the part of Go's templates that formats are written in.
//!
//! | written | means |
//! |---|---|
//! | `json` | `{{json .}}` |
//! | `{{.}}`, `{{.Record.Ref}}` | a value, or a field of it; names are found whatever their case |
//! | `{{json .}}`, `{{json .Labels}}` | the same as JSON |
//! | `{{range .}}…{{end}}` | once for each element |
//! | `{{"\t"}}` | a text |
//!
//! Anything else is an error that names it.

use serde_json::Value;

use crate::error::Failure;

#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Show { path: Vec<String>, json: bool },
    Range { path: Vec<String>, body: Vec<Part> },
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let text = if text == "json" { "{{json .}}" } else { text };
        let mut rest = text;
        let parts = parse(&mut rest, false)?;
        Ok(Self(parts))
    }

    pub fn render(&self, value: &Value) -> String {
        let mut out = String::new();
        render(&self.0, value, &mut out);
        out
    }
}

fn parse(rest: &mut &str, inside: bool) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    loop {
        let Some((before, after)) = rest.split_once("{{") else {
            if inside {
                return Err(wrong("a range has no {{end}}"));
            }
            push_text(&mut parts, rest);
            *rest = "";
            return Ok(parts);
        };
        push_text(&mut parts, before);
        let (action, after) = after.split_once("}}").ok_or_else(|| wrong("{{ has no }}"))?;
        *rest = after;
        let action = action.trim();
        if action == "end" && inside {
            return Ok(parts);
        }
        if let Some(list) = action.strip_prefix("range ") {
            let path = path(list.trim())?;
            parts.push(Part::Range { path, body: parse(rest, true)? });
        } else if let Some(shown) = action.strip_prefix("json ") {
            parts.push(Part::Show { path: path(shown.trim())?, json: true });
        } else if action.starts_with('"') {
            let text = serde_json::from_str(action).map_err(|_| wrong(&format!("{action} is no text")))?;
            parts.push(Part::Text(text));
        } else {
            parts.push(Part::Show { path: path(action)?, json: false });
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// `.` or `.Field.Field`.
fn path(text: &str) -> Result<Vec<String>, Failure> {
    let fields = text.strip_prefix('.').ok_or_else(|| wrong(&format!("{{{{{text}}}}} is not supported")))?;
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let plain = |field: &str| !field.is_empty() && field.chars().all(|c| c.is_alphanumeric() || c == '_');
    match fields.split('.').all(plain) {
        true => Ok(fields.split('.').map(str::to_owned).collect()),
        false => Err(wrong(&format!("{{{{{text}}}}} is not supported"))),
    }
}

fn wrong(reason: &str) -> Failure {
    Failure::usage(format!("--format: {reason}: use fields such as {{{{.ID}}}}, json and range"))
}

fn render(parts: &[Part], value: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Show { path, json: true } => out.push_str(&find(value, path).to_string()),
            Part::Show { path, json: false } => match find(value, path) {
                Value::String(text) => out.push_str(text),
                Value::Null => out.push_str("<nil>"),
                other => out.push_str(&other.to_string()),
            },
            Part::Range { path, body } => match find(value, path) {
                Value::Array(values) => values.iter().for_each(|value| render(body, value, out)),
                Value::Object(fields) => fields.values().for_each(|value| render(body, value, out)),
                _ => {}
            },
        }
    }
}

fn find<'a>(value: &'a Value, path: &[String]) -> &'a Value {
    let mut found = value;
    for name in path {
        let field = found.as_object().and_then(|fields| {
            fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        });
        match field {
            Some(field) => found = field,
            None => return &Value::Null,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(template: &str, value: &Value) -> String {
        Template::parse(template).unwrap().render(value)
    }

    #[test]
    fn fields_ranges_and_json() {
        let value = json!([{ "id": "a", "size": 3, "labels": { "k": "v" } }, { "id": "b" }]);
        assert_eq!(rendered("json", &json!({ "id": "a" })), r#"{"id":"a"}"#);
        assert_eq!(
            rendered("{{range .}}{{.ID}}{{\"\\t\"}}{{.Size}} {{json .Labels}};{{end}}!", &value),
            "a\t3 {\"k\":\"v\"};b\t<nil> null;!"
        );
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for wrong in ["{{if .X}}", "{{.X", "{{range .}}x", "{{end}}", "{{.A..B}}", "{{printf \"a\"}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
