//! Networks of processes' own. Each test has a network namespace for itself, which stands for the host's: threads that
//! are started in it, the runtime's included, are in it as well.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use slipway_run::{BridgeOptions, CniOptions, Network, Networks, ProcessSpec, Security};

use super::harness::{Case, on_ours_with};

const BRIDGE: &str = "law0";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Runs `test` where nothing of the machine's network is to be seen.
fn on_a_host_of_its_own(test: impl FnOnce() + Send) {
    if !rustix::process::geteuid().is_root() || Command::new("nft").arg("--version").output().is_err() {
        println!("skipped: needs root and nft (Debian's nftables)");
        return;
    }
    std::thread::scope(|scope| {
        let host = scope.spawn(|| {
            // SAFETY: concerns this thread alone, and those that it starts.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
            ip("link set lo up");
            test();
        });
        if let Err(panic) = host.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn bridge(pool: usize) -> impl Fn(&Path) -> Networks {
    let options = || BridgeOptions { name: BRIDGE.into(), subnet: "10.77.0.0/16".parse().unwrap() };
    move |_| Networks::bridge(options(), pool).unwrap()
}

fn private(case: &Case, script: &str) -> ProcessSpec {
    let mut spec = case.shell(script);
    spec.network = Network::Private;
    spec
}

/// Says "hello" once to whoever connects; answers with who that was.
fn greeter(address: Ipv4Addr) -> (u16, std::thread::JoinHandle<SocketAddr>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let greeting = std::thread::spawn(move || {
        let (mut client, peer) = listener.accept().unwrap();
        client.write_all(b"hello\n").unwrap();
        peer
    });
    (port, greeting)
}

#[test]
fn a_process_has_an_address_and_reaches_the_host_through_the_bridge() {
    on_a_host_of_its_own(|| {
        on_ours_with(&bridge(0), |case| {
            let spec = private(case, "ip -4 addr show eth0; ip route; cat /sys/class/net/lo/flags");
            let output = case.output(spec);
            assert!(output.contains("inet 10.77.0.2/16"), "{}: {output}", case.name);
            assert!(output.contains("default via 10.77.0.1 dev eth0"), "{}: {output}", case.name);
            assert!(output.ends_with("0x9\n"), "{}: {output}", case.name);

            let (port, greeting) = greeter(Ipv4Addr::UNSPECIFIED);
            assert_eq!(
                case.output(private(case, &format!("nc {GATEWAY} {port}"))),
                "hello\n",
                "{}",
                case.name
            );
            assert!(greeting.join().unwrap().ip().to_string().starts_with("10.77.0."), "{}", case.name);
            case.networks().close();
        });
    });
}

#[test]
fn loopback_of_the_host_is_out_of_reach() {
    on_a_host_of_its_own(|| {
        on_ours_with(&bridge(0), |case| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            for address in ["127.0.0.1", "10.77.0.1"] {
                let outcome = case.run(private(case, &format!("nc -w 1 {address} {port}")));
                assert_ne!(outcome.result.unwrap().code(), 0, "{}: {address}", case.name);
            }
            case.networks().close();
        });
    });
}

#[test]
fn what_leaves_the_host_comes_from_the_host() {
    on_a_host_of_its_own(|| {
        // A world beyond the host that knows no way back to the bridge.
        let world = Child::start(&["unshare", "-n", "sleep", "600"]);
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let pid = world.0.id().to_string();
        while std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|network| network == own) {
            std::thread::sleep(Duration::from_millis(10));
        }
        ip(&format!("link add uplink type veth peer name eth9 netns {pid}"));
        ip("addr add 192.0.2.1/24 dev uplink");
        ip("link set uplink up");
        let script = "ip link set lo up; ip addr add 192.0.2.2/24 dev eth9; ip link set eth9 up; \
                      while printf 'world\\n' | busybox nc -l -p 7777 >/dev/null; do :; done";
        let _server = Child::start(&["nsenter", "-t", &pid, "-n", "sh", "-c", script]);
        on_ours_with(&bridge(0), |case| {
            let script =
                "for try in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 192.0.2.2 7777 && break; sleep 0.3; done";
            assert_eq!(case.output(private(case, script)), "world\n", "{}", case.name);
            case.networks().close();
        });
    });
}

/// A program that ends with the test.
struct Child(std::process::Child);

impl Child {
    fn start(words: &[&str]) -> Self {
        use std::os::unix::process::CommandExt as _;
        Self(Command::new(words[0]).args(&words[1..]).process_group(0).spawn().unwrap())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

#[test]
fn processes_on_the_bridge_have_addresses_of_their_own() {
    on_a_host_of_its_own(|| {
        on_ours_with(&bridge(0), |case| {
            std::thread::scope(|scope| {
                let address = "ip -4 addr show eth0 | grep -o 'inet [0-9.]*'; sleep 1";
                let ran: Vec<_> = (0..4)
                    .map(|number| {
                        let mut spec = private(case, address);
                        spec.root = case.tree_of_its_own(&number.to_string());
                        spec
                    })
                    .map(|spec| scope.spawn(|| case.output(spec)))
                    .collect();
                let mut addresses: Vec<_> = ran.into_iter().map(|one| one.join().unwrap()).collect();
                addresses.sort();
                addresses.dedup();
                assert_eq!(addresses.len(), 4, "{}: {addresses:?}", case.name);
            });
            case.networks().close();
        });
    });
}

#[test]
fn nothing_is_left_of_a_bridge() {
    on_a_host_of_its_own(|| {
        on_ours_with(&bridge(2), |case| {
            let before = ip("-o link");
            assert!(!before.contains(BRIDGE), "{}: made before it is wanted", case.name);
            case.output(private(case, "true"));
            assert!(ip("-o link").contains(BRIDGE));
            case.networks().close();
            assert_eq!(ip("-o link"), before, "{}", case.name);
            let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
            assert!(!String::from_utf8_lossy(&tables.stdout).contains("slipway"), "{tables:?}");
        });
    });
}

#[test]
fn the_bridge_of_a_killed_daemon_is_removed_or_used() {
    on_a_host_of_its_own(|| {
        on_ours_with(&bridge(0), |case| {
            case.output(private(case, "true"));
            // Nobody closes: as after a kill. The next one finds it.
            assert!(ip("-o link").contains(BRIDGE));
            let next = bridge(0)(Path::new("/"));
            assert!(!ip("-o link").contains(BRIDGE), "{}", case.name);
            // The first one does not know, and makes it again.
            let output = case.output(private(case, "ip route"));
            assert!(output.contains("default via 10.77.0.1"), "{}: {output}", case.name);
            next.close();
            case.networks().close();
        });
    });
}

#[test]
fn a_bridge_that_was_there_stays() {
    on_a_host_of_its_own(|| {
        ip(&format!("link add {BRIDGE} type bridge"));
        on_ours_with(&bridge(0), |case| {
            assert!(
                case.output(private(case, "ip route")).contains("default via 10.77.0.1"),
                "{}",
                case.name
            );
            case.networks().close();
            assert!(ip("-o link").contains(BRIDGE), "{}", case.name);
        });
        ip(&format!("link del {BRIDGE}"));
        ip(&format!("link add {BRIDGE} type veth peer name other"));
        on_ours_with(&bridge(0), |case| {
            let error = case.error(private(case, "true"));
            assert!(error.contains("another link of that name"), "{}: {error}", case.name);
        });
    });
}

#[test]
fn a_namespace_is_used_again_unless_it_may_have_changed() {
    on_a_host_of_its_own(|| {
        on_ours_with(&bridge(1), |case| {
            let run = |security, script: &str| {
                let mut spec = private(case, script);
                spec.security = security;
                case.run(spec)
            };
            // Not even by root of the sandbox.
            let changed = run(Security::Sandbox, "ip link set lo mtu 1234");
            assert!(!changed.result.unwrap().success(), "{}", case.name);
            let address = |outcome: super::harness::Outcome| outcome.stdout;
            let which = "ip -4 addr show eth0 | grep -o 'inet [0-9.]*'; cat /sys/class/net/lo/mtu";
            let first = address(run(Security::Sandbox, which));
            assert_eq!(address(run(Security::Sandbox, which)), first, "{}", case.name);
            let changed = run(Security::Insecure, "ip link set lo mtu 1234");
            assert!(changed.result.unwrap().success(), "{}", case.name);
            let after = address(run(Security::Sandbox, which));
            assert!(!after.contains("1234") && after != first, "{}: {after}", case.name);
            case.networks().close();
        });
    });
}

#[test]
fn a_subnet_that_is_full_is_told() {
    on_a_host_of_its_own(|| {
        let tiny = |_: &Path| {
            let subnet = "10.78.0.0/30".parse().unwrap();
            Networks::bridge(BridgeOptions { name: BRIDGE.into(), subnet }, 0).unwrap()
        };
        on_ours_with(&tiny, |case| {
            std::thread::scope(|scope| {
                let long = scope.spawn(|| case.output(private(case, "sleep 2")));
                std::thread::sleep(Duration::from_millis(700));
                let error = case.error(private(case, "true"));
                assert!(error.contains("10.78.0.0/30 are in use"), "{}: {error}", case.name);
                long.join().unwrap();
            });
            case.output(private(case, "true"));
            case.networks().close();
        });
    });
}

const PLUGINS: &str = "/usr/lib/cni";

fn cni(state: &Path) -> Networks {
    let directory = state.parent().unwrap();
    let config = directory.join("test.conflist");
    let data = directory.join("addresses");
    let text = format!(
        r#"{{"cniVersion": "0.4.0", "name": "law", "plugins": [{{
            "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
            "ipam": {{"type": "host-local", "dataDir": {data:?}, "ranges": [[{{"subnet": "10.79.0.0/24"}}]]}}
        }}]}}"#
    );
    std::fs::write(&config, text).unwrap();
    Networks::cni(CniOptions { config, binaries: PLUGINS.into(), state: state.to_owned() }, 0).unwrap()
}

