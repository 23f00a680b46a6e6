//! Registries that are not there, refuse, or lie.

use slipway_fakes::{Auth, Fault, FaultKind, Options};
use slipway_model::Platform;
use slipway_tests::{Daemon, DaemonOptions, Fake, Project, Registry, needs};

#[test]
fn nobody_listens() {
    let daemon = Daemon::start();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let image = format!("127.0.0.1:{port}/busybox:latest");
    let project = Project::new(&image, "FROM BUSYBOX\nRUN true\n");
    let outcome = daemon.build(&project).run().failed(1, &[&image, "Dockerfile:1"]);
    assert_eq!(outcome.errors().len(), 1, "{}", outcome.told());
    let project = Project::new("", "FROM scratch\nCOPY Dockerfile /\n");
    let target = format!("127.0.0.1:{port}/app:1");
    daemon.build(&project).arg("--push").tag(&target).run().failed(1, &[&target]);
    daemon.assert_usable();
}

#[test]
fn a_system_without_authorities_can_speak_tls_all_the_same() {
    let wrapper = ["env", "SSL_CERT_FILE=/nowhere", "SSL_CERT_DIR=/nowhere"].map(str::to_owned).to_vec();
    let daemon = Daemon::start_with(DaemonOptions { wrapper, ..DaemonOptions::default() });
    let image = "registry.invalid/busybox:latest";
    let outcome =
        daemon.build(&Project::new(image, "FROM BUSYBOX\n")).run().failed(1, &[image, "Dockerfile:1"]);
    assert!(!outcome.stderr.contains("certificates"), "{}", outcome.told());
}

#[test]
fn an_image_that_is_not_there() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    for image in ["busybox:no-such-tag", "nobody:latest"] {
        let project = Project::new(&fake.image(image), "FROM BUSYBOX\n");
        daemon.build(&project).run().failed(1, &[&fake.image(image), "not found", "Dockerfile:1"]);
    }
    daemon.assert_usable();
}

#[test]
fn it_refuses_to_give() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    for (status, word) in [(401, "401"), (403, "403")] {
        fake.fail(Fault::status("HEAD", "/manifests/", 9, status));
        fake.fail(Fault::status("GET", "/manifests/", 9, status));
        let project = Project::new(&fake.busybox(), &format!("FROM BUSYBOX\n# {status}\n"));
        let outcome = daemon.build(&project).run().failed(1, &[&fake.busybox(), "Dockerfile:1"]);
        let denied = ["denied", "unauthorized", "authentication", word];
        assert!(denied.iter().any(|denied| outcome.stderr.contains(denied)), "{}", outcome.told());
        assert_eq!(outcome.errors().len(), 1, "{}", outcome.told());
    }
    daemon.assert_usable();
}

#[test]
fn it_refuses_to_take() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    fake.fail(Fault::status("POST", "/blobs/uploads/", 99, 403));
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo x > /x\n");
    let image = fake.image("app:1");
    daemon.build(&project).arg("--push").tag(&image).run().failed(1, &[&image, "403"]);
    assert!(fake.manifest("app", "1").is_none());
    daemon.assert_usable();
}

#[test]
fn it_stumbles_and_is_asked_again() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    fake.fail(Fault::status("GET", "/blobs/", 1, 503));
    fake.fail(Fault::new("GET", "/blobs/", 1, FaultKind::DropAfter(5000)));
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo x > /x\n");
    daemon.build(&project).succeed();
}

#[test]
fn wrong_bytes_are_not_taken() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    fake.fail(Fault::new("GET", "/blobs/", 99, FaultKind::Corrupt));
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN true\n");
    daemon.build(&project).run().failed(1, &["sha256:", "Dockerfile:"]);
    daemon.assert_usable();
}

/// A mirror that gives other bytes costs a second try, not the build.
#[test]
fn a_mirror_that_lies_is_passed_over() {
    let (origin, mirror) = (Fake::with_busybox(), Fake::with_busybox());
    mirror.fail(Fault::new("GET", "/blobs/", 99, FaultKind::Corrupt));
    let config = Project::empty().file(
        "buildkitd.toml",
        format!("[registry.\"{}\"]\nmirrors = [\"{}\"]\n", origin.host(), mirror.host()),
    );
    let daemon = Daemon::start_with(DaemonOptions::arguments(&[
        "--config",
        &config.join("buildkitd.toml").display().to_string(),
    ]));
    let project = Project::new(&origin.busybox(), "FROM BUSYBOX\nRUN true\n");
    daemon.build(&project).succeed();
    assert!(mirror.count("GET", "/blobs/") > 0 && origin.count("GET", "/blobs/") > 0);
}

