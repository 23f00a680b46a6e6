//! What instructions do to the steps after them and to the image, seen in the files that come out.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use slipway_tests::{Build, Daemon, Fake, Project};

/// Builds, and gives the result as files.
struct Made {
    out: Project,
}

fn make(dockerfile: &str, files: &[(&str, &str)], options: impl FnOnce(Build) -> Build) -> Made {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let mut project = Project::new(&fake.busybox(), dockerfile);
    for (path, content) in files {
        project = project.file(path, content);
    }
    let out = Project::empty();
    options(daemon.build(&project)).to(out.path()).succeed();
    daemon.assert_idle();
    Made { out }
}

impl Made {
    #[track_caller]
    fn holds(&self, path: &str, content: &str) {
        assert_eq!(self.out.read(path), content, "{path}");
    }

    fn path(&self, path: &str) -> PathBuf {
        self.out.join(path)
    }
}

#[test]
fn arguments_and_environment() {
    let made = make(
        "ARG GLOBAL=one\nFROM BUSYBOX AS a\nARG GLOBAL\nARG LOCAL=two\nENV THREE=${GLOBAL}-${LOCAL}\nENV FOUR=${MISSING:-four}\n\
         RUN echo $GLOBAL $LOCAL $THREE $FOUR ${HTTP_PROXY:-none} > /out\nFROM scratch\nCOPY --from=a /out /\n",
        &[],
        |build| build.args(["--build-arg", "LOCAL=2"]),
    );
    made.holds("out", "one 2 one-2 four none\n");
}

#[test]
fn heredocs_as_scripts_and_files() {
    let made = make(
        "FROM BUSYBOX AS a\nARG NAME=slip\nRUN <<EOF\nset -e\ncd /tmp\necho $NAME > /one\nEOF\n\
         COPY <<EOF <<'RAW' /files/\nexpanded ${NAME}\nEOF\nliteral ${NAME}\nRAW\n\
         RUN <<EOF sh > /two\necho from sh\nEOF\nFROM scratch\nCOPY --from=a /one /two /files/ /\n",
        &[],
        |build| build,
    );
    made.holds("one", "slip\n");
    made.holds("two", "from sh\n");
    made.holds("EOF", "expanded slip\n");
    made.holds("RAW", "literal ${NAME}\n");
}

#[test]
fn user_and_working_directory() {
    let made = make(
        "FROM BUSYBOX AS a\nWORKDIR /w\nWORKDIR deep\nUSER nobody\nRUN id -u > /tmp/id; pwd > /tmp/pwd; echo $HOME > /tmp/home\n\
         USER 123:456\nRUN id -u >> /tmp/numbers; id -g >> /tmp/numbers\nFROM scratch\nCOPY --from=a /tmp/ /\n",
        &[],
        |build| build,
    );
    made.holds("id", "65534\n");
    made.holds("pwd", "/w/deep\n");
    made.holds("home", "/\n");
    made.holds("numbers", "123\n456\n");
}

#[test]
fn copy_takes_modes_links_and_wildcards() {
    let made = make(
        "FROM BUSYBOX AS a\nRUN mkdir /s && echo x > /s/file && ln /s/file /s/hard && ln -s file /s/soft && chmod 4755 /s/file && mkfifo /s/pipe\n\
         FROM scratch\nCOPY --from=a /s/ /s/\nCOPY --chmod=600 *.txt /texts/\nCOPY --parents a/b/c.md /tree/\nADD plain.tar /kept/\n",
        &[
            ("one.txt", "1"),
            ("two.txt", "2"),
            ("other.md", "3"),
            ("a/b/c.md", "c"),
            ("plain.tar", "no tar at all"),
        ],
        |build| build,
    );
    made.holds("s/soft", "x\n");
    assert_eq!(std::fs::read_link(made.path("s/soft")).unwrap(), PathBuf::from("file"));
    let (file, hard) = (made.path("s/file").metadata().unwrap(), made.path("s/hard").metadata().unwrap());
    assert_eq!(file.permissions().mode() & 0o7777, 0o4755);
    assert_eq!(file.ino(), hard.ino(), "hard links are kept");
    made.holds("texts/one.txt", "1");
    assert_eq!(made.path("texts/two.txt").metadata().unwrap().mode() & 0o777, 0o600);
    assert!(!made.path("texts/other.md").exists());
    made.holds("tree/a/b/c.md", "c");
    made.holds("kept/plain.tar", "no tar at all");
}

#[test]
fn add_unpacks_archives() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let inside = Project::empty().file("in/side.txt", "packed");
    let archive = std::process::Command::new("tar")
        .arg("-C")
        .arg(inside.path())
        .args(["-czf", "-", "."])
        .output()
        .unwrap();
    let project = Project::new(&fake.busybox(), "FROM scratch\nADD a.tar.gz /x/\nCOPY a.tar.gz /y/\n");
    project.write("a.tar.gz", archive.stdout);
    let out = Project::empty();
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!(out.read("x/in/side.txt"), "packed");
    assert!(out.join("y/a.tar.gz").is_file());
}

#[test]
fn shell_and_onbuild() {
    let made = make(
        "FROM BUSYBOX AS base\nONBUILD RUN echo triggered > /trigger\nFROM base AS a\nSHELL [\"/bin/sh\", \"-xc\"]\nRUN echo $0 > /shell\n\
         RUN [\"/bin/sh\", \"-c\", \"echo exec form > /exec\"]\nFROM scratch\nCOPY --from=a /trigger /shell /exec /\n",
        &[],
        |build| build,
    );
    made.holds("trigger", "triggered\n");
    made.holds("exec", "exec form\n");
    assert!(made.path("shell").exists());
}

#[test]
fn a_removed_file_is_gone() {
    let made = make(
        "FROM BUSYBOX AS a\nRUN mkdir /d && touch /d/one /d/two\nRUN rm /d/one && rm -r /home && mkdir /home && touch /home/new\n\
         FROM a AS b\nRUN ls /d /home > /list\nFROM scratch\nCOPY --from=b /list /d/ /\n",
        &[],
        |build| build,
    );
    made.holds("list", "/d:\ntwo\n\n/home:\nnew\n");
    assert!(!made.path("one").exists() && made.path("two").exists());
}

/// Scripts look for these words.
#[test]
fn a_file_that_is_not_there_is_told_as_ever() {
    let daemon = Daemon::start();
    let project = Project::new("", "FROM scratch\nCOPY nothing /\n");
    let words = "failed to compute cache key: failed to calculate checksum of ref ";
    daemon.build(&project).run().failed(1, &[words, "\"/nothing\": not found"]);
}