fn claimed(case: &Case) -> usize {
    let files = std::fs::read_dir(case.path("addresses/law")).into_iter().flatten().flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with("10.79.")).count()
}

#[test]
fn plugins_make_a_network_and_take_it_away() {
    if !Path::new(PLUGINS).join("bridge").exists() {
        println!("skipped: needs Debian's containernetworking-plugins");
        return;
    }
    on_a_host_of_its_own(|| {
        on_ours_with(&cni, |case| {
            let mut spec = private(case, "ip -4 addr show eth0; cat /sys/class/net/lo/flags");
            spec.hostname = "named".into();
            let output = case.output(spec);
            assert!(output.contains("inet 10.79.0.") && output.ends_with("0x9\n"), "{}: {output}", case.name);
            assert_eq!(claimed(case), 0, "{}", case.name);
            let (port, greeting) = greeter(Ipv4Addr::UNSPECIFIED);
            assert_eq!(
                case.output(private(case, &format!("nc 10.79.0.1 {port}"))),
                "hello\n",
                "{}",
                case.name
            );
            greeting.join().unwrap();
            assert_eq!(std::fs::read_dir(case.path("net")).unwrap().count(), 0, "{}", case.name);
        });
    });
}

#[test]
fn what_plugins_made_for_a_killed_daemon_is_taken_away_by_the_next() {
    if !Path::new(PLUGINS).join("bridge").exists() {
        println!("skipped: needs Debian's containernetworking-plugins");
        return;
    }
    on_a_host_of_its_own(|| {
        on_ours_with(&cni, |case| {
            // The state of a moment at which a daemon could be killed: while a process has a network.
            let saved = case.path("saved");
            std::thread::scope(|scope| {
                let long = scope.spawn(|| case.output(private(case, "sleep 2")));
                while claimed(case) == 0 {
                    std::thread::sleep(Duration::from_millis(20));
                }
                std::thread::sleep(Duration::from_millis(500));
                copy(&case.path("net"), &saved);
                copy(&case.path("addresses/law"), &case.path("claims"));
                long.join().unwrap();
            });
            assert_eq!(claimed(case), 0, "{}", case.name);
            copy(&case.path("claims"), &case.path("addresses/law"));
            assert_eq!(claimed(case), 1, "{}", case.name);
            Networks::remove_leftovers(saved.clone());
            while std::fs::read_dir(&saved).unwrap().count() > 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(claimed(case), 0, "{}", case.name);
        });
    });
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_plugin_that_fails_is_named() {
    on_a_host_of_its_own(|| {
        let failing = |state: &Path| {
            let directory = state.parent().unwrap();
            let plugin = directory.join("sorry");
            std::fs::write(&plugin, "#!/bin/sh\necho '{\"code\": 9, \"msg\": \"out of cables\"}'; exit 1\n")
                .unwrap();
            rustix::fs::chmod(&plugin, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
            let config = directory.join("sorry.conf");
            std::fs::write(&config, r#"{"cniVersion": "1.0.0", "name": "n", "type": "sorry"}"#).unwrap();
            let options = CniOptions { config, binaries: directory.to_owned(), state: state.to_owned() };
            Networks::cni(options, 0).unwrap()
        };
        on_ours_with(&failing, |case| {
            let error = case.error(private(case, "true"));
            assert!(error.contains("sorry failed: out of cables"), "{}: {error}", case.name);
            assert_eq!(std::fs::read_dir(case.path("net")).unwrap().count(), 0, "{}", case.name);
        });
    });
}
