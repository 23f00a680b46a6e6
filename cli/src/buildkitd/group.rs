//! Groups by name, from `/etc/group`: a static binary cannot ask the name service.

use crate::error::Failure;

pub fn id(group: &str) -> Result<u32, Failure> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let table = std::fs::read_to_string("/etc/group")
        .map_err(|error| Failure::new(format!("--group {group}: cannot read /etc/group: {error}")))?;
    find(&table, group)
        .ok_or_else(|| Failure::usage(format!("--group {group}: /etc/group has no such group")))
}

fn find(table: &str, group: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == group).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name() {
        let table = "root:x:0:\ndocker:x:998:me,you\nbroken\n";
        assert_eq!(find(table, "docker"), Some(998));
        assert_eq!(find(table, "broken"), None);
        assert_eq!(id("12").unwrap(), 12);
    }
}
