//! Policies that a client's session decides: it is asked about every source, and may ask back.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use anyhow::Result;
use futures::StreamExt as _;
use parking_lot::Mutex;
use prost::Message as _;
use slipway_model::Platform;
use slipway_proto::control::control_client::ControlClient;
use slipway_proto::control::{Exporter, SolveRequest, SolveResponse};
use slipway_proto::gateway::{ResolveSourceHttpRequest, ResolveSourceMetaRequest, ResolveSourceMetaResponse};
use slipway_proto::pb;
use slipway_proto::policy::PolicyAction;
use slipway_proto::policysession::check_policy_response::Result as Answer;
use slipway_proto::policysession::policy_verifier_server::{PolicyVerifier, PolicyVerifierServer};
use slipway_proto::policysession::{CheckPolicyRequest, CheckPolicyResponse, DecisionResponse, DenyMessage};
use slipway_proto::rpc;
use slipway_session::SessionStream;
use slipway_tests::web::{Answer as Page, Web};
use slipway_tests::{Daemon, Fake, guest, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

type Judge = dyn Fn(&ResolveSourceMetaResponse, usize) -> Result<Answer, Status> + Send + Sync;

/// Judges by a function, which is told how often this source was asked about before.
struct Verifier {
    judge: Box<Judge>,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

#[async_trait::async_trait]
impl PolicyVerifier for Verifier {
    async fn check_policy(
        &self,
        request: Request<CheckPolicyRequest>,
    ) -> Result<Response<CheckPolicyResponse>, Status> {
        let known = request.into_inner().source.unwrap_or_default();
        let name = known.source.clone().unwrap_or_default().identifier;
        let before = {
            let mut asked = self.asked.lock();
            let count = asked.entry(name).or_default();
            *count += 1;
            *count - 1
        };
        Ok(Response::new(CheckPolicyResponse { result: Some((self.judge)(&known, before)?) }))
    }
}

/// Solves `definition` for a client whose session judges; how often it was asked about each source.
async fn solve(
    daemon: &Daemon,
    definition: pb::Definition,
    judge: impl Fn(&ResolveSourceMetaResponse, usize) -> Result<Answer, Status> + Send + Sync + 'static,
) -> (Result<SolveResponse, Status>, HashMap<String, usize>) {
    let channel = wire::connect_to(daemon.socket()).await;
    let asked = Arc::<Mutex<HashMap<String, usize>>>::default();
    let verifier = Verifier { judge: Box::new(judge), asked: asked.clone() };
    let session = tokio::spawn(serve(ControlClient::new(channel.clone()), verifier));
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let request = SolveRequest {
        r#ref: format!("judged-{number}"),
        definition: Some(definition),
        source_policy_session: "judge".into(),
        exporters: Vec::<Exporter>::new(),
        ..SolveRequest::default()
    };
    let outcome = wire::answer(ControlClient::new(channel).solve(request)).await;
    session.abort();
    // The next one has the same id.
    let _ = session.await;
    let asked = asked.lock().clone();
    (outcome.map(Response::into_inner), asked)
}

async fn serve(mut control: ControlClient<tonic::transport::Channel>, verifier: Verifier) {
    let (outgoing, messages) = mpsc::channel(16);
    let mut request = Request::new(ReceiverStream::new(messages));
    let metadata = request.metadata_mut();
    metadata.insert("x-docker-expose-session-uuid", "judge".parse().expect("a text"));
    let method = "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy";
    metadata.append("x-docker-expose-session-grpc-method", method.parse().expect("a text"));
    let Ok(incoming) = control.session(request).await else { return };
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let _stop = stop.clone().drop_guard();
    let stream = SessionStream::client(incoming.into_inner(), outgoing, stop, ended.clone().drop_guard());
    let end = futures::stream::once(ended.cancelled_owned()).filter_map(|()| async { None });
    let only = futures::stream::iter([Ok::<_, io::Error>(stream)]).chain(end);
    let _ =
        Server::builder().add_service(PolicyVerifierServer::new(verifier)).serve_with_incoming(only).await;
}

fn image(name: &str) -> pb::SourceOp {
    pb::SourceOp { identifier: format!("docker-image://{name}"), ..Default::default() }
}

fn graph(source: pb::SourceOp) -> pb::Definition {
    guest::definition(&[pb::Op { op: Some(pb::op::Op::Source(source)), ..pb::Op::default() }])
}

fn decision(action: PolicyAction) -> Result<Answer, Status> {
    Ok(Answer::Decision(DecisionResponse { action: action.into(), ..Default::default() }))
}

fn converted(update: pb::SourceOp) -> Result<Answer, Status> {
    let action = PolicyAction::Convert.into();
    Ok(Answer::Decision(DecisionResponse { action, update: Some(update), ..Default::default() }))
}

fn question(source: &pb::SourceOp) -> ResolveSourceMetaRequest {
    ResolveSourceMetaRequest { source: Some(source.clone()), ..Default::default() }
}

fn registry() -> Fake {
    let fake = Fake::start(slipway_fakes::Options::default());
    for name in ["one", "two"] {
        fake.put_image(name, "1", &Platform::host(), &[&[("name", name.as_bytes())]]).expect("an image");
    }
    fake
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(test);
}

#[test]
fn a_session_allows_denies_and_says_why() {
    let (fake, daemon) = (registry(), Daemon::start());
    in_runtime(async {
        let one = image(&fake.image("one:1"));
        let (outcome, asked) = solve(&daemon, graph(one.clone()), |_, _| decision(PolicyAction::Allow)).await;
        outcome.expect("it is allowed");
        assert_eq!(asked, [(one.identifier.clone(), 1)].into());

        let (outcome, _) = solve(&daemon, graph(one.clone()), |_, _| {
            let messages = ["it is Monday", "use two"].map(|text| DenyMessage { message: text.into() });
            let action = PolicyAction::Deny.into();
            let deny_messages = messages.into();
            Ok(Answer::Decision(DecisionResponse { action, deny_messages, ..Default::default() }))
        })
        .await;
        let denied = outcome.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        for part in ["not allowed by policy", "action DENY", "it is Monday", "use two", &one.identifier] {
            assert!(denied.message().contains(part), "{denied:?}");
        }
        let details = rpc::Status::decode(denied.details()).expect("a status").details;
        let told =
            details.iter().find(|detail| detail.type_url.ends_with("policysession.DecisionResponse+json"));
        let told: serde_json::Value =
            serde_json::from_slice(&told.expect("the reasons").value).expect("JSON");
        assert_eq!(told["denyMessages"][1]["message"], "use two");

        let refuse = |_: &ResolveSourceMetaResponse, _| Err(Status::unknown("the policy has a bug"));
        let (outcome, _) = solve(&daemon, graph(one), refuse).await;
        assert!(outcome.unwrap_err().message().contains("the policy has a bug"));
    });
    daemon.assert_idle();
}

#[test]
fn a_session_may_want_to_know_more() {
    let (fake, daemon) = (registry(), Daemon::start());
    let web = Web::start(|_| Page::of(200, "hello"));
    in_runtime(async {
        let one = image(&fake.image("one:1"));
        let ask = |known: &ResolveSourceMetaResponse, before| match (before, &known.image) {
            (0, None) => Ok(Answer::Request(question(known.source.as_ref().expect("a source")))),
            (1, Some(image)) if image.digest.starts_with("sha256:") && !image.config.is_empty() => {
                decision(PolicyAction::Allow)
            }
            (_, other) => Err(Status::internal(format!("{before}: {other:?}"))),
        };
        let (outcome, asked) = solve(&daemon, graph(one.clone()), ask).await;
        outcome.expect("it is allowed");
        assert_eq!(asked[&one.identifier], 2);
        assert_eq!(fake.count("HEAD", "/manifests/"), 1, "who is told about an image and gets it asks once");

        let file = pb::SourceOp { identifier: web.url("/x"), ..Default::default() };
        let ask = |known: &ResolveSourceMetaResponse, before| match (before, &known.http) {
            (0, None) => {
                let checksum = slipway_proto::gateway::ChecksumRequest { algo: 2, suffix: "suffix".into() };
                let http = ResolveSourceHttpRequest { checksum_request: Some(checksum) };
                let source = known.source.as_ref().expect("a source");
                Ok(Answer::Request(ResolveSourceMetaRequest { http: Some(http), ..question(source) }))
            }
            (1, Some(http)) => {
                let told = http.checksum_response.clone().unwrap_or_default();
                // sha512sum of "hellosuffix".
                match (told.suffix == "suffix", told.digest.starts_with("sha512:"), told.digest.len()) {
                    (true, true, 135) => decision(PolicyAction::Allow),
                    _ => Err(Status::internal(format!("{told:?}"))),
                }
            }
            (_, other) => Err(Status::internal(format!("{before}: {other:?}"))),
        };
        let (outcome, _) = solve(&daemon, graph(file.clone()), ask).await;
        outcome.expect("it is allowed");
        assert_eq!(web.asked().len(), 1, "the file that was looked at is the one that is used");

        for (change, part) in [
            (
                (|question: &mut ResolveSourceMetaRequest| {
                    question.source = Some(image("elsewhere.example/x:1"));
                }) as fn(&mut ResolveSourceMetaRequest),
                "different source identifier",
            ),
            (
                |question| {
                    let source = question.source.as_mut().expect("a source");
                    source.attrs.insert("k".into(), "v".into());
                },
                "different source attrs",
            ),
            (
                |question| {
                    let checksum = slipway_proto::gateway::ChecksumRequest { algo: 99, ..Default::default() };
                    question.http = Some(ResolveSourceHttpRequest { checksum_request: Some(checksum) });
                },
                "unsupported checksum algorithm",
            ),
        ] {
            let ask = move |known: &ResolveSourceMetaResponse, _| {
                let mut question = question(known.source.as_ref().expect("a source"));
                change(&mut question);
                Ok(Answer::Request(question))
            };
            let (outcome, asked) = solve(&daemon, graph(file.clone()), ask).await;
            let error = outcome.unwrap_err();
            assert!(error.message().contains(part), "{error:?}");
            assert_eq!(asked[&file.identifier], 1);
        }
    });
    daemon.assert_idle();
}

#[test]
fn a_session_converts_but_not_for_ever() {
    let (fake, daemon) = (registry(), Daemon::start());
    in_runtime(async {
        let (one, two) = (image(&fake.image("one:1")), image(&fake.image("two:1")));
        let (from, to) = (one.clone(), two.clone());
        let convert = move |known: &ResolveSourceMetaResponse, _| match &known.source {
            Some(source) if *source == from => converted(to.clone()),
            _ => decision(PolicyAction::Allow),
        };
        let (outcome, asked) = solve(&daemon, graph(one.clone()), convert).await;
        outcome.expect("the other is allowed");
        assert_eq!(asked, [(one.identifier.clone(), 1), (two.identifier.clone(), 1)].into());
        assert_eq!((fake.count("GET", "/one/"), fake.count("HEAD", "/one/")), (0, 0));

        let same = |known: &ResolveSourceMetaResponse, _| converted(known.source.clone().unwrap_or_default());
        let (outcome, asked) = solve(&daemon, graph(one.clone()), same).await;
        assert!(outcome.unwrap_err().message().contains("too many policy requests"));
        assert_eq!(asked[&one.identifier], 10);

        let nothing = |_: &ResolveSourceMetaResponse, _| {
            let action = PolicyAction::Convert.into();
            Ok(Answer::Decision(DecisionResponse { action, ..Default::default() }))
        };
        let (outcome, _) = solve(&daemon, graph(one), nothing).await;
        assert!(outcome.unwrap_err().message().contains("convert action requires updated source"));
    });
    daemon.assert_usable();
}
