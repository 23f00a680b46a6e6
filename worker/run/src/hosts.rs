//! A step's `/etc/hosts`, in the form BuildKit gives it.

use std::fmt::Write;

use crate::HostIp;

/// The host name of a step that has not asked for one.
pub const DEFAULT_HOSTNAME: &str = "buildkitsandbox";

/// The whole file: the loopback names, then what the build added, in its order.
pub(crate) fn hosts_file(hostname: &str, extra: &[HostIp]) -> String {
    let mut text = format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for HostIp { host, ip } in extra {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{ip}\t{host}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts_follow_the_loopback_names() {
        let extra = [HostIp { host: "db".into(), ip: "10.0.0.7".parse().unwrap() }];
        assert_eq!(
            hosts_file("box", &extra),
            "127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.7\tdb\n"
        );
    }
}
