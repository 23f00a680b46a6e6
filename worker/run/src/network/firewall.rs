//! What the host's packet filter has to do for a bridge: pretend that what leaves it comes from the host, and let
//! nothing in that is no answer.
//!
//! With `nft` that is a table of our own, written and removed in one piece. Without, it is single rules of
//! `iptables`. A host whose `FORWARD` chain drops (as Docker sets it up) drops our packets whatever our table says:
//! there, rules of `iptables` are needed as well.

use std::io;
use std::process::Command;

use super::subnet::Subnet;
use crate::host_program;

#[derive(Debug)]
pub(super) struct Firewall {
    pub(super) bridge: String,
    pub(super) subnet: Subnet,
}

/// Table, chain, and the rule.
type Rule = (&'static str, &'static str, Vec<String>);

impl Firewall {
    /// Having been set up already is fine.
    pub(super) fn set_up(&self) -> io::Result<()> {
        match (host_program::exists("nft"), host_program::exists("iptables")) {
            (true, has_iptables) => {
                nft(&self.table())?;
                if has_iptables && forwards_nothing()? { self.insert(&self.passing()) } else { Ok(()) }
            }
            (false, true) => self.insert(&[vec![self.hiding()], self.passing()].concat()),
            (false, false) => Err(io::Error::other("neither nft nor iptables is installed")),
        }
    }

    /// What is not there needs no removal.
    pub(super) fn remove(&self) {
        if host_program::exists("nft") {
            let _ = nft(&format!("add table ip {0}\ndelete table ip {0}\n", self.table_name()));
        }
        if host_program::exists("iptables") {
            for (table, chain, rule) in [vec![self.hiding()], self.passing()].concat() {
                let _ = iptables(table, "-D", chain, &rule);
            }
        }
    }

    /// Replaces the table, if there is one, in one transaction.
    fn table(&self) -> String {
        let Self { bridge, subnet } = self;
        let name = self.table_name();
        format!(
            r#"add table ip {name}
delete table ip {name}
table ip {name} {{
    chain postrouting {{
        type nat hook postrouting priority 100; policy accept;
        ip saddr {subnet} oifname != "{bridge}" masquerade
    }}
    chain forward {{
        type filter hook forward priority 0; policy accept;
        oifname "{bridge}" iifname != "{bridge}" ct state != {{ established, related }} drop
    }}
}}
"#
        )
    }

    /// Names of tables have fewer letters than names of links.
    fn table_name(&self) -> String {
        let letter = |byte: u8| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            other => format!("_{other:02x}"),
        };
        format!("slipway_{}", self.bridge.bytes().map(letter).collect::<String>())
    }

    fn hiding(&self) -> Rule {
        let subnet = self.subnet.to_string();
        ("nat", "POSTROUTING", rule(&["-s", &subnet, "!", "-o", &self.bridge, "-j", "MASQUERADE"]))
    }

    fn passing(&self) -> Vec<Rule> {
        let answers = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"];
        let into = [&["-o", &self.bridge], &answers[..], &["-j", "ACCEPT"]].concat();
        let out = rule(&["-i", &self.bridge, "-j", "ACCEPT"]);
        vec![("filter", "FORWARD", rule(&into)), ("filter", "FORWARD", out)]
    }

    fn insert(&self, rules: &[Rule]) -> io::Result<()> {
        for (table, chain, rule) in rules {
            if iptables(table, "-C", chain, rule).is_err() {
                iptables(table, "-I", chain, rule)?;
            }
        }
        Ok(())
    }
}

fn rule(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn forwards_nothing() -> io::Result<bool> {
    Ok(iptables("filter", "-S", "FORWARD", &[])?.lines().any(|line| line == "-P FORWARD DROP"))
}

fn iptables(table: &str, action: &str, chain: &str, rule: &[String]) -> io::Result<String> {
    let mut command = Command::new("iptables");
    said(command.args(["-w", "-t", table, action, chain]).args(rule), "")
}

fn nft(script: &str) -> io::Result<String> {
    said(Command::new("nft").args(["-f", "-"]), script)
}

fn said(command: &mut Command, input: &str) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let explain = |what: String| io::Error::other(format!("{name}: {what}"));
    let said = host_program::run(command, input.as_bytes()).map_err(|error| explain(error.to_string()))?;
    if said.succeeded() { Ok(said.stdout) } else { Err(explain(said.stderr.trim().to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_can_be_named_after_any_bridge() {
        let firewall = Firewall { bridge: "build-0.x".into(), subnet: "10.1.0.0/24".parse().unwrap() };
        assert_eq!(firewall.table_name(), "slipway_build_2d0_2ex");
        assert!(firewall.table().contains("ip saddr 10.1.0.0/24 oifname != \"build-0.x\" masquerade"));
    }
}
