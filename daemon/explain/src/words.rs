//! The part of a text that changed, in whole words.

/// What is left of both when the words they begin and end with are taken away; with one more word on each
/// side where one of them would be empty, so that an insertion has a place.
pub(crate) fn changed(old: &str, new: &str) -> (String, String) {
    let (old, new): (Vec<&str>, Vec<&str>) = (split(old), split(new));
    let shorter = old.len().min(new.len());
    let same = |one: &[&str], other: &[&str]| one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let front = same(&old, &new);
    let reversed = |words: &[&'_ str]| words.iter().rev().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (back_old, back_new) = (reversed(&old), reversed(&new));
    let back = back_old.iter().zip(&back_new).take_while(|(a, b)| a == b).count().min(shorter - front);
    let (front, back) = match old.len() == front + back || new.len() == front + back {
        true => (front.saturating_sub(1), back.saturating_sub(usize::from(front == 0))),
        false => (front, back),
    };
    let middle = |words: &[&str]| words.get(front..words.len() - back).unwrap_or_default().join(" ");
    (middle(&old), middle(&new))
}

/// Words by blanks; a text that differs in blanks only is one word.
fn split(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_left() {
        let of = |old: &str, new: &str| {
            let (old, new) = changed(old, new);
            format!("{old}|{new}")
        };
        assert_eq!(of("make -j2 all", "make -j4 all"), "-j2|-j4");
        assert_eq!(of("a b c", "a b c d"), "c|c d");
        assert_eq!(of("a b", "x a b"), "a|x a");
        assert_eq!(of("a b c", "a c"), "a b|a");
        assert_eq!(of("a a", "a a a"), "a|a a");
        assert_eq!(of("", "a"), "|a");
        assert_eq!(of("one", "two"), "one|two");
    }
}
