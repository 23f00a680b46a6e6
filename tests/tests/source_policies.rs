//! Rules about sources: `--source-policy-file`, and policies that come with a frontend's questions.

use anyhow::Result;
use serde_json::{Value, json};
use slipway_model::Platform;
use slipway_proto::gateway as wire;
use slipway_proto::pb;
use slipway_proto::policy::{MatchType, Policy, PolicyAction, Rule, Selector, Update};
use slipway_tests::git::{GitDaemon, Repository};
use slipway_tests::web::{Answer, Web};
use slipway_tests::{Build, Daemon, Fake, Project, guest, needs};

const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Two images of one file each.
fn registry() -> Fake {
    let fake = Fake::start(slipway_fakes::Options::default());
    for name in ["one", "two"] {
        fake.put_image(name, "1", &Platform::host(), &[&[("name", name.as_bytes())]]).expect("an image");
    }
    fake
}

fn rule(action: &str, identifier: &str, kind: &str, updates: Option<Value>) -> Value {
    let selector = json!({ "identifier": identifier, "matchType": kind });
    match updates {
        Some(updates) => json!({ "action": action, "selector": selector, "updates": updates }),
        None => json!({ "action": action, "selector": selector }),
    }
}

/// A project in a folder of its own, with room beside it.
fn project(dockerfile: &str) -> Project {
    let project = Project::empty();
    project.write("context/Dockerfile", dockerfile);
    project
}

fn run(daemon: &Daemon, project: &Project, rules: &[Value]) -> Build {
    project.write("policy.json", json!({ "rules": rules }).to_string());
    let build = daemon.build(project).context(project.join("context").display().to_string());
    build.arg("--source-policy-file").arg(project.join("policy.json"))
}

#[test]
fn an_image_is_denied_allowed_or_another() {
    let (fake, daemon) = (registry(), Daemon::start());
    let project = project(&format!("FROM {}\nCOPY Dockerfile /\n", fake.image("one:1")));
    let out = project.join("out");
    let image = |name: &str| format!("docker-image://{}", fake.image(name));
    let deny = rule("DENY", "docker-image://*", "WILDCARD", None);
    run(&daemon, &project, std::slice::from_ref(&deny))
        .run()
        .failed(1, &["denied by policy", &image("one:1"), "FROM"]);
    assert_eq!(fake.log().len(), 0, "what is denied is not even asked for");
    let allow = rule("ALLOW", &image("one:*"), "WILDCARD", None);
    run(&daemon, &project, &[deny.clone(), allow]).to(&out).succeed();
    assert_eq!(project.read("out/name"), "one");
    let to_two = json!({ "identifier": image("two:$1") });
    let convert = rule("CONVERT", &image("one:*"), "WILDCARD", Some(to_two));
    run(&daemon, &project, std::slice::from_ref(&convert)).to(&out).succeed();
    assert_eq!(project.read("out/name"), "two");
    let deny_two = rule("DENY", &image("two:"), "REGEX", None);
    run(&daemon, &project, &[deny_two, convert]).run().failed(1, &["denied by policy", &image("two:1")]);
    daemon.assert_idle();
}

#[test]
fn the_variable_of_buildx_names_a_policy() {
    let (fake, daemon) = (registry(), Daemon::start());
    let project = project(&format!("FROM {}\n", fake.image("one:1")));
    project.write("policy.json", json!({ "rules": [rule("DENY", "*", "WILDCARD", None)] }).to_string());
    let build = daemon.build(&project).context(project.join("context").display().to_string());
    let build = build.env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", project.join("policy.json"));
    build.run().failed(1, &["denied by policy"]);
}

#[test]
fn a_policy_that_makes_no_sense_is_told_of() {
    let daemon = Daemon::start();
    let project = project("FROM scratch\nCOPY Dockerfile /\n");
    for (rules, code, parts) in [
        (json!([{ "action": "DENY" }]), 125, ["no selector", "rule 1"]),
        (
            json!([{ "action": "CONVERT", "selector": { "identifier": "x" } }]),
            1,
            ["missing destination", "\"x\""],
        ),
        (json!([{ "action": 9000, "selector": { "identifier": "x" } }]), 1, ["unknown type", "9000"]),
        (json!([rule("DENY", "(", "REGEX", None)]), 1, ["invalid regex", "\"(\""]),
        (json!([rule("DENY", "a**", "WILDCARD", None)]), 1, ["invalid wildcard", "a**"]),
    ] {
        let rules = rules.as_array().cloned().unwrap_or_default();
        run(&daemon, &project, &rules).run().failed(code, &parts);
    }
    daemon.assert_usable();
}

