//! An object in the making.

use serde_json::{Map, Value};

/// Who reads it: the two ways in which the reference writes its types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Go's `encoding/json`: names of the Go fields' tags, enumerations and all numbers as numbers.
    #[default]
    Go,
    /// `protojson`: names in camel case, enumerations by name, 64 bits as text, since not every reader has them.
    Proto,
}

impl Form {
    /// How a member is called whose names differ.
    pub(super) fn name<'a>(self, go: &'a str, proto: &'a str) -> &'a str {
        match self {
            Self::Go => go,
            Self::Proto => proto,
        }
    }
}

/// Members keep their order; those that say nothing are left out.
#[derive(Default)]
pub struct Members {
    form: Form,
    members: Map<String, Value>,
}

impl Members {
    pub fn of(form: Form) -> Self {
        Self { form, members: Map::new() }
    }

    /// Whatever it is, but null.
    pub fn value(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.members.insert(key.to_owned(), value);
        }
        self
    }

    /// What is there.
    pub fn maybe<T>(self, key: &str, value: Option<T>) -> Self
    where
        T: Into<Value>,
    {
        match value {
            Some(value) => self.value(key, value),
            None => self,
        }
    }

    pub fn text(self, key: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.value(key, text) }
    }

    pub fn flag(self, key: &str, set: bool) -> Self {
        if set { self.value(key, true) } else { self }
    }

    pub fn number(self, key: &str, number: impl Into<i64>) -> Self {
        match number.into() {
            0 => self,
            number => self.value(key, number),
        }
    }

    /// A number of 64 bits.
    pub fn long(self, key: &str, number: i64) -> Self {
        match self.form {
            Form::Proto if number != 0 => self.value(key, number.to_string()),
            Form::Proto | Form::Go => self.number(key, number),
        }
    }

    /// A member of an enumeration; the first of it says nothing.
    pub fn choice(self, key: &str, number: i32, name: &str) -> Self {
        match self.form {
            Form::Proto if number != 0 => self.value(key, name),
            Form::Proto | Form::Go => self.number(key, number),
        }
    }

    pub fn list<T>(self, key: &str, list: &[T], member: impl Fn(&T) -> Value) -> Self {
        if list.is_empty() { self } else { self.value(key, list.iter().map(member).collect::<Vec<_>>()) }
    }

    pub fn texts(self, key: &str, texts: &[String]) -> Self {
        self.list(key, texts, |text| text.as_str().into())
    }

    /// Sorted by key.
    pub fn map<'a, T: 'a>(
        self,
        key: &str,
        entries: impl IntoIterator<Item = (&'a String, &'a T)>,
        member: impl Fn(&T) -> Value,
    ) -> Self {
        let mut entries: Vec<(&String, &T)> = entries.into_iter().collect();
        if entries.is_empty() {
            return self;
        }
        entries.sort_by_key(|(key, _)| *key);
        let object: Map<String, Value> =
            entries.into_iter().map(|(key, value)| (key.clone(), member(value))).collect();
        self.value(key, object)
    }
}

impl From<Members> for Value {
    fn from(members: Members) -> Self {
        Self::Object(members.members)
    }
}
