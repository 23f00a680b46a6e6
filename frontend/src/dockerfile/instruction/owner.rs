//! The value of `--chown`, variables expanded: `user[:group]`.

/// A name is looked up where the files are copied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Id(i32),
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub user: Owner,
    /// `None` without a `:`.
    pub group: Option<Owner>,
}

impl Ownership {
    /// Every text has a meaning.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((user, group)) => Self { user: Owner::parse(user), group: Some(Owner::parse(group)) },
            None => Self { user: Owner::parse(text), group: None },
        }
    }
}

impl Owner {
    /// `root` and nothing are 0. Numbers beyond 31 bits are names, as in the reference.
    fn parse(text: &str) -> Self {
        match text {
            "" | "root" => Self::Id(0),
            text => text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Id),
        }
    }
}
