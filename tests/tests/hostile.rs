//! Builds and images that mean harm, on each runtime. What they aim at is a canary: a tree beside the state directory
//! that must be, after each of them, what it was.
//!
//! Classes of attacks that other builders and runtimes have suffered, and where each is tried here:
//!
//! | class | tried in |
//! |---|---|
//! | privileges that a second way of starting a process forgets to ask for | `bridge.rs`, `build_options.rs`, `devices.rs`, [`entitlements_are_asked_for_on_every_way`] |
//! | cleaning up or making host paths through links | [`links_that_lead_out_of_the_image`], `worker/run/tests/laws/hostile.rs` |
//! | selectors that change while they are looked at | [`a_cache_whose_folder_turns_into_a_link`] |
//! | sources that lead elsewhere, or are after credentials | `git_sources.rs`, `web_files.rs`, `store/registry/tests` |
//! | messages with nothing in them, without end | `wire_requests.rs`, `bad_registry.rs` |
//! | descriptors and directories that leak into a step | [`working_directories_among_descriptors`], `worker/run/tests/laws/hostile.rs` |
//! | `/proc`, `/sys`, `/dev` of an image as links; masked paths | [`standard_places_that_are_links`], `worker/run/tests/laws/confinement.rs` |
//! | files of a container, run or loaded on the host | [`programs_of_an_image_are_run_inside_only`] |
//! | archives that write elsewhere | `store/src/layer/apply/tests.rs`, [`archives_that_lead_out`] |
//! | capabilities, groups, user names, secrets | `worker/run/tests/laws/{confinement,users}.rs`, `mounts.rs`, [`secrets_are_found_nowhere`] |
//! | caches that answer for something else | `why_mutations.rs`, `worker/src/ops/cache_key` |
//! | sockets and directories that others may open | `permissions.rs`, `names.rs` |
//! | labels of an image that mean something to the host | [`labels_of_an_image_mean_nothing`] |
//! | networks that are reached though they should not be | `networks.rs`, `worker/run/tests/laws/networks.rs` |

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use slipway_tests::{Daemon, DaemonOptions, Fake, Project, command};

/// A tree that no build may change, and what it was.
struct Canary {
    folder: Project,
    before: BTreeMap<PathBuf, String>,
}

impl Canary {
    fn new() -> Self {
        let folder =
            Project::empty().file("secret", "of the host").file("empty", "").file("folder/deep", "x");
        let before = state(folder.path());
        Self { folder, before }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(state(self.path()), self.before);
    }
}

/// All that can be told of each file but when it was read.
fn state(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let meta = path.symlink_metadata().expect("a file");
        if meta.is_dir() {
            open.extend(
                std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("a file").path()),
            );
        }
        let content = if meta.is_file() { std::fs::read(&path).expect("a file") } else { Vec::new() };
        let attributes = (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec(), meta.ino());
        found.insert(path, format!("{attributes:?} {content:?}"));
    }
    found
}

fn with_each_runtime(test: impl Fn(&Daemon, &Fake, &Canary)) {
    for runtime in command::runtimes() {
        let daemon = Daemon::start_with(DaemonOptions::arguments(&["--oci-worker-binary", runtime]));
        let (fake, canary) = (Fake::with_busybox(), Canary::new());
        test(&daemon, &fake, &canary);
        canary.assert_untouched();
        daemon.assert_usable();
        daemon.assert_idle();
    }
}

fn project(fake: &Fake, canary: &Canary, text: &str) -> Project {
    Project::new(&fake.busybox(), &text.replace("CANARY", &canary.path().display().to_string()))
}

