//! `ADD http://…`: what is downloaded, what is asked again, and who is told secrets.

use std::io::Write as _;

use slipway_tests::web::{Answer, Asked, Web};
use slipway_tests::{Daemon, Project};

const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn hello(_: &Asked) -> Answer {
    Answer::of(200, "hello").header("Last-Modified", "Mon, 06 May 2024 07:08:09 GMT")
}

#[test]
fn a_file_has_the_servers_time_and_a_quiet_mode() {
    let (daemon, web, out) = (Daemon::start(), Web::start(hello), Project::empty());
    let project = Project::new(
        "",
        &format!(
            "FROM scratch\nADD {} /\nADD --chmod=755 --chown=7:8 {} /named\n",
            web.url("/a/b%20c?q=1"),
            web.url("/x")
        ),
    );
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!(out.read("b c"), "hello");
    assert_eq!(out.read("named"), "hello");
    let metadata = |name: &str| std::fs::metadata(out.join(name)).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!((metadata("b c").mode() & 0o7777, metadata("b c").mtime()), (0o600, 1_714_979_289));
    assert_eq!(metadata("named").mode() & 0o7777, 0o755);
    daemon.assert_idle();
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let mut daemon = Daemon::start();
    let web = Web::start(|asked| match asked.header("if-none-match") {
        Some("\"one\"") => Answer::of(304, ""),
        _ => {
            hello(asked).header("ETag", "\"one\"").header("Content-Disposition", "attachment; filename=\"f\"")
        }
    });
    let project = Project::new("", &format!("FROM scratch\nADD {} /d/\n", web.url("/x")));
    let out = Project::empty();
    daemon.build(&project).to(out.path()).succeed();
    // A new daemon knows it as well.
    daemon.stop();
    daemon.start_again();
    let again = daemon.build(&project).to(out.path()).succeed();
    assert_eq!(again.progress().cached().len(), 1, "{}", again.stderr);
    let asked = web.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].header("if-none-match"), Some("\"one\""));
    assert_eq!((asked[0].method.as_str(), asked[1].method.as_str()), ("GET", "HEAD"));
    assert_eq!(out.read("d/x"), "hello");
}

#[test]
fn without_a_tag_the_time_is_asked_for() {
    let daemon = Daemon::start();
    let web = Web::start(|asked| match asked.header("if-modified-since") {
        Some("Mon, 06 May 2024 07:08:09 GMT") => Answer::of(304, ""),
        _ => hello(asked),
    });
    let project = Project::new("", &format!("FROM scratch\nADD {} /\n", web.url("/x")));
    for _ in 0..2 {
        daemon.build(&project).succeed();
    }
    assert_eq!(web.asked().iter().filter(|asked| asked.header("if-modified-since").is_some()).count(), 1);
}

#[test]
fn a_change_is_seen() {
    let daemon = Daemon::start();
    let turn = std::sync::atomic::AtomicU32::new(0);
    let web = Web::start(move |asked| {
        let step = u32::from(asked.method == "GET");
        let turn = turn.fetch_add(step, std::sync::atomic::Ordering::SeqCst);
        Answer::of(200, format!("turn {turn}")).header("ETag", format!("\"{turn}\""))
    });
    let project = Project::new("", &format!("FROM scratch\nADD {} /\n", web.url("/x")));
    let out = Project::empty();
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!(out.read("x"), "turn 0");
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!(out.read("x"), "turn 1");
}

#[test]
fn what_the_server_compresses_is_unpacked() {
    let daemon = Daemon::start();
    let web = Web::start(|asked| {
        let mut body = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        body.write_all(b"hello").unwrap();
        let mut body = body.finish().unwrap();
        if asked.target == "/cut" {
            body.truncate(body.len() - 9);
        }
        assert_eq!(asked.header("accept-encoding"), Some("gzip"));
        Answer::of(200, body).header("Content-Encoding", "gzip")
    });
    let project = |path: &str| {
        Project::new("", &format!("FROM scratch\nADD --checksum={HELLO} {} /x\n", web.url(path)))
    };
    let out = Project::empty();
    daemon.build(&project("/whole")).to(out.path()).succeed();
    assert_eq!(out.read("x"), "hello");
    daemon.build(&project("/cut")).run().failed(1, &["/cut", "compresses the file"]);
    daemon.assert_usable();
}

