//! The binary under BuildKit's names: `buildkitd` and `buildctl`, as drivers run them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use slipway_proto::otlp::collector::trace_service_client::TraceServiceClient;
use slipway_proto::otlp::collector::trace_service_server::{TraceService, TraceServiceServer};
use slipway_proto::otlp::collector::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use slipway_proto::otlp::trace::{ResourceSpans, ScopeSpans, Span};
use slipway_tests::{Outcome, Project, Running, Signal, eventually, leftovers, slipway, wire};
use tempfile::TempDir;

/// What a container that drivers use holds: the binary under two names.
struct Container {
    folder: TempDir,
}

impl Container {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["buildkitd", "buildctl"] {
            symlink(slipway(), folder.path().join(name)).expect("a link");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.path("s.sock").display())
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("BUILDKIT_HOST", self.address());
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.command(name);
        command.args(arguments);
        Running::start(command, None).wait()
    }

    fn daemon(&self, arguments: &[&str]) -> Server {
        let mut command = self.command("buildkitd");
        command.arg("--root").arg(self.path("root")).args(["--addr", &self.address()]).args(arguments);
        let mut running = Running::start(command, None);
        running.wait_for("ready");
        Server { running: Some(running), folder: self.folder.path().to_owned() }
    }
}

/// A `buildkitd` that must end in order.
struct Server {
    running: Option<Running>,
    folder: PathBuf,
}

impl Server {
    fn stop(mut self) -> Outcome {
        let running = self.running.take().expect("it runs");
        running.signal(Signal::TERM);
        let outcome = running.wait();
        leftovers::assert_none(&self.folder, &[]);
        outcome
    }
}

#[test]
fn versions_are_in_the_form_that_drivers_read() {
    let container = Container::new();
    for name in ["buildkitd", "buildctl"] {
        let version = container.run(name, &["--version"]).succeeded().stdout();
        let words: Vec<&str> = version.split_whitespace().collect();
        assert_eq!((words.len(), words[0]), (4, name), "{version}");
        assert!(words[2].starts_with('v'), "{version}");
    }
    let mut command = Command::new(slipway());
    command.args(["buildkitd", "--version"]);
    assert!(Running::start(command, None).wait().succeeded().stdout().starts_with("buildkitd "));
}