#[test]
fn links_that_lead_out_of_the_image() {
    with_each_runtime(|daemon, fake, canary| {
        let text = "FROM BUSYBOX AS base\n\
            RUN ln -s CANARY /absolute && ln -s ../../../../../../../..CANARY /up && mkdir /d && ln -s CANARY/folder /d/link\n\
            FROM base\nWORKDIR /absolute/made\nWORKDIR /up/made\n\
            COPY Dockerfile /absolute/\nCOPY Dockerfile /d/link/x\nADD Dockerfile /up/folder/\n\
            RUN --mount=type=bind,from=base,source=/bin,target=/absolute/mounted true\n\
            RUN --mount=type=cache,target=/up/cached touch /up/cached/x\n\
            RUN --mount=type=tmpfs,target=/d/link/memory true\n\
            RUN --mount=type=secret,id=s,target=/absolute/secret cat /absolute/secret > /seen\n\
            RUN rm -rf /absolute/* /up/*; touch /absolute/x; true\n";
        let secret = Project::empty().file("s", "told");
        let out = Project::empty();
        let build = daemon.build(&project(fake, canary, text)).arg("--secret");
        build.arg(format!("id=s,src={}", secret.join("s").display())).to(out.path()).run();
        canary.assert_untouched();

        let read = project(
            fake,
            canary,
            "FROM BUSYBOX AS base\nRUN ln -s CANARY /link\nFROM scratch\nCOPY --from=base /link/secret /\n",
        );
        let outcome = daemon.build(&read).to(out.path()).run();
        assert!(!outcome.status.success() && !out.join("secret").exists(), "{}", outcome.told());
    });
}

#[test]
fn standard_places_that_are_links() {
    with_each_runtime(|daemon, fake, canary| {
        for place in ["/proc", "/dev", "/sys", "/etc", "/dev/shm", "/etc/hosts", "/etc/resolv.conf"] {
            let text = format!(
                "FROM BUSYBOX AS base\nFROM scratch\nCOPY --from=base /bin /bin\nCOPY link{place} {place}\n\
                 RUN touch {place}/made; echo x > {place}/secret; echo x > {place}; true\n"
            );
            let project = project(fake, canary, &text);
            let link = project.join(&format!("link{place}"));
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(canary.path(), &link).unwrap();
            // It may work inside, or be refused; outside nothing happens.
            daemon.build(&project).run();
            canary.assert_untouched();
        }
    });
}

#[test]
fn working_directories_among_descriptors() {
    with_each_runtime(|daemon, fake, canary| {
        for number in [3, 5, 7, 8, 9, 11] {
            let text = format!(
                "FROM BUSYBOX\nWORKDIR /proc/self/fd/{number}\nRUN ls ../../../../../../..CANARY/secret && echo escaped\n"
            );
            let outcome = daemon.build(&project(fake, canary, &text)).run();
            assert!(!outcome.status.success() && !outcome.stderr.contains("\nescaped"), "{}", outcome.told());
        }
    });
}

#[test]
fn a_cache_whose_folder_turns_into_a_link() {
    with_each_runtime(|daemon, fake, canary| {
        // One step flips a name in a shared cache, the other mounts what is behind the name.
        let flips = project(
            fake,
            canary,
            "FROM BUSYBOX\nRUN --mount=type=cache,id=race,target=/c mkdir -p /c/real && ln -sfn CANARY /c/link && \
             i=0; while [ $i -lt 400 ]; do mv /c/real /c/swap 2>/dev/null; mv /c/link /c/real 2>/dev/null; \
             mv /c/real /c/link 2>/dev/null; mv /c/swap /c/real 2>/dev/null; i=$((i+1)); done\n",
        );
        let mounts = |turn: usize| {
            let text = format!(
                "FROM BUSYBOX\nRUN --mount=type=cache,id=race,target=/c mkdir -p /c/real\n\
                 RUN --mount=type=cache,id=race,target=/m,source=real echo {turn} > /m/written; ls /m; cat /m/secret; true\n"
            );
            project(fake, canary, &text)
        };
        std::thread::scope(|scope| {
            let flipping = scope.spawn(|| daemon.build(&flips).run());
            for turn in 0..6 {
                let outcome = daemon.build(&mounts(turn)).run();
                assert!(!outcome.stderr.contains("of the host"), "{}", outcome.told());
                canary.assert_untouched();
            }
            flipping.join().unwrap();
        });
    });
}

