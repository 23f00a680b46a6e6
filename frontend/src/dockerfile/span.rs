//! Where in the file something stands.

/// Lines count from 1, characters from 0 (and are always 0: the reference reports whole lines).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub character: u32,
}

/// One physical line; an instruction over several lines has one range for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    pub start: Position,
    pub end: Position,
}

impl Range {
    pub fn line(line: u32) -> Self {
        let position = Position { line, character: 0 };
        Self { start: position, end: position }
    }

    /// A range for each line from `first` to `last`; at least one.
    pub fn lines(first: u32, last: u32) -> Vec<Self> {
        (first..=last.max(first)).map(Self::line).collect()
    }
}
