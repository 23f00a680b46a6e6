//! Devices of the Container Device Interface: as the worker tells of them, and in steps.

use slipway_proto::gateway as wire;
use slipway_proto::pb;
use slipway_tests::{Daemon, DaemonOptions, Fake, Project, command, guest, needs};

const SPECIFICATION: &str = "cdiVersion: '0.6.0'
kind: acme.com/log
devices:
- name: kernel
  containerEdits:
    env: [LOG=kernel]
    deviceNodes: [{path: /dev/acme, hostPath: /dev/kmsg, type: c, major: 1, minor: 11, permissions: rw}]
    mounts: [{hostPath: SHARED, containerPath: /usr/share/acme, options: [ro]}]
- name: free
  annotations: {org.mobyproject.buildkit.device.autoallow: true}
  containerEdits:
    env: [LOG=free]
";

fn with_each_runtime(test: impl Fn(&Daemon)) {
    let shared = Project::empty().file("file", "of the host");
    let folder = Project::empty()
        .file("acme.yaml", SPECIFICATION.replace("SHARED", &shared.path().display().to_string()))
        .file("broken.yaml", "kind: [");
    let keys = format!("[cdi]\nspecDirs = [{:?}]\n", folder.path());
    let config = Project::empty().file("buildkitd.toml", &keys);
    let path = config.join("buildkitd.toml").display().to_string();
    for runtime in command::runtimes() {
        let arguments = ["--config", &path, "--oci-worker-binary", runtime];
        test(&Daemon::start_with(DaemonOptions::arguments(&arguments)));
    }
}

#[test]
fn the_worker_lists_them() {
    with_each_runtime(|daemon| {
        let workers = workers(daemon);
        assert!(
            workers.contains("acme.com/log=kernel") && workers.contains("acme.com/log=free"),
            "{workers}"
        );
        assert!(daemon.log().contains("broken.yaml"));
    });
}

fn workers(daemon: &Daemon) -> String {
    let mut command = std::process::Command::new(slipway_tests::slipway());
    command.args(["buildctl", "--addr", &daemon.address(), "debug", "workers", "--verbose"]);
    let said = slipway_tests::Running::start(command, None).wait().succeeded().stdout;
    String::from_utf8_lossy(&said).into_owned()
}

/// What a step that asks for `device` has in `LOG`, in a build that is granted `entitlements`.
fn log_of_a_step(
    daemon: &Daemon,
    fake: &Fake,
    device: &str,
    entitlements: &[&str],
) -> Result<String, anyhow::Error> {
    let source =
        pb::SourceOp { identifier: format!("docker-image://{}", fake.busybox()), ..Default::default() };
    let exec = pb::ExecOp {
        meta: Some(pb::Meta {
            args: ["sh", "-c", "echo $LOG > /log"].map(String::from).to_vec(),
            cwd: "/".into(),
            ..Default::default()
        }),
        mounts: vec![pb::Mount { dest: "/".into(), ..Default::default() }],
        cdi_devices: vec![pb::CdiDevice { name: device.into(), ..Default::default() }],
        ..Default::default()
    };
    let chain = [pb::op::Op::Source(source), pb::op::Op::Exec(exec)]
        .map(|op| pb::Op { op: Some(op), ..Default::default() });
    let mut found = Ok(String::new());
    guest::run(
        daemon,
        &format!("{device} {entitlements:?}").replace(['/', ' '], "-"),
        entitlements,
        async |mut guest| {
            found = match guest.solve(&chain).await {
                Ok(reference) => {
                    let request = wire::ReadFileRequest {
                        r#ref: reference,
                        file_path: "/log".into(),
                        ..Default::default()
                    };
                    let file = guest.client.read_file(request).await?.into_inner();
                    Ok(String::from_utf8_lossy(&file.data).trim().to_owned())
                }
                Err(error) => Err(error),
            };
            guest.finish().await?;
            Ok(())
        },
    );
    found
}

/// No key of the configuration is needed: the client's user says which devices a build may have.
#[test]
fn a_step_has_the_devices_that_its_build_was_granted() {
    needs!("busybox");
    let fake = Fake::with_busybox();
    with_each_runtime(|daemon| {
        let log = |device: &str, entitlements: &[&str]| log_of_a_step(daemon, &fake, device, entitlements);
        let kernel = "acme.com/log=kernel";
        for entitlement in ["device", "device=acme.com/log=kernel"] {
            assert_eq!(log(kernel, &[entitlement]).unwrap(), "kernel", "{entitlement}");
        }
        assert_eq!(log("other", &["device=acme.com/log=kernel,alias=other"]).unwrap(), "kernel");
        assert_eq!(log("acme.com/log=free", &[]).unwrap(), "free");
        for others in [&[][..], &["device=acme.com/log=free"]] {
            let refused = format!("{:#}", log(kernel, others).unwrap_err());
            assert!(refused.contains("requested by the build but not allowed"), "{refused}");
        }
    });
}

#[test]
fn a_daemon_without_devices_grants_none() {
    let config = Project::empty().file("buildkitd.toml", "[cdi]\ndisabled = true\n");
    let path = config.join("buildkitd.toml").display().to_string();
    let daemon = Daemon::start_with(DaemonOptions::arguments(&["--config", &path]));
    let project = Project::empty().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    daemon
        .build(&project)
        .args(["--allow", "device"])
        .run()
        .failed(1, &["entitlement device is not allowed"]);
}
