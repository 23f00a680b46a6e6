//! The smallest program of each machine: an ELF file (System V ABI, chapter 4) with one segment, whose instructions are
//! the system call `exit(42)`.

/// What the program ends with.
pub(super) const EXIT: i32 = 42;

/// A machine that Linux runs on.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    pub(super) architecture: &'static str,
    /// Of platforms that run where this does.
    pub(super) variants: &'static [&'static str],
    /// `e_machine`, of `linux/elf-em.h`.
    pub(super) machine: u16,
    /// `e_flags`.
    pub(super) flags: u32,
    pub(super) is_64bit: bool,
    pub(super) is_big_endian: bool,
    pub(super) code: &'static [u8],
}

const LITTLE_64: Machine = Machine {
    architecture: "",
    variants: &[""],
    machine: 0,
    flags: 0,
    is_64bit: true,
    is_big_endian: false,
    code: &[],
};

#[rustfmt::skip]
pub(super) const MACHINES: &[Machine] = &[
    // mov edi, 42; mov eax, 60; syscall
    Machine { architecture: "amd64", machine: 62,
        code: &[0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05], ..LITTLE_64 },
    // mov x0, #42; mov x8, #93; svc #0
    Machine { architecture: "arm64", machine: 183,
        code: &[0x40, 0x05, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4], ..LITTLE_64 },
    // li a0, 42; li a7, 93; ecall
    Machine { architecture: "riscv64", machine: 243, flags: 5,
        code: &[0x13, 0x05, 0xa0, 0x02, 0x93, 0x08, 0xd0, 0x05, 0x73, 0, 0, 0], ..LITTLE_64 },
    // li r3, 42; li r0, 1; sc
    Machine { architecture: "ppc64le", machine: 21, flags: 2,
        code: &[42, 0, 0x60, 0x38, 1, 0, 0, 0x38, 0x02, 0, 0, 0x44], ..LITTLE_64 },
    // lghi %r2, 42; svc 1
    Machine { architecture: "s390x", machine: 22, is_big_endian: true,
        code: &[0xa7, 0x29, 0, 42, 0x0a, 0x01], ..LITTLE_64 },
    // mov ebx, 42; mov eax, 1; int 0x80
    Machine { architecture: "386", machine: 3, is_64bit: false,
        code: &[0xbb, 42, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xcd, 0x80], ..LITTLE_64 },
    // li a0, 42; li v0, 5058; syscall
    Machine { architecture: "mips64le", machine: 8, flags: 0x6000_0000,
        code: &[42, 0, 0x04, 0x24, 0xc2, 0x13, 0x02, 0x24, 0x0c, 0, 0, 0], ..LITTLE_64 },
    Machine { architecture: "mips64", machine: 8, flags: 0x6000_0000, is_big_endian: true,
        code: &[0x24, 0x04, 0, 42, 0x24, 0x02, 0x13, 0xc2, 0, 0, 0, 0x0c], ..LITTLE_64 },
    // ori a0, zero, 42; ori a7, zero, 93; syscall 0
    Machine { architecture: "loong64", machine: 258, flags: 0x43,
        code: &[0x04, 0xa8, 0x80, 0x03, 0x0b, 0x74, 0x81, 0x03, 0, 0, 0x2b, 0], ..LITTLE_64 },
    // mov r0, #42; mov r7, #1; svc 0
    Machine { architecture: "arm", variants: &["v7", "v6"], machine: 40, flags: 0x0500_0000, is_64bit: false,
        code: &[42, 0, 0xa0, 0xe3, 1, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef], ..LITTLE_64 },
];

/// Where the file is mapped.
const ADDRESS: u64 = 0x40_0000;
const PAGE: u64 = 0x1_0000;

impl Machine {
    pub(super) fn program(&self) -> Vec<u8> {
        let (header, segment) = if self.is_64bit { (64, 56) } else { (52, 32) };
        let (entry, length) = (header + segment, header + segment + self.code.len() as u64);
        let mut file = Bytes { bytes: Vec::new(), machine: *self };
        let (class, order) = (if self.is_64bit { 2 } else { 1 }, if self.is_big_endian { 2 } else { 1 });
        file.bytes.extend([0x7f, b'E', b'L', b'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        // An executable; its entry, its segments, no sections.
        file.short(2).short(self.machine).word(1).address(ADDRESS + entry).address(header).address(0);
        file.word(self.flags).short(header as u16).short(segment as u16).short(1).short(0).short(0).short(0);
        // To load; readable and executable.
        file.word(1);
        if self.is_64bit {
            file.word(5);
        }
        file.address(0).address(ADDRESS).address(ADDRESS).address(length).address(length);
        if !self.is_64bit {
            file.word(5);
        }
        file.address(PAGE);
        file.bytes.extend(self.code);
        file.bytes
    }
}

struct Bytes {
    bytes: Vec<u8>,
    machine: Machine,
}

impl Bytes {
    fn number(&mut self, value: u64, length: usize) -> &mut Self {
        let little = value.to_le_bytes();
        let bytes = little.iter().take(length);
        if self.machine.is_big_endian {
            self.bytes.extend(bytes.rev())
        } else {
            self.bytes.extend(bytes)
        }
        self
    }

    fn short(&mut self, value: u16) -> &mut Self {
        self.number(value.into(), 2)
    }

    fn word(&mut self, value: u32) -> &mut Self {
        self.number(value.into(), 4)
    }

    fn address(&mut self, value: u64) -> &mut Self {
        self.number(value, if self.machine.is_64bit { 8 } else { 4 })
    }
}
