//! The regular expressions that patterns become: a small, linear-time matcher with the syntax of RE2.
//!
//! Only what a translated pattern can hold is understood: literals, `.`, classes, one kind of
//! group, `*`, `?`, `^` and escapes. A general engine is absent on purpose: engines differ in what a
//! class like `[[^/]*]` means, and here the answer must be RE2's. The matcher follows all
//! alternatives at once, so no pattern can make it slow.

mod literals;

use super::glob::first_character;

/// A compiled expression, anchored at both ends.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    steps: Vec<Step>,
    /// What every match begins and ends with. Most paths are refused by them, and nothing is followed.
    prefix: String,
    suffix: String,
}

#[derive(Debug, Clone)]
enum Step {
    One(Set),
    Either(usize, usize),
    At(Place),
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Start,
    End,
    WordBoundary,
    NoWordBoundary,
}

#[derive(Debug, Clone, Default)]
struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
    /// `\W`, `\D`, `\S` inside a class: what is *not* in these.
    complements: Vec<Vec<(char, char)>>,
}

impl Set {
    fn only(character: char) -> Self {
        Self { ranges: vec![(character, character)], ..Self::default() }
    }

    fn holds(&self, character: char) -> bool {
        let within =
            |ranges: &[(char, char)]| ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
        let inside = within(&self.ranges) || self.complements.iter().any(|ranges| !within(ranges));
        inside != self.negated
    }
}

impl Expression {
    /// `None` for what is not an expression.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text, names_ahead: true, steps: Vec::new() };
        parser.sequence()?;
        let steps = parser.steps;
        let (prefix, suffix) = (literals::prefix(&steps), literals::suffix(&steps));
        parser.rest.is_empty().then_some(Self { steps, prefix, suffix })
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        if !text.starts_with(self.prefix.as_bytes()) || !text.ends_with(self.suffix.as_bytes()) {
            return false;
        }
        let end = self.steps.len();
        let (mut now, mut next) = (States::new(end), States::new(end));
        let (mut rest, mut previous) = (text, None);
        let mut upcoming = first_character(rest);
        self.enter(0, &mut now, previous, upcoming.map(|(character, _)| character));
        while let Some((character, length)) = upcoming {
            rest = rest.get(length..).unwrap_or_default();
            previous = Some(character);
            upcoming = first_character(rest);
            next.clear();
            for &state in &now.list {
                if let Some(Step::One(set)) = self.steps.get(state)
                    && set.holds(character)
                {
                    self.enter(state + 1, &mut next, previous, upcoming.map(|(character, _)| character));
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.seen.last().copied().unwrap_or(false)
    }

    /// Adds `state` and whatever it reaches without a character.
    fn enter(&self, state: usize, states: &mut States, before: Option<char>, after: Option<char>) {
        states.open.push(state);
        while let Some(state) = states.open.pop() {
            let Some(seen) = states.seen.get_mut(state) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            match self.steps.get(state) {
                Some(Step::Either(one, other)) => states.open.extend([*one, *other]),
                Some(Step::At(place)) if place.holds(before, after) => states.open.push(state + 1),
                Some(Step::At(_)) => {}
                Some(Step::One(_)) | None => states.list.push(state),
            }
        }
    }
}

struct States {
    list: Vec<usize>,
    /// To be entered.
    open: Vec<usize>,
    /// One longer than the program: its last element says whether the end was reached.
    seen: Vec<bool>,
}

impl States {
    fn new(program: usize) -> Self {
        Self { list: Vec::new(), open: Vec::new(), seen: vec![false; program + 1] }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.seen.fill(false);
    }
}

impl Place {
    fn holds(self, before: Option<char>, after: Option<char>) -> bool {
        let word = |character: Option<char>| character.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        match self {
            Self::Start => before.is_none(),
            Self::End => after.is_none(),
            Self::WordBoundary => word(before) != word(after),
            Self::NoWordBoundary => word(before) == word(after),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    /// A `:]` may still follow. Once none was found none is looked for, so all looks are one pass.
    names_ahead: bool,
    steps: Vec<Step>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = self.rest.get(character.len_utf8()..)?;
        Some(character)
    }

    fn accept(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn sequence(&mut self) -> Option<()> {
        while !self.rest.is_empty() && !self.rest.starts_with(')') {
            let start = self.steps.len();
            self.atom()?;
            if self.accept("*") {
                self.repeat(start, true);
            } else if self.accept("?") {
                self.repeat(start, false);
            }
        }
        Some(())
    }

    /// Wraps the steps from `start` on: zero or more of them, or zero or one.
    fn repeat(&mut self, start: usize, many: bool) {
        self.steps.insert(start, Step::Either(start + 1, 0));
        for step in self.steps.iter_mut().skip(start + 1) {
            if let Step::Either(one, other) = step {
                (*one, *other) = (*one + 1, *other + 1);
            }
        }
        if many {
            self.steps.push(Step::Either(start, start));
        }
        let end = self.steps.len();
        if let Some(step) = self.steps.get_mut(start) {
            *step = Step::Either(start + 1, end);
        }
    }

    fn atom(&mut self) -> Option<()> {
        let step = match self.next()? {
            '(' => {
                self.sequence()?;
                return self.accept(")").then_some(());
            }
            '^' => Step::At(Place::Start),
            '.' => Step::One(Set { negated: true, ..Set::only('\n') }),
            '[' => Step::One(self.class()?),
            '\\' => self.escape()?,
            '*' | '?' => return None,
            literal => Step::One(Set::only(literal)),
        };
        self.steps.push(step);
        Some(())
    }

    fn escape(&mut self) -> Option<Step> {
        let place = match self.rest.chars().next()? {
            'A' => Place::Start,
            'z' => Place::End,
            'b' => Place::WordBoundary,
            'B' => Place::NoWordBoundary,
            _ => return self.escaped_set().map(Step::One),
        };
        self.next();
        Some(Step::At(place))
    }

    fn escaped_set(&mut self) -> Option<Set> {
        let character = self.rest.chars().next()?;
        let Some(ranges) = perl_class(character.to_ascii_lowercase()) else {
            return self.escaped_character().map(Set::only);
        };
        self.next();
        Some(Set { negated: character.is_ascii_uppercase(), ranges, complements: Vec::new() })
    }

    /// After a backslash: punctuation stands for itself, some letters for control characters.
    fn escaped_character(&mut self) -> Option<char> {
        Some(match self.next()? {
            'a' => '\u{7}',
            'f' => '\u{c}',
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'v' => '\u{b}',
            'x' => return self.hexadecimal(),
            '0' => {
                let digits = self.rest.chars().take(2).take_while(|c| c.is_digit(8)).count();
                let (octal, rest) = self.rest.split_at(digits);
                self.rest = rest;
                return char::from_u32(u32::from_str_radix(&format!("0{octal}"), 8).ok()?);
            }
            letter if letter.is_ascii_alphanumeric() || !letter.is_ascii() => return None,
            punctuation => punctuation,
        })
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let digits = if self.accept("{") {
            let (digits, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let digits = self.rest.get(..2)?;
            self.rest = self.rest.get(2..)?;
            digits
        };
        let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| all_hex)?)
    }

    fn class(&mut self) -> Option<Set> {
        let mut set = Set { negated: self.accept("^"), ..Set::default() };
        let mut first = true;
        loop {
            if !first && self.accept("]") {
                return Some(set);
            }
            // A hyphen stands for itself only at either end.
            if !first && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                return None;
            }
            first = false;
            if self.rest.starts_with("[:") && self.named_class(&mut set)? {
                continue;
            }
            self.class_item(&mut set)?;
        }
    }

    fn class_item(&mut self, set: &mut Set) -> Option<()> {
        if let Some(letter) = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next())
            && perl_class(letter.to_ascii_lowercase()).is_some()
        {
            self.next();
            return self.escaped_set().map(|escaped| set.add(escaped));
        }
        let low = self.class_character()?;
        let mut high = low;
        if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
            self.next();
            high = self.class_character()?;
        }
        (low <= high).then(|| set.ranges.push((low, high)))
    }

