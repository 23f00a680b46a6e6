//! What an operation that failed leaves behind, for frontends that want to look around.

use anyhow::{Context as _, Result};
use serde_json::Value;
use slipway_proto::gateway as wire;
use slipway_proto::pb;
use slipway_tests::guest::{self, Guest};
use slipway_tests::{Daemon, Fake, needs};
use tonic::Status;

/// How long what a failed build left may stay, generously.
const AFTERLIFE: std::time::Duration = std::time::Duration::from_secs(30);

/// The detail of this kind of a status, as JSON.
fn detail(status: &Status, kind: &str) -> Option<Value> {
    use prost::Message as _;
    let wire = slipway_proto::rpc::Status::decode(status.details()).ok()?;
    let detail = wire.details.iter().find(|detail| detail.type_url.ends_with(kind))?;
    serde_json::from_slice(&detail.value).ok()
}

/// Why `definition` cannot be evaluated.
async fn failure(guest: &mut Guest, definition: pb::Definition) -> Status {
    let request = wire::SolveRequest {
        definition: Some(definition),
        evaluate: true,
        allow_result_return: true,
        ..wire::SolveRequest::default()
    };
    guest.client.solve(request).await.expect_err("it fails")
}

fn file_op(actions: Vec<(i64, i64, pb::file_action::Action)>) -> pb::Op {
    let last = actions.len() - 1;
    let actions = actions.into_iter().enumerate().map(|(index, (input, secondary_input, action))| {
        let output = if index == last { 0 } else { -1 };
        pb::FileAction { input, secondary_input, output, action: Some(action) }
    });
    let actions = actions.collect();
    pb::Op { op: Some(pb::op::Op::File(pb::FileOp { actions })), ..pb::Op::default() }
}

fn mkfile(path: &str) -> pb::file_action::Action {
    pb::file_action::Action::Mkfile(pb::FileActionMkFile {
        path: path.into(),
        mode: 0o644,
        data: b"made".as_ref().into(),
        timestamp: -1,
        ..Default::default()
    })
}

fn source(image: &str) -> pb::Op {
    let source = pb::SourceOp { identifier: format!("docker-image://{image}"), ..Default::default() };
    pb::Op { op: Some(pb::op::Op::Source(source)), ..pb::Op::default() }
}

/// Runs `args` on the result of the operation before it, with an empty tree of its own besides.
fn exec(args: &[&str]) -> pb::Op {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let root = pb::Mount { dest: "/".into(), ..pb::Mount::default() };
    let kept = pb::Mount { dest: "/kept".into(), input: -1, output: 1, ..pb::Mount::default() };
    let meta = Some(pb::Meta { args, cwd: "/".into(), ..pb::Meta::default() });
    let op = pb::op::Op::Exec(pb::ExecOp { meta, mounts: vec![root, kept], ..pb::ExecOp::default() });
    pb::Op { op: Some(op), ..pb::Op::default() }
}

fn ids<'a>(solve: &'a Value, kind: &str) -> Vec<&'a str> {
    solve[kind].as_array().map(|ids| ids.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[test]
fn the_trees_of_a_failed_process_can_be_mounted() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    guest::run(&daemon, "process", &[], async |mut guest| -> Result<()> {
        let step = exec(&["sh", "-c", "echo one > /in-root; echo two > /kept/in-mount; exit 7"]);
        let status = failure(&mut guest, guest::definition(&[source(&fake.busybox()), step])).await;
        let solve = detail(&status, "errdefs.Solve+json").context("no detail")?;
        assert_eq!(detail(&status, "ExitMessage+json").context("no code")?["Code"], 7);
        assert!(detail(&status, "errdefs.Vertex+json").is_some());
        assert_eq!(solve["op"]["exec"]["mounts"][1]["dest"], "/kept");
        assert_eq!(ids(&solve, "inputIDs").len(), 2);
        let left = ids(&solve, "mountIDs");
        let mounts = [("/", left[0]), ("/kept", left[1])];
        let mounts = mounts.map(|(dest, id)| pb::Mount {
            dest: dest.into(),
            result_id: id.into(),
            ..Default::default()
        });
        guest
            .container_with(wire::NewContainerRequest {
                container_id: "c".into(),
                mounts: mounts.to_vec(),
                ..wire::NewContainerRequest::default()
            })
            .await?;
        let mut processes = guest.exec().await?;
        processes.start("p", "c", &["cat", "/in-root", "/kept/in-mount"]).await?;
        assert_eq!(processes.ended("p").await?.stdout, "one\ntwo\n");
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
    let all_gone = slipway_tests::eventually(AFTERLIFE, || {
        daemon.client(&["prune", "--all", "--force"]).succeeded();
        !daemon.client(&["du"]).succeeded().stdout().contains("exec")
    });
    assert!(all_gone, "nothing of it stays in use");
}

#[test]
fn the_trees_of_failed_file_actions_have_names_action_by_action() {
    let daemon = Daemon::start();
    guest::run(&daemon, "files", &[], async |mut guest| -> Result<()> {
        let actions = vec![(-1, -1, mkfile("/found")), (0, -1, mkfile("/nowhere/lost"))];
        let status = failure(&mut guest, guest::definition(&[file_op(actions)])).await;
        let solve = detail(&status, "errdefs.Solve+json").context("no detail")?;
        assert_eq!(solve["file"]["index"], "1");
        assert!(ids(&solve, "inputIDs").is_empty());
        let left = ids(&solve, "mountIDs");
        assert_eq!((left.len(), left[0]), (2, ""), "the first was handed on to the second");
        let read = wire::ReadFileRequest {
            r#ref: left[1].into(),
            file_path: "/found".into(),
            ..wire::ReadFileRequest::default()
        };
        assert_eq!(guest.client.read_file(read).await?.into_inner().data, "made");
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}
