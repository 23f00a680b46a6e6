//! Requests that no good client sends: each is answered precisely, and nothing of it stays.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use slipway_model::Digest;
use slipway_proto::control as wire;
use slipway_proto::gateway;
use slipway_proto::pb::{self, op::Op};
use slipway_proto::policy::{Policy, Rule};
use slipway_tests::Daemon;
use slipway_tests::wire::{answer, assert_nothing_kept, bridge, control, encode, held, silent};
use tonic::{Code, Status};

const MIB: usize = 1 << 20;

/// A build of its own: the daemon remembers the last ones for a moment.
fn request() -> wire::SolveRequest {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    let id = format!("build-{}", BUILDS.fetch_add(1, Ordering::Relaxed));
    wire::SolveRequest { r#ref: id, ..wire::SolveRequest::default() }
}

async fn refused(daemon: &Daemon, request: wire::SolveRequest) -> Status {
    answer(control(daemon).await.solve(request)).await.expect_err("it is refused")
}

#[track_caller]
fn assert_says(status: &Status, code: Code, words: &str) {
    let message = status.message();
    assert!(status.code() == code && message.contains(words), "{code:?} {words}: {status:?}");
}

/// Operations as bytes, and their digests.
#[derive(Default)]
struct Graph {
    definition: pb::Definition,
}

impl Graph {
    fn add(&mut self, op: pb::Op) -> String {
        let bytes = encode(&op);
        let digest = Digest::of(&bytes).to_string();
        self.definition.def.push(bytes.into());
        digest
    }

    fn head(mut self, inputs: &[&str]) -> wire::SolveRequest {
        self.add(pb::Op {
            inputs: inputs.iter().map(|digest| input(digest, 0)).collect(),
            ..pb::Op::default()
        });
        wire::SolveRequest { definition: Some(self.definition), ..request() }
    }
}

fn input(digest: &str, index: i64) -> pb::Input {
    pb::Input { digest: digest.into(), index }
}

fn source(identifier: &str) -> pb::Op {
    let source = pb::SourceOp { identifier: identifier.into(), ..pb::SourceOp::default() };
    pb::Op { op: Some(Op::Source(source)), ..pb::Op::default() }
}

fn solitary(op: pb::Op) -> wire::SolveRequest {
    let mut graph = Graph::default();
    let digest = graph.add(op);
    graph.head(&[&digest])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_honoured_or_refused_by_name() {
    let daemon = Daemon::start();
    let cases: Vec<(wire::SolveRequest, Code, &str)> = vec![
        (wire::SolveRequest { proxy_network: true, ..request() }, Code::Unimplemented, "proxy network"),
        (
            wire::SolveRequest {
                source_policy: Some(Policy { rules: vec![Rule::default()], ..Policy::default() }),
                ..request()
            },
            Code::InvalidArgument,
            "invalid nil selector in policy",
        ),
        (
            wire::SolveRequest { compatibility_version: 11, ..request() },
            Code::InvalidArgument,
            "compatibility-version 11",
        ),
        (
            wire::SolveRequest { compatibility_version: 31, ..request() },
            Code::InvalidArgument,
            "compatibility-version 31",
        ),
        (
            wire::SolveRequest { compatibility_version: -1, ..request() },
            Code::InvalidArgument,
            "compatibility-version -1",
        ),
        (
            wire::SolveRequest { entitlements: vec!["security.insecure".into()], ..request() },
            Code::PermissionDenied,
            "security.insecure is not allowed",
        ),
        (
            wire::SolveRequest { frontend: "nothing.v0".into(), ..request() },
            Code::Unimplemented,
            "nothing.v0",
        ),
        (
            wire::SolveRequest { frontend: "dockerfile.v0".into(), ..solitary(source("local://x")) },
            Code::InvalidArgument,
            "both a definition and a frontend",
        ),
    ];
    for (request, code, words) in cases {
        assert_says(&refused(&daemon, request).await, code, words);
    }
    let exporter = wire::Exporter { r#type: "pigeon".into(), ..wire::Exporter::default() };
    let status =
        refused(&daemon, wire::SolveRequest { exporters: vec![exporter], ..solitary(source("local://x")) })
            .await;
    assert_says(&status, Code::InvalidArgument, "pigeon");
    daemon.assert_usable();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_mean_something_elsewhere_are_no_ids() {
    let daemon = Daemon::start();
    let before = held(&daemon);
    let long = "x".repeat(MIB);
    for id in ["", "..", ".", "a/../b", "a\0b", "a b", "a\nb", &long] {
        let status = refused(&daemon, wire::SolveRequest { r#ref: id.into(), ..request() }).await;
        assert_says(&status, Code::InvalidArgument, "Ref");
    }
    for id in ["..", "a\0b", &long] {
        let watched = answer(control(&daemon).await.status(wire::StatusRequest { r#ref: id.into() })).await;
        assert!(matches!(
            watched.map_err(|status| status.code()),
            Err(Code::NotFound | Code::InvalidArgument)
        ));
        let change = wire::UpdateBuildHistoryRequest { r#ref: id.into(), delete: true, ..Default::default() };
        // Nothing to delete may be well.
        let _ = answer(control(&daemon).await.update_build_history(change)).await;
    }
    assert_nothing_kept(&daemon, before, 32 * MIB);
    daemon.assert_usable();
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_that_are_none_are_refused() {
    let daemon = Daemon::start();
    let before = held(&daemon);
    let exec = |exec: pb::ExecOp| pb::Op { op: Some(Op::Exec(exec)), ..pb::Op::default() };
    let dangling = format!("sha256:{}", "0".repeat(64));
    let cyclic = {
        // An operation cannot name itself; two that are in the wrong order are as near as it gets.
        let mut graph = Graph::default();
        let first = source("local://x");
        let digest = Digest::of(encode(&first)).to_string();
        let second = graph.add(pb::Op {
            inputs: vec![input(&digest, 0)],
            op: Some(Op::Merge(pb::MergeOp::default())),
            ..pb::Op::default()
        });
        graph.add(first);
        graph.head(&[&second])
    };
    let garbage = pb::Definition { def: vec![vec![0xff; 100].into()], ..pb::Definition::default() };
    let negative = {
        let mut graph = Graph::default();
        let digest = graph.add(source("local://x"));
        graph.add(pb::Op { inputs: vec![input(&digest, -1)], ..pb::Op::default() });
        wire::SolveRequest { definition: Some(graph.definition), ..request() }
    };
    let beyond = {
        let mut graph = Graph::default();
        let digest = graph.add(source("docker-image://docker.io/library/x@sha256:1"));
        graph.add(pb::Op { inputs: vec![input(&digest, i64::MAX)], ..pb::Op::default() });
        wire::SolveRequest { definition: Some(graph.definition), ..request() }
    };
    let two_heads = {
        let mut graph = Graph::default();
        let digest = graph.add(source("local://x"));
        graph.head(&[&digest, &digest])
    };
    let cases = vec![
        ("dangling", Graph::default().head(&[&dangling])),
        ("no digest", Graph::default().head(&["..\0"])),
        ("cyclic", cyclic),
        ("garbage", wire::SolveRequest { definition: Some(garbage), ..request() }),
        ("negative output", negative),
        ("output beyond all", beyond),
        ("two heads", two_heads),
        ("unset operation", solitary(pb::Op { inputs: vec![], ..pb::Op::default() })),
        ("unknown source", solitary(source("pigeon://coop"))),
        ("empty source", solitary(source(""))),
        ("exec without meta", solitary(exec(pb::ExecOp::default()))),
        (
            "exec without root",
            solitary(exec(pb::ExecOp {
                meta: Some(pb::Meta { args: vec!["x".into()], ..pb::Meta::default() }),
                ..pb::ExecOp::default()
            })),
        ),
        (
            "file without actions",
            solitary(pb::Op { op: Some(Op::File(pb::FileOp::default())), ..pb::Op::default() }),
        ),
        (
            "unset action",
            solitary(pb::Op {
                op: Some(Op::File(pb::FileOp { actions: vec![pb::FileAction::default()] })),
                ..pb::Op::default()
            }),
        ),
        (
            "unset build",
            solitary(pb::Op { op: Some(Op::Build(pb::BuildOp::default())), ..pb::Op::default() }),
        ),
        ("unset diff", solitary(pb::Op { op: Some(Op::Diff(pb::DiffOp::default())), ..pb::Op::default() })),
    ];
    for (name, request) in cases {
        let status = refused(&daemon, request).await;
        let is_precise = !status.message().is_empty() && !matches!(status.code(), Code::Internal | Code::Ok);
        assert!(is_precise, "{name}: {status:?}");
    }
    assert_nothing_kept(&daemon, before, 32 * MIB);
    daemon.assert_usable();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_operations_are_carried() {
    let daemon = Daemon::start();
    let before = held(&daemon);
    let mut graph = Graph::default();
    let mut below = graph.add(source("pigeon://coop"));
    for index in 0..100_000 {
        let made = pb::FileActionMkDir { path: format!("/{index}"), mode: 0o755, ..Default::default() };
        let action = pb::FileAction {
            input: 0,
            secondary_input: -1,
            output: 0,
            action: Some(pb::file_action::Action::Mkdir(made)),
        };
        below = graph.add(pb::Op {
            inputs: vec![input(&below, 0)],
            op: Some(Op::File(pb::FileOp { actions: vec![action] })),
            ..pb::Op::default()
        });
    }
    let status = refused(&daemon, graph.head(&[&below])).await;
    assert!(status.message().contains("pigeon"), "{status:?}");
    assert_nothing_kept(&daemon, before, 192 * MIB);
    daemon.assert_usable();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_are_refused() {
    let daemon = Daemon::start();
    let before = held(&daemon);
    let attributes = [("a".to_owned(), "x".repeat(70 * MIB))].into();
    let status = refused(&daemon, wire::SolveRequest { frontend_attrs: attributes, ..request() }).await;
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status:?}");
    assert_nothing_kept(&daemon, before, 32 * MIB);
    daemon.assert_usable();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_nothing_in_them_are_answered() {
    let daemon = Daemon::start();
    let mut control = control(&daemon).await;
    answer(control.info(wire::InfoRequest::default())).await.unwrap();
    answer(control.list_workers(wire::ListWorkersRequest::default())).await.unwrap();
    answer(control.disk_usage(wire::DiskUsageRequest::default())).await.unwrap();
    answer(control.prune(wire::PruneRequest::default())).await.unwrap();
    let status = answer(control.solve(wire::SolveRequest::default())).await.unwrap_err();
    assert_says(&status, Code::InvalidArgument, "Ref");
    let status = answer(control.session(silent())).await.unwrap_err();
    assert_says(&status, Code::InvalidArgument, "x-docker-expose-session-uuid");
    answer(control.status(wire::StatusRequest::default())).await.map(drop).unwrap_err();
    let filter = wire::ListWorkersRequest { filter: vec!["pigeon==1".into()] };
    let status = answer(control.list_workers(filter)).await.unwrap_err();
    assert_says(&status, Code::InvalidArgument, "pigeon");

    let mut bridge = bridge(&daemon).await;
    let status = answer(bridge.ping(gateway::PingRequest::default())).await.unwrap_err();
    assert_says(&status, Code::InvalidArgument, "no buildid found in context");
    let status = answer(bridge.solve(gateway::SolveRequest::default())).await.unwrap_err();
    assert_says(&status, Code::InvalidArgument, "no buildid found in context");
    answer(bridge.read_file(gateway::ReadFileRequest::default())).await.unwrap_err();
    answer(bridge.read_dir(gateway::ReadDirRequest::default())).await.unwrap_err();
    answer(bridge.stat_file(gateway::StatFileRequest::default())).await.unwrap_err();
    answer(bridge.evaluate(gateway::EvaluateRequest::default())).await.unwrap_err();
    answer(bridge.r#return(gateway::ReturnRequest::default())).await.unwrap_err();
    answer(bridge.warn(gateway::WarnRequest::default())).await.unwrap_err();
    answer(bridge.resolve_image_config(gateway::ResolveImageConfigRequest::default())).await.unwrap_err();
    answer(bridge.resolve_source_meta(gateway::ResolveSourceMetaRequest::default())).await.unwrap_err();
    answer(bridge.new_container(gateway::NewContainerRequest::default())).await.unwrap_err();
    daemon.assert_usable();
}

/// Runs `clients` in a runtime that ends with all their connections, as a process would.
fn gone_afterwards(clients: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(clients);
    runtime.shutdown_background();
}

#[test]
fn sessions_that_never_speak_are_let_go_with_their_clients() {
    let daemon = Daemon::start();
    let before = held(&daemon);
    for round in 0..3 {
        gone_afterwards(async {
            let mut open = Vec::new();
            for index in 0..30 {
                let mut control = control(&daemon).await;
                let mut request = tonic::Request::new(silent());
                let id = format!("silent-{round}-{index}").parse().unwrap();
                request.metadata_mut().insert("x-docker-expose-session-uuid", id);
                open.push(answer(control.session(request)).await.expect("a session is opened"));
            }
            // A build that needs one of them waits; then its client leaves.
            let session = format!("silent-{round}-0");
            let named = wire::SolveRequest { session, ..solitary(source("local://context")) };
            let mut control = control(&daemon).await;
            let _ = tokio::time::timeout(Duration::from_millis(300), control.solve(named)).await;
        });
    }
    assert_nothing_kept(&daemon, before, 32 * MIB);
    daemon.assert_usable();
}

#[test]
fn clients_that_leave_in_the_middle_leave_nothing() {
    let daemon = Daemon::start();
    let before = held(&daemon);
    for _ in 0..20 {
        gone_afterwards(async {
            // A frontend that never returns, and a watcher that never reads.
            let frontend = request();
            let mut watcher = control(&daemon).await;
            let status = wire::StatusRequest { r#ref: frontend.r#ref.clone() };
            let mut control = control(&daemon).await;
            let solve = tokio::time::timeout(Duration::from_millis(20), control.solve(frontend));
            let watch = tokio::time::timeout(Duration::from_millis(30), watcher.status(status));
            let _ = tokio::join!(solve, watch);
        });
    }
    assert_nothing_kept(&daemon, before, 32 * MIB);
    daemon.assert_usable();
}
