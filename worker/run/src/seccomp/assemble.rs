//! Rules to classic BPF, as `seccomp(2)` takes it.
//!
//! ```text
//! load architecture;  for each: is it this one?  load number; binary search; return
//! none of them: kill
//! ```
//! Conditional jumps reach 255 instructions, so a longer left half is jumped over by an unconditional one.

use super::profile::{Architecture, Rule};

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) if_true: u8,
    pub(super) if_false: u8,
    pub(super) value: u32,
}

impl Instruction {
    pub(super) fn bytes(self) -> [u8; 8] {
        let [code0, code1] = self.code.to_ne_bytes();
        let [v0, v1, v2, v3] = self.value.to_ne_bytes();
        [code0, code1, self.if_true, self.if_false, v0, v1, v2, v3]
    }

    fn new(code: u32, value: u32) -> Self {
        // The operation codes of classic BPF fit in a byte.
        Self { code: code as u16, if_true: 0, if_false: 0, value }
    }

    fn branch(code: u32, value: u32, if_true: u8, if_false: u8) -> Self {
        Self { if_true, if_false, ..Self::new(code, value) }
    }
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Offsets in `struct seccomp_data`; the low half of the first argument (all our machines are little-endian).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

pub(super) fn program(architectures: impl IntoIterator<Item = Architecture>) -> Vec<Instruction> {
    let mut program = vec![Instruction::new(LOAD, ARCHITECTURE)];
    for architecture in architectures {
        let search = search(&architecture.ranges);
        program.push(Instruction::branch(IF_EQUAL, architecture.audit, 1, 0));
        program.push(Instruction::new(JUMP, search.len() as u32 + 1));
        program.push(Instruction::new(LOAD, NUMBER));
        program.extend(search);
    }
    program.push(Instruction::new(RETURN, libc::SECCOMP_RET_KILL_PROCESS));
    program
}

fn search(ranges: &[(u32, Rule)]) -> Vec<Instruction> {
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let [(first, _), ..] = right else { return Vec::new() };
    if left.is_empty() {
        return right.first().map(|(_, rule)| decide(*rule)).unwrap_or_default();
    }
    let (left, right) = (search(left), search(right));
    let mut program = match u8::try_from(left.len()) {
        Ok(skipped) => vec![Instruction::branch(IF_AT_LEAST, *first, skipped, 0)],
        Err(_) => {
            vec![Instruction::branch(IF_AT_LEAST, *first, 0, 1), Instruction::new(JUMP, left.len() as u32)]
        }
    };
    program.extend(left);
    program.extend(right);
    program
}

fn decide(rule: Rule) -> Vec<Instruction> {
    let allow = Instruction::new(RETURN, libc::SECCOMP_RET_ALLOW);
    let refuse = |errno: i32| Instruction::new(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32);
    let refused = refuse(libc::EPERM);
    let argument = Instruction::new(LOAD, FIRST_ARGUMENT);
    match rule {
        Rule::Allow => vec![allow],
        Rule::Errno(errno) => vec![refuse(errno)],
        Rule::AllowWithout(mask) => {
            vec![argument, Instruction::branch(IF_ANY_BIT, mask, 1, 0), allow, refused]
        }
        Rule::AllowOnly(values) => [vec![argument], any_of(values), vec![refused, allow]].concat(),
        Rule::AllowAllBut(values) => [vec![argument], any_of(values), vec![allow, refused]].concat(),
    }
}

/// Skips one instruction where the value loaded is any of these.
fn any_of(values: &[u32]) -> Vec<Instruction> {
    let last = values.len() - 1;
    let compare =
        |(at, value): (usize, &u32)| Instruction::branch(IF_EQUAL, *value, (last - at + 1) as u8, 0);
    values.iter().enumerate().map(compare).collect()
}

#[cfg(test)]
mod tests {
    use super::super::allowed::{ALLOWED, NO};
    use super::super::profile::architectures;
    use super::*;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    /// What the kernel would do, in as many words.
    fn run(program: &[Instruction], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            let value = instruction.value;
            let holds = match u32::from(instruction.code) {
                LOAD => {
                    loaded = match value {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        _ => argument,
                    };
                    continue;
                }
                JUMP => {
                    at += value as usize;
                    continue;
                }
                RETURN => return value,
                IF_EQUAL => loaded == value,
                IF_AT_LEAST => loaded >= value,
                IF_ANY_BIT => loaded & value != 0,
                code => panic!("unknown code {code}"),
            };
            at += usize::from(if holds { instruction.if_true } else { instruction.if_false });
        }
    }

    #[test]
    fn every_number_gets_its_rule() {
        let native = architectures().unwrap();
        let column = if cfg!(target_arch = "x86_64") { 0 } else { 2 };
        let program = program(architectures().unwrap());
        assert!(program.len() < 4096, "the kernel's limit");
        for (offset, architecture) in native.iter().enumerate() {
            let numbers: Vec<u32> = ALLOWED.iter().map(|(_, numbers)| numbers[column + offset]).collect();
            let conditional = |number: &u32| ranges_condition(architecture, *number);
            let newest = *numbers.iter().filter(|number| **number != NO).max().unwrap();
            for number in (0..600).filter(|number| !conditional(number)) {
                let expected = match number {
                    _ if numbers.contains(&number) => ALLOW,
                    _ if number > newest => ENOSYS,
                    _ => EPERM,
                };
                assert_eq!(run(&program, architecture.audit, number, 0), expected, "number {number}");
            }
        }
    }

    fn ranges_condition(architecture: &Architecture, number: u32) -> bool {
        let rule = architecture.ranges.iter().rev().find(|(first, _)| *first <= number).unwrap().1;
        !matches!(rule, Rule::Allow | Rule::Errno(libc::EPERM)) && number < 440
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn arguments_decide_where_they_must() {
        let [native, _] = architectures().unwrap();
        let audit = native.audit;
        let program = program(architectures().unwrap());
        let call = |number, argument| run(&program, audit, number, argument);
        assert_eq!(call(56, libc::SIGCHLD as u32), ALLOW);
        assert_eq!(call(56, libc::CLONE_NEWUSER as u32 | libc::SIGCHLD as u32), EPERM);
        assert_eq!(call(435, 0), ENOSYS);
        assert_eq!(call(41, libc::AF_INET as u32), ALLOW);
        assert_eq!(call(41, libc::AF_ALG as u32), EPERM);
        assert_eq!(call(41, 39), ALLOW);
        assert_eq!(call(41, libc::AF_VSOCK as u32), EPERM);
        assert_eq!(call(41, 41), ALLOW);
        assert_eq!(call(135, 0xffff_ffff), ALLOW);
        assert_eq!(call(135, 4), EPERM);
        assert_eq!(call(272, 0), EPERM, "unshare");
        assert_eq!(call(0x4000_0000, 0), ENOSYS, "x32");
        assert_eq!(run(&program, 0xdead, 0, 0), libc::SECCOMP_RET_KILL_PROCESS);
    }
}
