//! Sources that somebody has to have signed, and commits that come as one file.

use std::process::Command;

use anyhow::Result;
use slipway_model::llb::{Graph, Node};
use slipway_proto::gateway as wire;
use slipway_proto::pb;
use slipway_tests::git::{GitDaemon, Repository};
use slipway_tests::{Daemon, guest, needs};

/// Solves for one source and reads `file` of it.
async fn read(
    guest: &mut guest::Guest,
    identifier: &str,
    attributes: &[(&str, &str)],
    file: &str,
) -> Result<Vec<u8>> {
    let source = pb::SourceOp {
        identifier: identifier.into(),
        attrs: attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
    };
    let op = pb::Op {
        op: Some(pb::op::Op::Source(source)),
        constraints: Some(pb::WorkerConstraints::default()),
        ..pb::Op::default()
    };
    let mut graph = Graph::new();
    let head = graph.add(Node { op, ..Node::default() }).output();
    let reference = guest.solve_graph(graph.definition(Some(head), &[])).await?;
    let request = wire::ReadFileRequest {
        file_path: file.into(),
        r#ref: reference,
        ..wire::ReadFileRequest::default()
    };
    Ok(guest.client.read_file(request).await?.into_inner().data.to_vec())
}

/// Each row: attributes, and what the error says, if there is to be one.
type Rows<'a> = &'a [(&'a [(&'a str, &'a str)], Option<&'a str>)];

fn judged(name: &'static str, identifier: &str, file: &str, rows: Rows<'_>) {
    let daemon = Daemon::start();
    guest::run(&daemon, name, &[], async |mut guest| {
        for (attributes, expected) in rows {
            let read = read(&mut guest, identifier, attributes, file).await;
            match (expected, read) {
                (None, Ok(bytes)) => assert!(!bytes.is_empty()),
                (Some(words), Err(error)) => {
                    let error = format!("{error:#}");
                    assert!(error.contains(words), "{attributes:?}: {error}");
                }
                (expected, read) => panic!("{attributes:?}: {expected:?} {read:?}"),
            }
        }
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}

#[test]
fn a_commit_and_a_tag_are_whom_they_claim_to_be_from() {
    needs!("ssh-keygen");
    let keys = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = keys.path().join(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
        assert!(made.unwrap().success());
        (
            format!("user.signingKey={}", path.display()),
            std::fs::read_to_string(path.with_extension("pub")).unwrap(),
        )
    };
    let ((sign, public), (_, other)) = (key("key"), key("other"));
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new();
    repository.commit(&[("file", "unsigned")]);
    repository.git(&["branch", "unsigned"]);
    let signed = ["-c", "gpg.format=ssh", "-c", &sign];
    let git = |arguments: &[&str]| repository.git(&[&signed[..], arguments].concat());
    repository.git(&["tag", "-a", "-m", "nobody's", "plain-tag-of-nobodys"]);
    git(&["tag", "-s", "-m", "signed", "signed-tag-of-nobodys"]);
    git(&["commit", "--quiet", "--allow-empty", "-S", "-m", "signed"]);
    repository.git(&["branch", "signed"]);
    git(&["tag", "-s", "-m", "signed", "signed-tag"]);
    repository.git(&["tag", "-a", "-m", "nobody's", "plain-tag"]);
    let served = folder.path().join("r.git");
    repository.git(&["clone", "--quiet", "--bare", ".", &served.display().to_string()]);
    let server = GitDaemon::start(folder.path());

    const KEY: &str = "git.sig.pubkey";
    let (required, ignored) = (("git.sig.requiresignedtag", "true"), ("git.sig.ignoresignedtag", "true"));
    let (key, other) = ((KEY, public.as_str()), (KEY, other.as_str()));
    let not_signed = Some("git object is not signed");
    for (reference, attributes, expected) in [
        ("signed", vec![key], None),
        ("signed-tag", vec![key], None),
        ("signed-tag", vec![key, required], None),
        ("signed-tag", vec![key, ignored], None),
        ("signed-tag-of-nobodys", vec![key], None),
        ("signed-tag-of-nobodys", vec![key, ignored], not_signed),
        // Not signed itself, but its commit is.
        ("plain-tag", vec![key], None),
        ("plain-tag", vec![key, required], not_signed),
        ("plain-tag-of-nobodys", vec![key], not_signed),
        ("signed", vec![key, required], Some("signed tag required but no signed tag found")),
        ("unsigned", vec![key], not_signed),
        ("signed", vec![other], Some("made with another key")),
        ("signed", vec![(KEY, "")], Some("failed to parse ssh public key")),
    ] {
        let identifier = format!("git://127.0.0.1/r.git#{reference}");
        let url = server.url("/r.git");
        let attributes: Vec<_> = attributes.into_iter().chain([("git.fullurl", url.as_str())]).collect();
        judged("signed-commits", &identifier, "file", &[(&attributes, expected)]);
    }
}

#[test]
fn a_bundle_goes_out_and_comes_in_as_a_blob() {
    let fake = slipway_tests::Fake::start(slipway_fakes::Options::default());
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new();
    repository.commit(&[("file", "one")]);
    let commit = repository.commit(&[("file", "two")]);
    let served = folder.path().join("r.git");
    repository.git(&["clone", "--quiet", "--bare", ".", &served.display().to_string()]);
    let server = GitDaemon::start(folder.path());
    let url = server.url("/r.git");
    let daemon = Daemon::start();
    guest::run(&daemon, "bundle", &[], async |mut guest| {
        let out = [("git.fullurl", url.as_str()), ("git.checksum", &commit), ("git.checkoutbundle", "true")];
        let bytes = read(&mut guest, "git://127.0.0.1/r.git#main", &out, "bundle").await?;
        // All of its history is in it.
        let check = folder.path().join("bundle");
        std::fs::write(&check, &bytes)?;
        let check = check.display().to_string();
        assert!(repository.git(&["bundle", "verify", &check]).contains("complete history"));
        assert!(repository.git(&["bundle", "list-heads", &check]).contains("refs/heads/main"));

        let digest = fake.put_blob("bundles", bytes).to_string();
        let locator = format!("docker-image+blob://{}/bundles@{digest}", fake.host());
        // Another remote, which nobody serves: what comes in is the bundle's.
        let nowhere = "git://127.0.0.1:1/elsewhere.git";
        for reference in ["main", commit.as_str(), ""] {
            let into = [("git.fullurl", nowhere), ("git.checksum", &commit), ("git.bundle", &locator)];
            let identifier = format!("git://127.0.0.1/elsewhere.git#{reference}");
            assert_eq!(read(&mut guest, &identifier, &into, "file").await?, b"two");
        }
        let zeroes = "0".repeat(40);
        let into = [("git.fullurl", nowhere), ("git.checksum", &zeroes), ("git.bundle", &locator)];
        let error = read(&mut guest, "git://127.0.0.1/elsewhere.git", &into, "file").await.unwrap_err();
        assert!(format!("{error:#}").contains("not found in bundle"), "{error:#}");
        // The blob itself is a file as well.
        let named = [("http.filename", "history"), ("http.perm", "0640")];
        let blob = read(&mut guest, &locator, &named, "history").await?;
        assert!(blob.starts_with(b"# v"), "{:?}", &blob[..8.min(blob.len())]);
        let wrong = locator.replace(&digest, &format!("sha256:{}", "0".repeat(64)));
        assert!(read(&mut guest, &wrong, &[], "x").await.is_err());
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}
