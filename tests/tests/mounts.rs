//! `RUN --mount`: secrets, caches, files of other stages, memory.

use slipway_tests::{Daemon, Fake, Project};

#[test]
fn a_secret_is_seen_and_not_kept() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN --mount=type=secret,id=token,mode=0400 cat /run/secrets/token | wc -c > /length; stat -c %a /run/secrets/token > /mode\n\
         RUN --mount=type=secret,id=other,env=OTHER echo ${#OTHER} > /other\nRUN test ! -e /run/secrets/token\n\
         RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent\n",
    );
    let secret = Project::empty().file("token", "very-secret-word");
    let out = Project::empty();
    let build = daemon
        .build(&project)
        .env("OTHER_TOKEN", "another-secret-word")
        .args(["--secret", "id=other,env=OTHER_TOKEN"]);
    let build = build.arg("--secret").arg(format!("id=token,src={}", secret.join("token").display()));
    let outcome = build.to(out.path()).succeed();
    assert_eq!(out.read("length").trim(), "16");
    assert_eq!(out.read("mode").trim(), "400");
    assert_eq!(out.read("other").trim(), "19");
    for word in ["very-secret-word", "another-secret-word"] {
        assert!(!outcome.stderr.contains(word) && !daemon.log().contains(word));
        let found = std::process::Command::new("grep")
            .args(["-rl", word])
            .arg(daemon.root())
            .arg(out.path())
            .output();
        assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "", "{word} is on disk");
    }
    daemon.assert_idle();
}

#[test]
fn another_secret_runs_nothing_again() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project =
        Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN --mount=type=secret,id=s cat /run/secrets/s\n");
    let build =
        |value| daemon.build(&project).env("S", value).args(["--secret", "id=s,env=S"]).succeed().progress();
    assert_eq!(build("one").ran().len(), 1);
    assert_eq!(build("two").ran().len(), 0);
}

#[test]
fn a_required_secret_that_is_not_given_fails() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN --mount=type=secret,id=token,required=true cat /run/secrets/token\n",
    );
    daemon.build(&project).run().failed(1, &["token", "Dockerfile:2"]);
    daemon.assert_usable();
}

#[test]
fn a_cache_is_kept_between_builds_and_restarts() {
    let fake = Fake::with_busybox();
    let mut daemon = Daemon::start();
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nARG TURN\nRUN --mount=type=cache,target=/cache,id=c echo $TURN >> /cache/turns && cp /cache/turns /turns\nRUN test ! -e /cache/turns\n",
    );
    let out = Project::empty();
    let build = |daemon: &Daemon, turn: &str| {
        daemon.build(&project).args(["--build-arg", &format!("TURN={turn}")]).to(out.path()).succeed();
        out.read("turns")
    };
    assert_eq!(build(&daemon, "1"), "1\n");
    assert_eq!(build(&daemon, "2"), "1\n2\n");
    daemon.stop();
    daemon.start_again();
    assert_eq!(build(&daemon, "3"), "1\n2\n3\n");
    daemon.assert_idle();
}

#[test]
fn a_locked_cache_is_used_by_one_at_a_time() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let step = |name: &str| {
        format!(
            "FROM BUSYBOX AS {name}\nRUN --mount=type=cache,target=/c,id=l,sharing=locked mkdir /c/lock && sleep 0.3 && rmdir /c/lock && touch /{name}\n"
        )
    };
    let text = format!(
        "{}{}{}FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\nCOPY --from=c /c /\n",
        step("a"),
        step("b"),
        step("c").replace("&& touch /c", "&& touch /d")
    );
    let text = text.replace("--from=c /c", "--from=c /d");
    let project = Project::new(&fake.busybox(), &text);
    let out = Project::empty();
    daemon.build(&project).to(out.path()).succeed();
    assert!(["a", "b", "d"].iter().all(|name| out.join(name).exists()));
}

#[test]
fn a_private_cache_is_nobody_elses() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let step = |name: &str| {
        format!(
            "FROM BUSYBOX AS {name}\nRUN --mount=type=cache,target=/c,id=p,sharing=private test ! -e /c/in-use && touch /c/in-use && sleep 0.3 && rm /c/in-use && touch /{name}\n"
        )
    };
    let project = Project::new(
        &fake.busybox(),
        &format!("{}{}FROM scratch\nCOPY --from=x /x /\nCOPY --from=y /y /\n", step("x"), step("y")),
    );
    let out = Project::empty();
    daemon.build(&project).to(out.path()).succeed();
    assert!(out.join("x").exists() && out.join("y").exists());
}

#[test]
fn binds_show_the_context_and_other_stages() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX AS a\nRUN mkdir /d && echo of-a > /d/file\nFROM BUSYBOX AS b\n\
         RUN --mount=type=bind,target=/src --mount=type=bind,from=a,source=/d,target=/d cat /src/hello.txt /d/file > /out && ! touch /src/new\n\
         RUN --mount=type=bind,target=/src,rw echo written > /src/new && cat /src/new >> /out\n\
         RUN --mount=type=bind,target=/src test ! -e /src/new\nFROM scratch\nCOPY --from=b /out /\n",
    );
    let project = project.file("hello.txt", "hello\n");
    let out = Project::empty();
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!(out.read("out"), "hello\nof-a\nwritten\n");
    assert!(!project.join("new").exists());
    daemon.assert_idle();
}

#[test]
fn memory_is_empty_and_bounded() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN --mount=type=tmpfs,target=/m,size=1m touch /m/a && ! dd if=/dev/zero of=/m/b bs=1M count=2\nRUN test ! -e /m/a\n",
    );
    daemon.build(&project).succeed();
    daemon.assert_idle();
}

#[test]
fn an_agent_of_the_client_is_a_socket_of_the_step() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let step = "test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK $(stat -c %a:%u:%g $SSH_AUTH_SOCK)";
    let project = Project::new(
        &fake.busybox(),
        &format!(
            "FROM BUSYBOX\nRUN --mount=type=ssh {step} > /default\n\
             RUN --mount=type=ssh,id=other,uid=7,gid=8,mode=0640,target=/sock test $(stat -c %a:%u:%g /sock) = 640:7:8\n\
             RUN --mount=type=ssh,id=absent echo \"without $SSH_AUTH_SOCK\" > /absent\nRUN test ! -e /run/buildkit\n"
        ),
    );
    let out = Project::empty();
    let agent = out.join("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&agent).unwrap();
    let build = daemon.build(&project).env("SSH_AUTH_SOCK", &agent).args(["--ssh", "default"]);
    build.arg("--ssh").arg(format!("other={}", agent.display())).to(&out.join("made")).succeed();
    assert_eq!(out.read("made/default"), "/run/buildkit/ssh_agent.0 600:0:0\n");
    assert_eq!(std::fs::read_dir(daemon.root().join("passing")).unwrap().count(), 0);
    daemon.assert_idle();
}

#[test]
fn a_required_agent_that_is_not_forwarded_fails() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN --mount=type=ssh,required=true true\n");
    daemon.build(&project).run().failed(1, &["unset ssh forward key default", "Dockerfile:2"]);
    let key = project.join("Dockerfile");
    let build = daemon.build(&project).arg("--ssh").arg(format!("default={}", key.display()));
    build.run().failed(125, &["not the socket of an agent"]);
    daemon.assert_usable();
}
