//! An object in the making.

use serde_json::{Map, Value};

/// Members keep their order; those that say nothing are left out.
#[derive(Default)]
pub struct Members(Map<String, Value>);

impl Members {
    /// Whatever it is, but null.
    pub fn value(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.0.insert(key.to_owned(), value);
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

    /// `protojson` writes 64 bits as text, since not every reader has them.
    pub fn long(self, key: &str, number: i64) -> Self {
        if number == 0 { self } else { self.value(key, number.to_string()) }
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
        Self::Object(members.0)
    }
}
