//! What the user may not read or write.

use slipway_tests::{Daemon, Project, needs};

#[test]
fn a_file_of_the_context_may_not_be_read() {
    needs!("setpriv");
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::start();
    let project = Project::new("", "FROM scratch\nCOPY . /\n").file("private.key", "mine");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap()
    };
    mode(&project.join("private.key"), 0o600);
    mode(project.path(), 0o755);
    // The socket is the owner's; another user is let in for this test.
    mode(&daemon.socket(), 0o666);
    mode(daemon.socket().parent().unwrap(), 0o755);
    let slipway = project.join("slipway");
    std::fs::copy(slipway_tests::slipway(), &slipway).unwrap();
    let command = daemon.build(&project).into_command();
    let mut other = std::process::Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(slipway).args(command.get_args());
    let outcome =
        slipway_tests::Running::start(other, None).wait().failed(1, &["private.key", "ermission denied"]);
    assert_eq!(outcome.errors().len(), 1, "{}", outcome.told());
    daemon.assert_usable();
}

#[test]
fn a_folder_for_the_result_may_not_be_written() {
    let daemon = Daemon::start();
    let project = Project::new("", "FROM scratch\nCOPY Dockerfile /\n");
    project.write("file", "");
    daemon.build(&project).to(&project.join("file/folder")).run().failed(1, &["file/folder"]);
    daemon.assert_usable();
}
