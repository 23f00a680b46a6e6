//! Graphs as clients make them, and what a build of one tells and keeps.

use anyhow::Result;
use slipway_proto::control as wire;
use slipway_proto::gateway;
use slipway_proto::pb::{self, op::Op};
use slipway_tests::guest::{self, Guest};
use slipway_tests::wire::{answer, control};
use slipway_tests::{Daemon, Fake, needs};

fn source(image: &str) -> pb::Op {
    let source = pb::SourceOp { identifier: format!("docker-image://{image}"), ..Default::default() };
    pb::Op { op: Some(Op::Source(source)), ..pb::Op::default() }
}

fn cache(dest: &str) -> pb::Mount {
    pb::Mount {
        dest: dest.into(),
        input: -1,
        output: -1,
        mount_type: pb::MountType::Cache.into(),
        cache_opt: Some(pb::CacheOpt { id: "cache".into(), sharing: pb::CacheSharingOpt::Locked.into() }),
        ..pb::Mount::default()
    }
}

/// Runs `script` in `/work` on the operation before it, with more mounts than the root.
fn step(script: &str, readonly_root: bool, mounts: &[pb::Mount]) -> pb::Op {
    let root = pb::Mount {
        dest: "/".into(),
        readonly: readonly_root,
        output: if readonly_root { -1 } else { 0 },
        ..pb::Mount::default()
    };
    let args = ["/bin/sh", "-ec", script].map(str::to_owned).to_vec();
    let exec = pb::ExecOp {
        meta: Some(pb::Meta { args, cwd: "/work".into(), ..pb::Meta::default() }),
        mounts: std::iter::once(root).chain(mounts.iter().cloned()).collect(),
        ..pb::ExecOp::default()
    };
    pb::Op { op: Some(Op::Exec(exec)), ..pb::Op::default() }
}

/// A new tree that becomes the output.
fn output(dest: &str) -> pb::Mount {
    pb::Mount { dest: dest.into(), input: -1, output: 0, ..pb::Mount::default() }
}

async fn read(guest: &mut Guest, operations: &[pb::Op], file: &str) -> Result<String> {
    let made = guest.solve(operations).await?;
    let request = gateway::ReadFileRequest { r#ref: made, file_path: file.into(), ..Default::default() };
    Ok(String::from_utf8(guest.client.read_file(request).await?.into_inner().data.to_vec())?)
}

#[test]
fn mounts_are_where_they_are_asked_for() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    let base = source(&fake.busybox());
    guest::run(&daemon, "mounts", &[], async |mut guest| -> Result<()> {
        // A relative place is one below the working directory.
        let relative = step("echo made > /work/below/file", true, &[output("below")]);
        assert_eq!(read(&mut guest, &[base.clone(), relative], "/file").await?, "made\n");
        // The place of a mount is made also in a root that is read-only, and only for the mount.
        let script = "test ! -e /new/file; echo made > /new/file; ! touch /file 2>/dev/null";
        let read_only = step(script, true, &[output("/new")]);
        assert_eq!(read(&mut guest, &[base.clone(), read_only], "/file").await?, "made\n");
        // One cache at two places of one step is one directory, though it is locked.
        let script = "echo one > /a/file; mv /b/file /b/moved; cp /a/moved /work/file";
        let twice = step(script, false, &[cache("/a"), cache("/b")]);
        assert_eq!(read(&mut guest, &[base, twice], "/work/file").await?, "one\n");
        guest.finish().await?;
        Ok(())
    });
    daemon.assert_idle();
}

#[test]
fn a_step_that_is_to_run_anew_finds_its_caches_empty() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    let base = source(&fake.busybox());
    let run = |id: &str, script: &str, anew: bool| {
        let operations = [base.clone(), step(script, false, &[cache("/cache")])];
        guest::run(&daemon, id, &[], async |mut guest| -> Result<()> {
            let mut definition = guest::definition(&operations);
            for metadata in definition.metadata.values_mut() {
                metadata.ignore_cache = anew;
            }
            let made = guest.solve_graph(definition).await?;
            guest.client.evaluate(gateway::EvaluateRequest { r#ref: made }).await?;
            guest.finish().await?;
            Ok(())
        });
    };
    run("first", "touch /cache/first", false);
    run("second", "test -e /cache/first; touch /cache/second", false);
    run("anew", "test ! -e /cache/first; touch /cache/third", true);
    run("last", "test -e /cache/third; test ! -e /cache/second", false);
    daemon.assert_idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_graph_is_an_empty_image_which_is_not_in_use() {
    let daemon = Daemon::start();
    let mut control = control(&daemon).await;
    let request = wire::SolveRequest {
        r#ref: "empty".into(),
        definition: Some(pb::Definition::default()),
        exporters: vec![
            wire::Exporter { r#type: "image".into(), attrs: [("name".into(), "first".into())].into() },
            wire::Exporter { r#type: "image".into(), attrs: [("name".into(), "second".into())].into() },
        ],
        ..wire::SolveRequest::default()
    };
    let told = answer(control.solve(request)).await.unwrap().into_inner().exporter_response;
    assert_eq!(told["image.name"], "second", "of several exporters the last is told of");
    let used = answer(control.disk_usage(wire::DiskUsageRequest::default())).await.unwrap().into_inner();
    assert!(!used.record.is_empty() && used.record.iter().all(|record| record.shared && !record.in_use));
    let prune = wire::PruneRequest::default();
    let mut pruned = answer(control.prune(prune)).await.unwrap().into_inner();
    assert!(answer(pruned.message()).await.unwrap().is_none(), "a named image stays unless all is to go");
    daemon.assert_usable();
}

#[test]
fn results_for_other_platforms_than_asked_for_and_bad_ones_are_told() {
    let daemon = Daemon::start();
    for (id, key, value, expected) in [
        ("a", "refs.platforms", "null", "invalid empty platforms index for exporter"),
        (
            "b",
            "refs.platforms",
            r#"{"Platforms":[{"ID":"","Platform":{"os":"","architecture":""}}]}"#,
            "invalid empty platform key",
        ),
        (
            "c",
            "refs.platforms",
            r#"{"Platforms":[{"ID":"x","Platform":{"os":"","architecture":""}}]}"#,
            "invalid platform value",
        ),
    ] {
        guest::run(&daemon, id, &[], async |guest| -> Result<()> {
            let metadata = [(key.to_owned(), value.to_owned().into())].into();
            let refused = guest.finish_with(metadata).await.unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
            Ok(())
        });
    }
    daemon.assert_usable();
}
