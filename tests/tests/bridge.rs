//! What a client that is a frontend itself may ask: sources, files, containers and their processes.

use anyhow::Result;
use slipway_proto::gateway as wire;
use slipway_proto::gateway::exec_message::Input;
use slipway_proto::pb;
use slipway_tests::guest::{self, Ended};
use slipway_tests::{Daemon, DaemonOptions, Fake, needs};
use tonic::Code;

fn shell(script: &str) -> [&str; 3] {
    ["/bin/sh", "-c", script]
}

#[test]
fn processes_share_a_container_and_end_with_its_first() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    guest::run(&daemon, "share", &[], async |mut guest| -> Result<()> {
        let root = guest.image(&fake.busybox()).await?;
        guest.container("c", &root).await?;
        let mut exec = guest.exec().await?;
        exec.start("first", "c", &shell("echo one > /file; read line; exit 7")).await?;
        exec.started("first").await?;
        exec.start("second", "c", &shell("cat; cat /file; pwd; id -u; echo wrong >&2; exit 99")).await?;
        exec.write("second", "typed\n").await?;
        exec.close_input("second").await?;
        let second = exec.ended("second").await?;
        let expected = Ended {
            code: 99,
            message: "exit code: 99".into(),
            stdout: "typed\none\n/\n0\n".into(),
            stderr: "wrong\n".into(),
        };
        assert_eq!(second, expected);
        // A process that would go on is gone with the first.
        exec.start("third", "c", &shell("echo here; sleep 1000")).await?;
        exec.wait_for("third", "here").await?;
        exec.write("first", "end\n").await?;
        assert_eq!(exec.ended("first").await?.code, 7);
        exec.start("fourth", "c", &["true"]).await?;
        let late = exec.refused().await;
        assert!(late.message().contains("has ended"), "{late:?}");
        let mut exec = guest.exec().await?;
        guest.container("d", &root).await?;
        exec.start("cut", "d", &["sleep", "1000"]).await?;
        exec.started("cut").await?;
        // Whoever releases a container at work is told; so is whoever waits for the process.
        assert_eq!(guest.release("d").await.unwrap_err().code(), Code::Cancelled);
        assert!(exec.ended("cut").await?.message.contains("context canceled"));
        guest.release("c").await?;
        assert_eq!(guest.release("c").await.unwrap_err().code(), Code::NotFound);
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}

#[test]
fn a_process_gets_what_it_was_promised() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    guest::run(&daemon, "promised", &[], async |mut guest| -> Result<()> {
        let root = guest.image(&fake.busybox()).await?;
        guest
            .container_with(wire::NewContainerRequest {
                container_id: "c".into(),
                mounts: vec![
                    pb::Mount { dest: "/".into(), result_id: root.clone(), ..pb::Mount::default() },
                    pb::Mount {
                        dest: "/other".into(),
                        result_id: root,
                        readonly: true,
                        ..pb::Mount::default()
                    },
                    pb::Mount {
                        dest: "/memory".into(),
                        mount_type: pb::MountType::Tmpfs.into(),
                        ..pb::Mount::default()
                    },
                ],
                network: pb::NetMode::None.into(),
                hostname: "somebody".into(),
                extra_hosts: vec![pb::HostIp { host: "friend".into(), ip: "192.0.2.7".into() }],
                ..wire::NewContainerRequest::default()
            })
            .await?;
        let mut exec = guest.exec().await?;
        exec.start("first", "c", &shell("read line")).await?;
        let script = "hostname; grep friend /etc/hosts; ls /sys/class/net; echo $A $PATH; pwd; id -u; \
            touch /other/x || echo read-only; grep -c ' /memory ' /proc/mounts; grep CapBnd /proc/self/status; \
            echo ours > /etc/written";
        let process = |user: &str| wire::InitMessage {
            container_id: "c".into(),
            meta: Some(pb::Meta {
                args: shell(script).map(str::to_owned).to_vec(),
                env: vec!["A=b".into()],
                cwd: "/made/here".into(),
                user: user.into(),
                ..pb::Meta::default()
            }),
            fds: vec![1],
            ..wire::InitMessage::default()
        };
        exec.init("root", process("")).await?;
        let told = exec.ended("root").await?.stdout;
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let expected = format!(
            "somebody\n192.0.2.7\tfriend\nlo\nb {path}\n/made/here\n0\nread-only\n1\nCapBnd:\t00000000a80425fb\n"
        );
        assert_eq!(told, expected);
        exec.init("user", process("nobody")).await?;
        assert!(exec.ended("user").await?.stdout.contains("\n65534\n"));

        // Its files are seen while it runs, each mount by its place.
        let read = |file: &str, index: i32| wire::ReadFileRequest {
            r#ref: "c".into(),
            file_path: file.into(),
            mount_index: index,
            range: Some(wire::FileRange { offset: 1, length: 2 }),
        };
        assert_eq!(guest.client.read_file_container(read("/etc/written", 0)).await?.into_inner().data, "ur");
        let missing = guest.client.read_file_container(read("/etc/written", 1)).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        let beyond = guest.client.read_file_container(read("/etc/written", 9)).await.unwrap_err();
        assert!(beyond.message().contains("out of bounds (3 available)"), "{beyond:?}");
        let stat = wire::StatFileRequest { r#ref: "c".into(), path: "/etc/written".into(), mount_index: 0 };
        let stat = guest.client.stat_file_container(stat).await?.into_inner().stat.unwrap_or_default();
        assert_eq!((stat.path.as_str(), stat.size), ("written", 5));
        let list = wire::ReadDirRequest {
            r#ref: "c".into(),
            dir_path: "/etc".into(),
            include_pattern: "w*".into(),
            mount_index: 0,
        };
        let listed = guest.client.read_dir_container(list).await?.into_inner().entries;
        assert_eq!(listed.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["written"]);
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}

#[test]
fn a_terminal_has_a_size_and_controls() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    guest::run(&daemon, "terminal", &[], async |mut guest| -> Result<()> {
        let root = guest.image(&fake.busybox()).await?;
        guest.container("c", &root).await?;
        let mut exec = guest.exec().await?;
        let shell = |args: &[&str]| wire::InitMessage {
            container_id: "c".into(),
            meta: Some(pb::Meta {
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                env: vec!["PS1=prompt> ".into()],
                ..pb::Meta::default()
            }),
            fds: vec![0, 1, 2],
            tty: true,
            ..wire::InitMessage::default()
        };
        for process in ["first", "second"] {
            exec.init(process, shell(&["sh"])).await?;
            exec.wait_for(process, "prompt> ").await?;
            exec.say(process, Input::Resize(wire::ResizeMessage { rows: 40, cols: 80 })).await?;
            exec.write(process, "stty size; echo $TERM\n").await?;
            exec.wait_for(process, "40 80\r\nxterm").await?;
            // What is typed to interrupt interrupts.
            exec.write(process, "sleep 1000\n").await?;
            exec.wait_for(process, "sleep").await?;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            exec.write(process, "\x03").await?;
            exec.wait_for(process, "prompt> ").await?;
            if process == "second" {
                exec.write(process, "exit 9\n").await?;
                assert_eq!(exec.ended(process).await?.code, 9);
            }
        }
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}

#[test]
fn signals_arrive_by_name() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    guest::run(&daemon, "signals", &[], async |mut guest| -> Result<()> {
        let root = guest.image(&fake.busybox()).await?;
        guest.container("c", &root).await?;
        let mut exec = guest.exec().await?;
        let trap = "trap 'exit 42' HUP; echo ready; while :; do sleep 0.1; done";
        let signal = |name: &str| Input::Signal(wire::SignalMessage { name: name.into() });
        exec.start("first", "c", &shell("read line")).await?;
        exec.started("first").await?;
        exec.start("trapping", "c", &shell(trap)).await?;
        exec.wait_for("trapping", "ready").await?;
        exec.say("trapping", signal("HUP")).await?;
        assert_eq!(exec.ended("trapping").await?.code, 42);
        exec.start("killed", "c", &["sleep", "1000"]).await?;
        exec.started("killed").await?;
        exec.say("killed", signal("KILL")).await?;
        assert_eq!(exec.ended("killed").await?.code, 137);
        exec.say("first", signal("NONSENSE")).await?;
        let refused = exec.refused().await;
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "Unknown signal NONSENSE"));
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}

#[test]
fn nobody_gets_more_than_the_build_may() {
    needs!("busybox");
    let (fake, daemon) = (
        Fake::with_busybox(),
        Daemon::start_with(DaemonOptions::arguments(&["--allow-insecure-entitlement", "security.insecure"])),
    );
    let insecure = |container: &str| wire::InitMessage {
        container_id: container.into(),
        meta: Some(pb::Meta { args: vec!["true".into()], ..pb::Meta::default() }),
        security: pb::SecurityMode::Insecure.into(),
        ..wire::InitMessage::default()
    };
    guest::run(&daemon, "without", &[], async |mut guest| -> Result<()> {
        let root = guest.image(&fake.busybox()).await?;
        let host = wire::NewContainerRequest {
            container_id: "host".into(),
            network: pb::NetMode::Host.into(),
            ..wire::NewContainerRequest::default()
        };
        let refused = guest.container_with(host).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains("network.host is not allowed"), "{refused:?}");
        guest.container("c", &root).await?;
        let mut exec = guest.exec().await?;
        // Each ends by itself, and the stream goes on.
        exec.init("p", insecure("c")).await?;
        let refused = exec.ended("p").await?;
        assert!(refused.message.contains("security.insecure is not allowed"), "{refused:?}");
        exec.init("q", wire::InitMessage { security: 77, ..insecure("c") }).await?;
        assert!(exec.ended("q").await?.message.contains("invalid security mode"));
        exec.start("r", "c", &["true"]).await?;
        assert_eq!(exec.ended("r").await?, Ended::default());
        guest.finish().await?;
        Ok(())
    });
    guest::run(&daemon, "with", &["security.insecure"], async |mut guest| -> Result<()> {
        let root = guest.image(&fake.busybox()).await?;
        guest.container("c", &root).await?;
        let mut exec = guest.exec().await?;
        exec.init("p", insecure("c")).await?;
        assert_eq!(exec.ended("p").await?, Ended::default());
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    guest::run(&daemon, "nonsense", &[], async |mut guest| -> Result<()> {
        let root = guest.image(&fake.busybox()).await?;
        let refused = guest.container("", &root).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = guest.container("c", "ref-77").await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        guest.container("c", &root).await?;
        assert_eq!(guest.container("c", &root).await.unwrap_err().code(), Code::AlreadyExists);
        let rootless = wire::NewContainerRequest { container_id: "n".into(), ..Default::default() };
        let refused = guest.container_with(rootless).await.unwrap_err();
        assert!(refused.message().contains("no mount for the root"), "{refused:?}");

        let file = Input::File(wire::FdMessage::default());
        let process = wire::InitMessage { container_id: "c".into(), ..Default::default() };
        let meta = |args: &[&str]| {
            Some(pb::Meta { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Default::default() })
        };
        let cases = [
            ("", file.clone(), Code::InvalidArgument),
            ("p", file, Code::NotFound),
            ("p", Input::Done(wire::DoneMessage {}), Code::InvalidArgument),
            ("p", Input::Init(process.clone()), Code::InvalidArgument),
            (
                "p",
                Input::Init(wire::InitMessage { meta: meta(&["true"]), fds: vec![7], ..process.clone() }),
                Code::InvalidArgument,
            ),
            (
                "p",
                Input::Init(wire::InitMessage { meta: meta(&["true"]), ..Default::default() }),
                Code::NotFound,
            ),
        ];
        for (id, input, code) in cases {
            let mut exec = guest.exec().await?;
            exec.say(id, input.clone()).await?;
            let refused = exec.refused().await;
            assert_eq!(refused.code(), code, "{input:?}: {refused:?}");
        }
        // A command that is not there, or none, is an end like any other.
        let mut exec = guest.exec().await?;
        exec.start("n", "c", &[]).await?;
        assert!(exec.ended("n").await?.message.contains("has no arguments"));
        exec.start("p", "c", &["/nowhere"]).await?;
        let ended = exec.ended("p").await?;
        assert_eq!(ended.code, 127);
        assert!(ended.message.contains("/nowhere"), "{ended:?}");
        let both = wire::ReturnRequest::default();
        assert_eq!(guest.client.r#return(both).await.unwrap_err().code(), Code::InvalidArgument);
        // Nothing is released by hand: the end of the build does it, even one in the middle.
        exec.start("q", "c", &["sleep", "1000"]).await?;
        guest.abandon();
        Ok(())
    });
    assert!(slipway_tests::eventually(std::time::Duration::from_secs(10), || {
        slipway_tests::leftovers::none(daemon.root().parent().unwrap_or(&daemon.root()), &[daemon.pid()])
            .is_ok()
    }));
    daemon.assert_usable();
}

#[test]
fn sources_are_resolved_without_being_fetched() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    guest::run(&daemon, "sources", &[], async |mut guest| -> Result<()> {
        let ask = |identifier: String| wire::ResolveSourceMetaRequest {
            source: Some(pb::SourceOp { identifier, ..pb::SourceOp::default() }),
            ..wire::ResolveSourceMetaRequest::default()
        };
        let image = ask(format!("docker-image://{}", fake.busybox()));
        let told = guest.client.resolve_source_meta(image.clone()).await?.into_inner();
        assert_eq!(told.source, image.source);
        let told = told.image.unwrap_or_default();
        assert!(told.digest.starts_with("sha256:") && !told.config.is_empty());
        let briefly = wire::ResolveSourceMetaRequest {
            image: Some(wire::ResolveSourceImageRequest { no_config: true, ..Default::default() }),
            ..image
        };
        let told = guest.client.resolve_source_meta(briefly).await?.into_inner().image.unwrap_or_default();
        assert!(told.config.is_empty() && !told.digest.is_empty());
        for (request, code) in [
            (wire::ResolveSourceMetaRequest::default(), Code::InvalidArgument),
            (ask("nothing".into()), Code::InvalidArgument),
            (ask("martian://x".into()), Code::Unimplemented),
        ] {
            assert_eq!(guest.client.resolve_source_meta(request).await.unwrap_err().code(), code);
        }
        guest.finish().await?;
        Ok(())
    });
}

#[test]
fn a_graph_may_come_out_of_a_graph() {
    use prost::Message as _;
    let daemon = Daemon::start();
    let file = |path: &str, data: Vec<u8>| pb::Op {
        inputs: Vec::new(),
        op: Some(pb::op::Op::File(pb::FileOp {
            actions: vec![pb::FileAction {
                input: -1,
                secondary_input: -1,
                output: 0,
                action: Some(pb::file_action::Action::Mkfile(pb::FileActionMkFile {
                    path: path.into(),
                    mode: 0o644,
                    data: data.into(),
                    timestamp: -1,
                    ..Default::default()
                })),
            }],
        })),
        ..pb::Op::default()
    };
    let build = |attrs: &[(&str, &str)]| pb::Op {
        op: Some(pb::op::Op::Build(pb::BuildOp {
            builder: -1,
            inputs: [("buildkit.llb.definition".to_owned(), pb::BuildInput { input: 0 })].into(),
            attrs: attrs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..pb::BuildOp::default()
        })),
        ..pb::Op::default()
    };
    let inner = guest::definition(&[file("/made", b"inside".to_vec())]).encode_to_vec();
    guest::run(&daemon, "nested", &[], async |mut guest| -> Result<()> {
        let read = |reference: &str| wire::ReadFileRequest {
            r#ref: reference.into(),
            file_path: "/made".into(),
            ..wire::ReadFileRequest::default()
        };
        for (path, attrs) in
            [("/buildkit.llb.definition", &[][..]), ("/elsewhere", &[("llbbuild.filename", "elsewhere")][..])]
        {
            let nested = guest.solve(&[file(path, inner.clone()), build(attrs)]).await?;
            assert_eq!(guest.client.read_file(read(&nested)).await?.into_inner().data, "inside");
        }
        let broken =
            guest.solve(&[file("/buildkit.llb.definition", b"\xff\xff".to_vec()), build(&[])]).await?;
        let refused = guest.client.read_file(read(&broken)).await.unwrap_err();
        assert!(refused.message().contains("the definition to build is not valid"), "{refused:?}");
        let missing = guest.solve(&[file("/other", inner.clone()), build(&[])]).await?;
        assert!(guest.client.read_file(read(&missing)).await.is_err());
        guest.finish().await?;
        Ok(())
    });
}
