//! Splitting an expansion into words while it is made.

/// Unquoted spaces end a word; quoted text never does.
///
/// A nested `${a:-b}` forgets the unfinished word around it, see [`Words::forget`].
#[derive(Default)]
pub(super) struct Words {
    done: Vec<String>,
    current: String,
    in_word: bool,
}

impl Words {
    pub(super) fn push(&mut self, c: char) {
        if !c.is_whitespace() {
            self.push_raw(c);
        } else if self.in_word && !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
            self.in_word = false;
        }
    }

    pub(super) fn push_raw(&mut self, c: char) {
        self.current.push(c);
        self.in_word = true;
    }

    pub(super) fn extend(&mut self, text: &str) {
        text.chars().for_each(|c| self.push(c));
    }

    pub(super) fn extend_raw(&mut self, text: &str) {
        self.current.push_str(text);
        self.in_word = true;
    }

    /// The reference keeps one buffer for all levels of nesting and clears it at each, so that
    /// `a${b:-c}` gives the word `c`. Exposed ports and heredoc names were split so for years.
    pub(super) fn forget(&mut self) {
        self.current.clear();
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}