#[test]
fn files_repositories_and_contexts_obey_too() {
    needs!("git");
    let (daemon, repository) = (Daemon::start(), Repository::new());
    repository.commit(&[("a", "one")]);
    let server = GitDaemon::start(repository.path());
    let web = Web::start(|asked| match asked.target.as_str() {
        "/hello" => Answer::of(200, "hello"),
        _ => Answer::of(200, "other"),
    });
    let (url, git) = (web.url("/hello"), server.url("/.git"));
    let project = project(&format!("FROM scratch\nADD {url} /\nADD {git}#main /\n"));
    let out = project.join("out");
    let checksum = |digest: &str| Some(json!({ "attrs": { "http.checksum": digest } }));
    run(&daemon, &project, &[rule("CONVERT", &url, "EXACT", checksum(HELLO))]).to(&out).succeed();
    assert_eq!(project.read("out/hello"), "hello");
    let wrong = format!("sha256:{}", "b".repeat(64));
    run(&daemon, &project, &[rule("CONVERT", &url, "EXACT", checksum(&wrong))])
        .run()
        .failed(1, &[&format!("digest mismatch {HELLO}: {wrong}")]);
    // What counts is where it is fetched from.
    run(&daemon, &project, &[rule("DENY", &format!("{git}#main"), "EXACT", None)])
        .run()
        .failed(1, &["denied by policy", &git]);
    let elsewhere = Some(json!({ "identifier": web.url("/elsewhere") }));
    run(&daemon, &project, &[rule("CONVERT", &url, "EXACT", elsewhere)]).to(&out).succeed();
    assert_eq!(project.read("out/hello"), "other", "the name that the Dockerfile gives it stays");
    daemon.assert_idle();
}

#[test]
fn a_named_context_may_become_a_folder() {
    let (fake, daemon) = (registry(), Daemon::start());
    let project = project("FROM scratch AS replace\nFROM scratch\nCOPY --from=replace /name /\n");
    project.write("folder/name", "from the client");
    let image = format!("docker-image://{}", fake.image("one:1"));
    let to_folder = rule("CONVERT", &image, "EXACT", Some(json!({ "identifier": "local://folder" })));
    run(&daemon, &project, &[to_folder])
        .args(["--build-context", &format!("replace={image}")])
        .args(["--build-context", &format!("folder={}", project.join("folder").display())])
        .to(&project.join("out"))
        .succeed();
    assert_eq!(project.read("out/name"), "from the client");
    assert_eq!(fake.log().len(), 0);
}

#[test]
fn frontends_may_bring_policies_of_their_own() {
    let (fake, daemon) = (registry(), Daemon::start());
    let selector = |identifier: &str| Selector {
        identifier: identifier.into(),
        match_type: MatchType::Wildcard.into(),
        ..Selector::default()
    };
    let deny = |identifier: &str| Rule {
        action: PolicyAction::Deny.into(),
        selector: Some(selector(identifier)),
        updates: None,
    };
    let convert = |from: &str, to: &str| Rule {
        action: PolicyAction::Convert.into(),
        selector: Some(selector(from)),
        updates: Some(Update { identifier: to.into(), ..Update::default() }),
    };
    let (one, two) = (fake.image("one:1"), fake.image("two:1"));
    let image = |name: &str| format!("docker-image://{name}");
    guest::run(&daemon, "own", &[], async |mut guest| -> Result<()> {
        let policy = |rules: &[Rule]| vec![Policy { version: 1, rules: rules.to_vec() }];
        let config = |rules: &[Rule]| wire::ResolveImageConfigRequest {
            r#ref: one.clone(),
            source_policies: policy(rules),
            ..Default::default()
        };
        let resolved =
            guest.client.resolve_image_config(config(&[convert(&image(&one), &image(&two))])).await?;
        assert_eq!(resolved.into_inner().r#ref, two);
        let denied = guest.client.resolve_image_config(config(&[deny("*")])).await.unwrap_err();
        assert!(denied.message().contains("source denied by policy"), "{denied:?}");
        let local = config(&[convert(&image(&one), "local://x")]);
        let replaced = guest.client.resolve_image_config(local).await.unwrap_err();
        assert!(replaced.message().contains("ref mutated by policy to non-image"), "{replaced:?}");

        let meta = |rules: &[Rule]| wire::ResolveSourceMetaRequest {
            source: Some(pb::SourceOp { identifier: image(&one), ..Default::default() }),
            source_policies: policy(rules),
            ..Default::default()
        };
        let told = guest.client.resolve_source_meta(meta(&[convert(&image(&one), &image(&two))])).await?;
        assert_eq!(told.into_inner().source.unwrap_or_default().identifier, image(&two));
        let denied = guest.client.resolve_source_meta(meta(&[deny("docker-image://*")])).await.unwrap_err();
        assert!(denied.message().contains("source denied by policy"), "{denied:?}");

        let source = pb::SourceOp { identifier: image(&one), ..Default::default() };
        let definition =
            guest::definition(&[pb::Op { op: Some(pb::op::Op::Source(source)), ..pb::Op::default() }]);
        let solve = wire::SolveRequest {
            definition: Some(definition),
            source_policies: policy(&[deny("*")]),
            evaluate: true,
            allow_result_return: true,
            allow_result_array_ref: true,
            ..Default::default()
        };
        let denied = guest.client.solve(solve).await.unwrap_err();
        assert!(denied.message().contains("source denied by policy"), "{denied:?}");
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}
