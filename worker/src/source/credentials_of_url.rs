//! User names and passwords inside addresses: never shown, logged or kept.

/// `address` with its user name and password crossed out; as it is if it holds none. Also for addresses that are
/// no URLs: what stands before the last `@` of the host is hidden if it follows `://`.
pub fn hidden(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        None => address.to_owned(),
        Some((user, host)) if user.contains(':') => format!("{scheme}://xxxxx:xxxxx@{host}{path}"),
        Some((_, host)) => format!("{scheme}://xxxxx@{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::hidden;

    #[test]
    fn names_and_passwords_are_crossed_out() {
        for (address, expected) in [
            ("https://host/p@th", "https://host/p@th"),
            ("https://user:pa@ss@host:1/x", "https://xxxxx:xxxxx@host:1/x"),
            ("https://token@host", "https://xxxxx@host"),
            ("git@host:repo", "git@host:repo"),
        ] {
            assert_eq!(hidden(address), expected);
        }
    }
}