#[test]
fn drivers_find_what_they_need() {
    let container = Container::new();
    fs::write(
        container.path("c.toml"),
        "[worker.oci]\ngc = false\nlabels = { a = \"b\" }\n[worker.containerd]\naddress = \"/x\"\n",
    )
    .unwrap();
    let config = container.path("c.toml").display().to_string();
    let daemon = container.daemon(&[
        "--config",
        &config,
        "--oci-worker=true",
        "--containerd-worker=false",
        "--oci-worker-no-process-sandbox",
    ]);
    let workers = container.run("buildctl", &["debug", "workers"]).succeeded().stdout();
    assert!(workers.starts_with("ID") && workers.contains("linux/"), "{workers}");
    let labels =
        container.run("buildctl", &["debug", "workers", "--format", "{{range .}}{{.Labels}}{{end}}"]);
    assert!(labels.succeeded().stdout().contains(r#""a":"b""#));
    let dialled = container.command("buildctl").arg("dial-stdio").output();
    assert!(dialled.is_ok_and(|dialled| dialled.status.success()));
    for command in
        [&["du"][..], &["prune"], &["debug", "info"], &["debug", "histories"], &["prune-histories"]]
    {
        container.run("buildctl", command).succeeded();
    }
    let log = daemon.stop().succeeded().stderr.clone();
    assert!(log.contains("--oci-worker-no-process-sandbox has no effect"), "{log}");
}

#[test]
fn it_builds_and_tells_everything_about_it() {
    let container = Container::new();
    let daemon = container.daemon(&[]);
    let project = Project::empty().file("Dockerfile", "FROM scratch\nCOPY f /f\n").file("f", "content");
    let folder = project.path().display();
    let [context, dockerfile] = ["context", "dockerfile"].map(|name| format!("{name}={folder}"));
    let out = container.path("out");
    let output = format!("type=local,dest={}", out.display());
    let file = |name: &str| container.path(name).display().to_string();
    let (reference, metadata, trace) = (file("ref"), file("metadata"), file("trace"));
    let build = |more: &[&str]| {
        let fixed = ["build", "--frontend", "dockerfile.v0", "--local", &context, "--local", &dockerfile];
        container.run("buildctl", &[&fixed, more].concat())
    };
    build(&["--output", &output, "--ref-file", &reference, "--metadata-file", &metadata, "--trace", &trace])
        .succeeded();
    assert_eq!(fs::read_to_string(out.join("f")).unwrap(), "content");
    assert_eq!(fs::read_to_string(&reference).unwrap().len(), 25);
    assert!(fs::read_to_string(&metadata).unwrap().starts_with('{'));
    assert!(fs::read_to_string(&trace).unwrap().lines().count() > 2);
    build(&["--debug-json-cache-metrics=stdout"]).failed(1, &["--debug-json-cache-metrics", "not supported"]);
    build(&["--proxy-network"]).failed(1, &["proxy network"]);
    daemon.stop().succeeded();
}

#[test]
fn what_is_not_supported_keeps_it_from_starting() {
    let container = Container::new();
    let config = container.path("c.toml");
    for (text, name) in [
        ("[worker.oci]\nselinux = true", "worker.oci.selinux"),
        ("[worker.oci]\nfrobnicate = 1", "worker.oci.frobnicate"),
        ("[grpc.tls]\ncert = \"/nowhere\"", "grpc.tls"),
        ("[grpc", "c.toml"),
    ] {
        fs::write(&config, text).unwrap();
        container.run("buildkitd", &["--config", &config.display().to_string()]).failed(1, &[name]);
    }
    container.run("buildkitd", &["--containerd-worker=true"]).failed(1, &["containerd is not reachable"]);
    container.run("buildkitd", &["--config", "/nowhere/buildkitd.toml"]).failed(1, &["/nowhere"]);
}

#[test]
fn a_group_may_use_the_socket() {
    let container = Container::new();
    let daemon = container.daemon(&["--group", "0"]);
    let socket = fs::metadata(container.path("s.sock")).unwrap();
    assert_eq!((socket.permissions().mode() & 0o777, socket.gid()), (0o660, 0));
    daemon.stop().succeeded();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

#[test]
fn tcp_asks_for_certificates() {
    let container = Container::new();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let server = tests.join("fakes/src/tls");
    let client = tests.join("../testdata/tls");
    let text = |path: PathBuf| path.display().to_string();
    let address = format!("tcp://localhost:{}", free_port());
    let listen = address.replace("localhost", "127.0.0.1");
    let (certificate, key) = (text(server.join("server.pem")), text(server.join("server.key")));
    let (clients, trusted) = (text(client.join("clients.pem")), text(server.join("ca.pem")));
    let daemon = container.daemon(&[
        "--addr",
        &listen,
        "--tlscert",
        &certificate,
        "--tlskey",
        &key,
        "--tlscacert",
        &clients,
    ]);
    let known = [text(client.join("client.pem")), text(client.join("client.key"))];
    let asks =
        |more: &[&str]| container.run("buildctl", &[&["--addr", &address, "debug", "info"], more].concat());

    asks(&["--tlscacert", &trusted, "--tlscert", &known[0], "--tlskey", &known[1]]).succeeded();
    for stranger in [
        &[][..],
        &["--tlscacert", &trusted],
        &["--tlscacert", &trusted, "--tlscert", &certificate, "--tlskey", &key],
        &["--tlscacert", &clients, "--tlscert", &known[0], "--tlskey", &known[1]],
        &["--tlscacert", &trusted, "--tlscert", &known[0], "--tlskey", &known[1], "--tlsservername", "other"],
    ] {
        asks(stranger).failed(1, &["cannot reach the daemon"]);
    }
    // One that stalls its handshake holds up nobody, on either address.
    let _silent = TcpStream::connect(listen.trim_start_matches("tcp://")).unwrap();
    asks(&["--tlscacert", &trusted, "--tlscert", &known[0], "--tlskey", &known[1]]).succeeded();
    container.run("buildctl", &["debug", "info"]).succeeded();
    daemon.stop().succeeded();
}

/// What is at `path` of the debug address.
fn get(mut stream: impl Read + Write, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn metrics_count_and_keep_secrets() {
    let container = Container::new();
    let debug = container.path("debug.sock");
    let daemon = container.daemon(&["--debug", "--debugaddr", &format!("unix://{}", debug.display())]);
    let page = |path: &str| get(UnixStream::connect(&debug).unwrap(), path);
    assert!(page("/healthz").starts_with("HTTP/1.1 200"));
    assert!(page("/nowhere").starts_with("HTTP/1.1 404"));

    let dockerfile = "FROM scratch\nARG A\nLABEL a=$A\nCOPY f /f\n";
    let project = Project::empty().file("Dockerfile", dockerfile).file("f", "content");
    project.write("token", "s3cret-of-a-file");
    fs::create_dir(container.path(".docker")).unwrap();
    let account = r#"{"auths":{"registry.invalid":{"username":"me","password":"s3cret-of-an-account"}}}"#;
    fs::write(container.path(".docker/config.json"), account).unwrap();
    let folder = project.path().display();
    let arguments = [
        "build".to_owned(),
        "--frontend=dockerfile.v0".into(),
        format!("--local=context={folder}"),
        format!("--local=dockerfile={folder}"),
        "--opt=build-arg:A=s3cret-of-an-argument".into(),
        format!("--secret=id=token,src={folder}/token"),
        format!("--output=type=local,dest={}", container.path("out").display()),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    container.run("buildctl", &arguments).succeeded();
    container.run("buildctl", &arguments).succeeded();
    let mut failing = arguments.clone();
    failing.push("--opt=target=nowhere");
    container.run("buildctl", &failing).failed(1, &["nowhere"]);

    let counted = eventually(Duration::from_secs(10), || {
        // The trace is what is made last.
        let told = ["slipway_builds_total{status=\"failed\"} 1", "slipway_steps_total{kind=\"cached\"} "];
        let page = page("/metrics");
        let none = ["slipway_steps_total{kind=\"cached\"} 0", "slipway_gc_seconds_count 0"];
        told.iter().all(|line| page.contains(line)) && !none.iter().any(|line| page.contains(line))
    });
    let metrics = page("/metrics");
    assert!(counted, "{metrics}");
    for line in [
        "slipway_builds_total{status=\"completed\"} ",
        "slipway_steps_total{kind=\"cached\"} ",
        "slipway_steps_total{kind=\"ran\"} ",
        "slipway_phase_seconds_sum{phase=\"export\"} ",
        "slipway_cache_bytes{type=\"regular\"} ",
        "slipway_client_bytes_total{direction=\"in\"} ",
        "slipway_session_bytes_total{direction=\"in\"} ",
        "slipway_session_bytes_total{direction=\"out\"} ",
        "slipway_export_bytes_total ",
        "slipway_solver_seconds_count{phase=\"run\"} ",
        "slipway_solver_seconds_count{phase=\"load\"} ",
        "slipway_gc_seconds_count ",
    ] {
        let value = metrics.lines().find_map(|found| found.strip_prefix(line));
        let value: f64 = value.unwrap_or_else(|| panic!("no {line}in {metrics}")).parse().unwrap();
        assert!(value > 0.0, "{line}is {value}");
    }
    let mut command = Command::new(slipway());
    command.args(["--addr", &container.address(), "history", "trace", "^1"]);
    let traces = Running::start(command, None).wait().succeeded().stdout();
    assert!(traces.contains("COPY"), "{traces}");
    let log = daemon.stop().succeeded().stderr.clone();
    assert!(log.contains("build{id="), "lines of a build do not say of which: {log}");
    for text in [&metrics, &log, &traces] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

/// A collector of traces that keeps what it is given.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collected {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.lock().push(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[test]
fn traces_reach_the_collector_without_secrets() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let collected = Collected::default();
    let address: std::net::SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let service = TraceServiceServer::new(collected.clone());
    runtime.spawn(tonic::transport::Server::builder().add_service(service).serve(address));

    let container = Container::new();
    let socket = container.path("otel.sock");
    let mut command = container.command("buildkitd");
    command.arg("--root").arg(container.path("root")).args(["--addr", &container.address()]);
    command.arg("--otel-socket-path").arg(&socket);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    let mut running = Running::start(command, None);
    running.wait_for("ready");
    let daemon = Server { running: Some(running), folder: container.folder.path().to_owned() };

    let project = Project::empty().file("Dockerfile", "FROM scratch\nARG A\nCOPY f /$A\n").file("f", "x");
    let folder = project.path().display();
    let (context, dockerfile) = (format!("context={folder}"), format!("dockerfile={folder}"));
    let fixed = ["build", "--frontend=dockerfile.v0", "--local", &context, "--local", &dockerfile];
    container.run("buildctl", &[&fixed[..], &["--opt=build-arg:A=s3cret"]].concat()).succeeded();
    // What others hand in is passed on.
    let foreign = Span { name: "of a step".into(), ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![foreign], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    runtime.block_on(async {
        let mut traces = TraceServiceClient::new(wire::connect_to(socket).await);
        wire::answer(traces.export(ExportTraceServiceRequest { resource_spans })).await.unwrap();
    });

    let names = || -> Vec<String> {
        let requests = collected.0.lock();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        spans.map(|span| span.name.clone()).collect()
    };
    let wanted = ["build", "[internal] load", "[1/1] COPY", "run", "save", "of a step"];
    let all = eventually(Duration::from_secs(15), || {
        let names = names();
        wanted.iter().all(|wanted| names.iter().any(|name| name == wanted))
    });
    assert!(all, "{:?}", names());
    assert!(!format!("{:?}", collected.0.lock()).contains("s3cret"));
    daemon.stop().succeeded();
}