/// Whatever happens on the way, a tag is there with all of its image, or it is not there.
#[test]
fn a_push_that_fails_leaves_no_tag() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo x > /x\n");
    let image = fake.image("app:1");
    for (method, path, kind) in [
        ("PUT", "/blobs/uploads/", FaultKind::Status { status: 507, retry_after: Some(3600) }),
        ("PUT", "/blobs/uploads/", FaultKind::Status { status: 400, retry_after: None }),
        ("POST", "/blobs/uploads/", FaultKind::Status { status: 429, retry_after: Some(3600) }),
        ("PUT", "/manifests/", FaultKind::Status { status: 403, retry_after: None }),
    ] {
        fake.fail(Fault::new(method, path, 99, kind.clone()));
        let outcome = daemon.build(&project).arg("--push").tag(&image).run().failed(1, &[&image]);
        assert_eq!(outcome.errors().len(), 1, "{kind:?}: {}", outcome.told());
        assert!(fake.manifest("app", "1").is_none(), "{kind:?}");
        fake.clear_faults();
    }
    daemon.build(&project).arg("--push").tag(&image).succeed();
    assert!(fake.manifest("app", "1").is_some());
}

#[test]
fn a_layer_that_is_no_archive() {
    let (daemon, fake) = (Daemon::start(), Fake::start(Options::default()));
    let image = fake.put_image("bad", "latest", &Platform::host(), &[&[("file", b"content")]]).unwrap();
    let (kind, manifest) = fake.manifest("bad", "latest").unwrap();
    let rubbish = fake.put_blob("bad", vec![7; 4096]);
    let size = fake.blob("bad", &image.layers[0]).unwrap().len();
    let manifest =
        String::from_utf8_lossy(&manifest).replace(&image.layers[0].to_string(), &rubbish.to_string());
    let manifest = manifest.replace(&format!("\"size\":{size}"), "\"size\":4096");
    fake.put_manifest("bad", "latest", &kind, manifest.into_bytes());
    let project = Project::new(&fake.image("bad:latest"), "FROM BUSYBOX\nCOPY Dockerfile /\n");
    let out = Project::empty();
    daemon.build(&project).to(out.path()).run().failed(1, &[&rubbish.to_string()]);
    daemon.assert_usable();
}

#[test]
fn an_image_for_other_machines() {
    let (daemon, fake) = (Daemon::start(), Fake::start(Options::default()));
    let other: Platform = "linux/s390x".parse().unwrap();
    let image = fake.put_image("other", "one", &other, &[&[("file", b"content")]]).unwrap();
    fake.put_index("other", "latest", &[(other, &image)]).unwrap();
    let project = Project::new(&fake.image("other:latest"), "FROM BUSYBOX\nRUN true\n");
    let host = Platform::host().to_string();
    daemon
        .build(&project)
        .run()
        .failed(1, &[&fake.image("other:latest"), &host, "linux/s390x", "Dockerfile:1"]);
    daemon.assert_usable();
}

#[test]
fn only_for_those_who_are_known() {
    needs!("docker-registry", "htpasswd");
    let folder = Project::empty();
    let registry = Registry::with_user(&folder.join("registry"), "anna", "right").unwrap();
    let daemon = Daemon::start();
    let project = Project::new("", "FROM scratch\nCOPY Dockerfile /\n");
    let image = registry.image("app:1");
    let push = |auth: Option<&str>| {
        // base64 of NAME:PASSWORD
        let auths =
            auth.map_or(String::new(), |auth| format!("\"{}\": {{\"auth\": \"{auth}\"}}", registry.address));
        folder.write("docker/config.json", format!("{{\"auths\": {{{auths}}}}}"));
        daemon.build(&project).env("DOCKER_CONFIG", folder.join("docker")).arg("--push").tag(&image).run()
    };
    push(None).failed(1, &[&image]);
    let wrong = push(Some("YW5uYTp3cm9uZw==")).failed(1, &[&image]);
    assert!(!wrong.stderr.contains("YW5uYTp3cm9uZw") && !daemon.log().contains("YW5uYTp3cm9uZw"));
    push(Some("YW5uYTpyaWdodA==")).succeeded();
    daemon.assert_usable();
}

#[test]
fn tokens_are_fetched_with_the_clients_credentials() {
    let fake = Fake::start(Options { auth: Auth::bearer("anna", "right"), ..Options::default() });
    fake.add_busybox();
    let daemon = Daemon::start();
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN true\n");
    daemon.build(&project).run().failed(1, &[&fake.busybox()]);
    project.write(
        "docker/config.json",
        format!("{{\"auths\": {{\"{}\": {{\"auth\": \"YW5uYTpyaWdodA==\"}}}}}}", fake.host()),
    );
    let build = daemon.build(&project).env("DOCKER_CONFIG", project.join("docker")).arg("--push");
    build.tag(&fake.image("app:1")).succeed();
    assert!(!daemon.log().contains("right"));
}
