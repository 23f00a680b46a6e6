//! `WWW-Authenticate` (RFC 9110, 11.6.1): challenges with parameters, several in one value perhaps.

/// `scheme` is lower case; parameter names are too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What can be understood of `value`; the rest is passed over.
pub(super) fn parse(value: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(|c: char| !is_token(c));
        let (word, after) = split_token(rest);
        if word.is_empty() {
            return challenges;
        }
        let word = word.to_ascii_lowercase();
        match after.trim_start().strip_prefix('=') {
            Some(after) => {
                let (value, after) = split_value(after.trim_start());
                if let Some(challenge) = challenges.last_mut() {
                    challenge.parameters.push((word, value));
                }
                rest = after;
            }
            None => {
                challenges.push(Challenge { scheme: word, parameters: Vec::new() });
                rest = after;
            }
        }
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn split_token(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// A token or a quoted string. A bare value may hold more than a token may, as some servers write.
fn split_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([',', ' ']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &[(&str, &[(&str, &str)])]) {
        let parsed = parse(value);
        let parsed: Vec<_> = parsed.iter().map(|c| (c.scheme.as_str(), c.parameters.clone())).collect();
        let pair = |(n, v): &(&str, &str)| (n.to_string(), v.to_string());
        let expected: Vec<_> =
            expected.iter().map(|(s, p)| (*s, p.iter().map(pair).collect::<Vec<_>>())).collect();
        assert_eq!(parsed, expected, "{value}");
    }

    #[test]
    fn challenges_are_taken_apart() {
        check(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push""#,
            &[(
                "bearer",
                &[
                    ("realm", "https://auth.docker.io/token"),
                    ("service", "registry.docker.io"),
                    ("scope", "repository:a:pull,push"),
                ],
            )],
        );
        check(
            r#"Basic realm="a \"b\"", Bearer realm=https://x/t , Service=s"#,
            &[("basic", &[("realm", "a \"b\"")]), ("bearer", &[("realm", "https://x/t"), ("service", "s")])],
        );
        check("Negotiate", &[("negotiate", &[])]);
        check("", &[]);
        check("=,=\"", &[]);
        check("Bearer realm=\"unclosed", &[("bearer", &[("realm", "unclosed")])]);
        check("Bearer realm=\"ü\\", &[("bearer", &[("realm", "ü")])]);
    }
}