#[test]
fn much_comes_out_of_little_and_a_compressed_file_stays_one() {
    let daemon = Daemon::start();
    let large = vec![7; 20 << 20];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&large).unwrap();
    let packed = packed.finish().unwrap();
    let served = packed.clone();
    let web = Web::start(move |asked| {
        let encoding = if asked.target == "/file.gz" { "x-gzip" } else { "gzip" };
        Answer::of(200, served.clone()).header("Content-Encoding", encoding)
    });
    let file = format!("FROM scratch\nADD {} /large\nADD {} /\n", web.url("/large"), web.url("/file.gz"));
    let out = Project::empty();
    daemon.build(&Project::new("", &file)).to(out.path()).succeed();
    assert!(std::fs::read(out.join("large")).unwrap() == large);
    assert!(std::fs::read(out.join("file.gz")).unwrap() == packed);
}

#[test]
fn a_demanded_checksum_is_checked_and_asked_for_once() {
    let (daemon, web) = (Daemon::start(), Web::start(hello));
    let project = |checksum: &str| {
        Project::new("", &format!("FROM scratch\nADD --checksum={checksum} {} /\n", web.url("/x")))
    };
    daemon.build(&project(HELLO)).succeed();
    daemon.build(&project(HELLO)).args(["--no-cache"]).succeed();
    assert_eq!(web.asked().len(), 1);
    let other = HELLO.replace("2cf2", "0000");
    daemon.build(&project(&other)).run().failed(1, &["digest mismatch", HELLO, &other]);
    daemon.assert_usable();
}

#[test]
fn refusals_are_told() {
    let daemon = Daemon::start();
    let web = Web::start(|asked| match asked.target.as_str() {
        "/missing" => Answer::of(404, "no"),
        "/secret" => Answer::of(401, "no"),
        "/round" => Answer::of(302, "").header("Location", "/round"),
        "/away" => Answer::of(302, "").header("Location", "file:///etc/passwd"),
        _ => Answer::of(500, "no"),
    });
    for (path, expected) in [
        ("/missing", "invalid response status 404"),
        ("/secret", "invalid response status 401"),
        ("/broken", "invalid response status 500"),
        ("/round", "stopped after 10 redirects"),
        ("/away", "a redirect away from HTTP"),
    ] {
        let project = Project::new("", &format!("FROM scratch\nADD {} /\n", web.url(path)));
        daemon.build(&project).run().failed(1, &[expected]);
    }
    daemon.assert_usable();
}

#[test]
fn a_secret_is_for_its_own_host_only() {
    let daemon = Daemon::start();
    let other = Web::start(hello);
    let elsewhere = other.url("/x");
    let web = Web::start(move |asked| match asked.target.as_str() {
        "/x" => Answer::of(302, "").header("Location", "/y"),
        _ => Answer::of(307, "").header("Location", &elsewhere),
    });
    let project = Project::new("", &format!("FROM scratch\nADD {} /\n", web.url("/x")));
    let build = daemon.build(&project).env("TOKEN", "very-secret-word\n");
    let outcome = build.args(["--secret", "id=HTTP_AUTH_TOKEN_127.0.0.1,env=TOKEN"]).succeed();
    let told: Vec<_> =
        web.asked().iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(told, vec![Some("Bearer very-secret-word".to_owned()); 2]);
    assert_eq!(other.asked().len(), 1);
    assert_eq!(other.asked()[0].header("authorization"), None);
    assert!(!outcome.stderr.contains("very-secret-word") && !daemon.log().contains("very-secret-word"));
    let found =
        std::process::Command::new("grep").args(["-rl", "very-secret-word"]).arg(daemon.root()).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
}

#[test]
fn an_archive_or_a_dockerfile_at_an_address_is_a_context() {
    let (daemon, out) = (Daemon::start(), Project::empty());
    let web = Web::start(|_| Answer::of(200, "FROM scratch\nCOPY <<EOF /made\nby the web\nEOF\n"));
    daemon.build(&out).context(web.url("/Dockerfile")).to(out.path()).succeed();
    assert_eq!(out.read("made"), "by the web\n");
}