#[test]
fn archives_that_lead_out() {
    with_each_runtime(|daemon, fake, canary| {
        let at = canary.path().display().to_string();
        let mut archive = tar::Builder::new(Vec::new());
        let mut entry = |kind: tar::EntryType, name: &str, link: &str, data: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            // Names that a builder would refuse to write.
            let old = header.as_old_mut();
            old.name[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
            old.linkname[..link.len().min(100)].copy_from_slice(&link.as_bytes()[..link.len().min(100)]);
            header.set_cksum();
            archive.append(&header, data).unwrap();
        };
        use tar::EntryType::{Link, Regular, Symlink};
        entry(Regular, &format!("{at}/absolute"), "", b"x");
        entry(Regular, &format!("../../../../../../../..{at}/up"), "", b"x");
        entry(Symlink, "through", &at, b"");
        entry(Regular, "through/made", "", b"x");
        entry(Regular, "through/secret", "", b"x");
        entry(Symlink, "folder", &format!("{at}/folder"), b"");
        entry(Regular, "folder/.wh.deep", "", b"");
        entry(Regular, "folder/.wh..wh..opq", "", b"");
        entry(Link, "linked", &format!("{at}/secret"), b"");
        let bytes = archive.into_inner().unwrap();
        let project = project(
            fake,
            canary,
            "FROM BUSYBOX\nADD evil.tar /\nADD evil.tar /below/\nRUN cat /linked; true\n",
        );
        std::fs::write(project.join("evil.tar"), bytes).unwrap();
        let outcome = daemon.build(&project).run();
        assert!(!outcome.stderr.contains("of the host"), "{}", outcome.told());
    });
}

#[test]
fn programs_of_an_image_are_run_inside_only() {
    with_each_runtime(|daemon, fake, canary| {
        // Whatever a host could be tempted to run or to load says so outside.
        let text = "FROM BUSYBOX\n\
            RUN mkdir -p /usr/bin /usr/lib /lib64 /etc && for name in git tar runc nft iptables newuidmap ld.so.preload; do \
            printf '#!/bin/sh\\ntouch CANARY/run\\n' > /usr/bin/$name; chmod 755 /usr/bin/$name; done && \
            echo /usr/bin/git > /etc/ld.so.preload && cp /usr/bin/git /lib64/libnss_files.so.2\n\
            ENV PATH=/usr/bin:/bin:/sbin LD_PRELOAD=/usr/bin/git\nUSER somebody:else\n";
        let out = Project::empty();
        daemon.build(&project(fake, canary, text)).to(out.path()).succeed();
        let run = format!("{text}RUN /bin/true\n");
        // There is no such user: the image's own files are asked, by reading them.
        daemon.build(&project(fake, canary, &run)).run().failed(1, &["somebody"]);
    });
}

#[test]
fn labels_of_an_image_mean_nothing() {
    with_each_runtime(|daemon, fake, canary| {
        let text = "FROM BUSYBOX\n\
            LABEL io.containers.hook=CANARY/run org.opencontainers.runtime.hooks='{\"prestart\":[{\"path\":\"/bin/sh\"}]}' \
            run.oci.hooks.stderr=CANARY/x module.wasm.image/variant=compat security.insecure=true\n\
            RUN test $(grep -c . /proc/self/status) -gt 1 && ! mount -t tmpfs none /mnt\n";
        daemon.build(&project(fake, canary, text)).succeed();
    });
}

#[test]
fn entitlements_are_asked_for_on_every_way() {
    with_each_runtime(|daemon, fake, canary| {
        for flag in ["--network=host", "--security=insecure"] {
            let text = format!("FROM BUSYBOX\nRUN {flag} true\n");
            let name = flag.replace("--", "").replace('=', ".");
            daemon.build(&project(fake, canary, &text)).run().failed(1, &[&name]);
            // Behind a stage that only another one wants, and in one that nothing wants.
            let behind =
                format!("FROM BUSYBOX AS a\nRUN {flag} touch /x\nFROM scratch\nCOPY --from=a /x /\n");
            daemon.build(&project(fake, canary, &behind)).run().failed(1, &[&name]);
        }
    });
}

#[test]
fn secrets_are_found_nowhere() {
    with_each_runtime(|daemon, fake, canary| {
        let text = "FROM BUSYBOX\nRUN --mount=type=secret,id=file --mount=type=secret,id=var,env=VAR \
            cat /run/secrets/file > /dev/null && test ${#VAR} -gt 5 && sleep 0.2\n\
            RUN --mount=type=secret,id=file false\n";
        let secret = Project::empty().file("file", "the-secret-of-the-file");
        let build = daemon.build(&project(fake, canary, text)).env("VAR", "the-secret-of-the-variable");
        let build = build.args(["--secret", "id=var,env=VAR", "--secret"]);
        let outcome = build.arg(format!("id=file,src={}", secret.join("file").display())).run();
        assert!(!outcome.stderr.contains("the-secret") && !daemon.log().contains("the-secret"));
        let found =
            std::process::Command::new("grep").args(["-rl", "the-secret"]).arg(daemon.root()).output();
        assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
    });
}