    fn class_character(&mut self) -> Option<char> {
        if self.accept("\\") { self.escaped_character() } else { self.next() }
    }

    /// `[:alpha:]`, `[:^alpha:]`; `false` where the text is no name and means single characters.
    fn named_class(&mut self, set: &mut Set) -> Option<bool> {
        let found = if self.names_ahead { self.rest.find(":]") } else { None };
        let Some(end) = found else {
            self.names_ahead = false;
            return Some(false);
        };
        let name = self.rest.get(2..end)?;
        let (negated, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
        let ranges = posix_class(name)?;
        set.add(Set { negated, ranges, complements: Vec::new() });
        self.rest = self.rest.get(end + 2..)?;
        Some(true)
    }
}

impl Set {
    fn add(&mut self, other: Self) {
        if other.negated {
            self.complements.push(other.ranges);
        } else {
            self.ranges.extend(other.ranges);
        }
    }
}

fn perl_class(letter: char) -> Option<Vec<(char, char)>> {
    Some(match letter {
        'd' => vec![('0', '9')],
        's' => vec![('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')],
        'w' => vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        _ => return None,
    })
}

fn posix_class(name: &str) -> Option<Vec<(char, char)>> {
    Some(match name {
        "alnum" => vec![('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => vec![('A', 'Z'), ('a', 'z')],
        "ascii" => vec![('\0', '\u{7f}')],
        "blank" => vec![('\t', '\t'), (' ', ' ')],
        "cntrl" => vec![('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
        "digit" => vec![('0', '9')],
        "graph" => vec![('!', '~')],
        "lower" => vec![('a', 'z')],
        "print" => vec![(' ', '~')],
        "punct" => vec![('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => vec![('\t', '\r'), (' ', ' ')],
        "upper" => vec![('A', 'Z')],
        "word" => vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => vec![('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, text: &str) -> bool {
        Expression::parse(expression).unwrap().matches(text.as_bytes())
    }

    #[test]
    fn repetition_groups_and_classes() {
        assert!(check("a(.*/)?b", "ab") && check("a(.*/)?b", "ax/y/b") && !check("a(.*/)?b", "axb"));
        assert!(check("[^/]*\\.go", "x.go") && !check("[^/]*\\.go", "a/x.go"));
        assert!(check("^a", "a") && !check("a^", "a"));
        assert!(check("[a-c]x", "bx") && check("[^a]", "/") && check("[[:alpha:]\\d]", "7"));
        assert!(check("[[^/]*]", "[^]") && check("\\d\\W", "5-"));
        assert!(check("[]]", "]") && check("[a-]", "-"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for bad in ["[", "[b-a]", "\\q", "[a", "[[:nope:]]", "**", "\\p"] {
            assert!(Expression::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_long_name_against_many_stars_is_linear() {
        let expression = "[^/]*a".repeat(40) + "b";
        assert!(!check(&expression, &"a".repeat(4000)));
    }
}
