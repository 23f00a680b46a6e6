//! Symbolic modes (`u+x,go=rX`), as BSD's `setmode` reads them and `chmod` documents them.
//!
//! Unlike `chmod`, a change begins without setuid, setgid and sticky: the reference loses them on
//! the way in, and results must be equal.

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const ALL_BUT_STICKY: u32 = 0o6777;
const EXECUTE: u32 = 0o111;

/// Why a text is no mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid syntax")]
pub struct ModeError;

/// A parsed mode: what to do with the bits of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModeChange(Vec<Step>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Set(u32),
    Clear(u32),
    /// If it is a directory or anyone could execute it before.
    SetExecute(u32),
    /// Read, write and execute of one class, to the classes of these bits.
    Copy {
        from: u32,
        to: u32,
        operator: u8,
    },
}

impl ModeChange {
    /// Octal up to 7777, or clauses separated by commas.
    pub fn parse(text: &str) -> Result<Self, ModeError> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777).ok_or(ModeError)?;
            return Ok(Self(vec![Step::Clear(0o7777), Step::Set(bits)]));
        }
        let mut steps = Vec::new();
        // Once an `=` was carried out, another one without letters does not clear again.
        let mut assigned = false;
        for clause in text.split(',') {
            parse_clause(clause.as_bytes(), &mut steps, &mut assigned)?;
        }
        Ok(Self(steps))
    }

    /// The permission bits of a file that had `mode`.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let before = mode & 0o777;
        let mut bits = before;
        for step in &self.0 {
            match *step {
                Step::Set(set) => bits |= set,
                Step::Clear(clear) => bits &= !clear,
                Step::SetExecute(set) if is_directory || before & EXECUTE != 0 => bits |= set,
                Step::SetExecute(_) => {}
                Step::Copy { from, to, operator } => {
                    let value = bits >> from & 7;
                    for shift in [6, 3, 0] {
                        if to & 7 << shift == 0 {
                            continue;
                        }
                        bits = match operator {
                            b'+' => bits | value << shift,
                            b'-' => bits & !(value << shift),
                            _ => bits & !(7 << shift) | value << shift,
                        };
                    }
                }
            }
        }
        bits
    }
}

fn parse_clause(clause: &[u8], steps: &mut Vec<Step>, assigned: &mut bool) -> Result<(), ModeError> {
    let mut letters = clause.iter().copied().peekable();
    let mut who = 0;
    while let Some(class) = letters.peek().and_then(|letter| class_bits(*letter)) {
        who |= class;
        letters.next();
    }
    if letters.peek().is_none() {
        return Err(ModeError);
    }
    while let Some(operator) = letters.next() {
        if !matches!(operator, b'+' | b'-' | b'=') {
            return Err(ModeError);
        }
        if operator == b'=' {
            *assigned = false;
        }
        let mut action = Action { operator, who: who & !STICKY, bits: 0, execute: 0 };
        while let Some(letter) = letters.peek().copied().filter(|letter| action.takes(*letter)) {
            letters.next();
            action.letter(letter, steps, assigned);
        }
        if action.bits != 0 || operator == b'=' && !*assigned {
            *assigned |= operator == b'=';
            action.flush(steps);
        }
        action.flush_execute(steps);
    }
    Ok(())
}

fn class_bits(letter: u8) -> Option<u32> {
    match letter {
        b'a' => Some(ALL_BUT_STICKY),
        b'u' => Some(SETUID | 0o700),
        b'g' => Some(SETGID | 0o070),
        b'o' => Some(0o007),
        _ => None,
    }
}

/// One operator with the letters behind it.
struct Action {
    operator: u8,
    /// 0 where no class was named: all of them.
    who: u32,
    bits: u32,
    execute: u32,
}

impl Action {
    fn takes(&self, letter: u8) -> bool {
        b"rstwXxugo".contains(&letter)
    }

    fn letter(&mut self, letter: u8, steps: &mut Vec<Step>, assigned: &mut bool) {
        let not_only_others = self.who == 0 || self.who & !0o007 != 0;
        match letter {
            b'r' => self.bits |= 0o444,
            b'w' => self.bits |= 0o222,
            b'x' => self.bits |= EXECUTE,
            b'X' if self.operator == b'-' => self.bits |= EXECUTE,
            b'X' => self.execute = EXECUTE,
            b's' if not_only_others => self.bits |= SETUID | SETGID,
            b't' if not_only_others => {
                if self.who != 0 {
                    self.who |= STICKY;
                }
                self.bits |= STICKY;
            }
            b'u' | b'g' | b'o' => self.copy(letter, steps, assigned),
            _ => {}
        }
    }

    /// Copying from a class first carries out what stands before it.
    fn copy(&mut self, class: u8, steps: &mut Vec<Step>, assigned: &mut bool) {
        if self.bits != 0 {
            self.flush(steps);
            self.bits = 0;
        }
        *assigned |= self.operator == b'=';
        self.flush_execute(steps);
        self.execute = 0;
        let from = match class {
            b'u' => 6,
            b'g' => 3,
            _ => 0,
        };
        let to = if self.who == 0 { 0o777 } else { self.who & 0o444 };
        steps.push(Step::Copy { from, to, operator: self.operator });
    }

    fn flush(&self, steps: &mut Vec<Step>) {
        let bits = if self.who == 0 { self.bits } else { self.bits & self.who };
        match self.operator {
            b'-' => steps.push(Step::Clear(bits)),
            b'=' => {
                steps.push(Step::Clear(if self.who == 0 { ALL_BUT_STICKY } else { self.who }));
                steps.push(Step::Set(bits));
            }
            _ => steps.push(Step::Set(bits)),
        }
    }

    fn flush_execute(&self, steps: &mut Vec<Step>) {
        if self.execute != 0 {
            let bits = if self.who == 0 { self.execute } else { self.execute & self.who };
            steps.push(Step::SetExecute(bits));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_apply_in_order() {
        for (text, mode, directory, result) in [
            ("755", 0o600, false, 0o755),
            ("u+x", 0o4644, false, 0o744),
            ("a=rX,u+w", 0o600, false, 0o644),
            ("a=rX,u+w", 0o700, true, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("go=u-w", 0o755, false, 0o755),
            ("go-rwx", 0o777, false, 0o700),
            ("+t", 0o755, true, 0o1755),
            ("u+s", 0o755, false, 0o4755),
            ("u=", 0o755, false, 0o055),
            ("=r", 0o777, false, 0o444),
            ("u+r-w", 0o600, false, 0o400),
        ] {
            assert_eq!(ModeChange::parse(text).unwrap().apply(mode, directory), result, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", ",u+r", "u", "u+q", "rwx", "8", "10000", "u+r,", "-1", " 755"] {
            assert_eq!(ModeChange::parse(bad), Err(ModeError), "{bad:?}");
        }
    }
}
