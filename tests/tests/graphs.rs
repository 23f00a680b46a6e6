//! Graphs that no Dockerfile makes: differences, merges and inputs handed on.

use anyhow::Result;
use slipway_model::llb::{Graph, Node, NodeOutput};
use slipway_proto::gateway as wire;
use slipway_proto::pb;
use slipway_proto::pb::file_action::Action;
use slipway_tests::{Daemon, DaemonOptions, guest};

fn op(kind: pb::op::Op, inputs: Vec<NodeOutput>) -> Node {
    let op = pb::Op {
        op: Some(kind),
        platform: Some(pb::Platform {
            os: "linux".into(),
            architecture: "amd64".into(),
            ..Default::default()
        }),
        constraints: Some(pb::WorkerConstraints::default()),
        ..pb::Op::default()
    };
    Node { op, inputs, ..Node::default() }
}

/// Actions one after the other on `base`.
fn files(graph: &mut Graph, base: Option<NodeOutput>, actions: Vec<Action>) -> NodeOutput {
    let last = actions.len() - 1;
    let mut next = if base.is_some() { 0 } else { -1 };
    let first = i64::from(base.is_some());
    let actions = actions.into_iter().enumerate().map(|(index, action)| {
        let input = std::mem::replace(&mut next, first + index as i64);
        let output = if index == last { 0 } else { -1 };
        pb::FileAction { input, secondary_input: -1, output, action: Some(action) }
    });
    let file = pb::FileOp { actions: actions.collect() };
    graph.add(op(pb::op::Op::File(file), base.into_iter().collect())).output()
}

fn make(path: &str, text: &str) -> Action {
    let data = text.as_bytes().to_vec().into();
    Action::Mkfile(pb::FileActionMkFile {
        path: path.into(),
        mode: 0o644,
        data,
        timestamp: 1,
        ..Default::default()
    })
}

fn folder(path: &str) -> Action {
    Action::Mkdir(pb::FileActionMkDir { path: path.into(), mode: 0o755, timestamp: 1, ..Default::default() })
}

fn remove(path: &str) -> Action {
    Action::Rm(pb::FileActionRm { path: path.into(), ..Default::default() })
}

fn merge(graph: &mut Graph, inputs: Vec<NodeOutput>) -> NodeOutput {
    let wire = (0..inputs.len()).map(|input| pb::MergeInput { input: input as i64 }).collect();
    graph.add(op(pb::op::Op::Merge(pb::MergeOp { inputs: wire }), inputs)).output()
}

fn diff(graph: &mut Graph, lower: NodeOutput, upper: Option<NodeOutput>) -> NodeOutput {
    let wire = pb::DiffOp {
        lower: Some(pb::LowerDiffInput { input: 0 }),
        // Equal inputs are listed once.
        upper: Some(pb::UpperDiffInput { input: upper.map_or(-1, |upper| i64::from(upper != lower)) }),
    };
    graph.add(op(pb::op::Op::Diff(wire), [lower].into_iter().chain(upper).collect())).output()
}

/// A tree, another made of it, and a third that has nothing to do with them.
fn trees(graph: &mut Graph) -> [NodeOutput; 3] {
    let lower = files(
        graph,
        None,
        vec![
            make("/keep", "k"),
            make("/gone", "g"),
            folder("/d"),
            make("/d/gone", "g"),
            make("/d/keep", "k"),
        ],
    );
    let upper = files(graph, Some(lower), vec![remove("/gone"), remove("/d/gone")]);
    let upper = files(graph, Some(upper), vec![make("/new", "n"), make("/keep", "changed")]);
    let other = files(
        graph,
        None,
        vec![make("/gone", "other"), folder("/d"), make("/d/gone", "other"), make("/mine", "m")],
    );
    [lower, upper, other]
}

/// Solves for `head` and lists `path` of it.
async fn names(guest: &mut guest::Guest, graph: &Graph, head: NodeOutput, path: &str) -> Result<Vec<String>> {
    let reference = guest.solve_graph(graph.definition(Some(head), &[])).await?;
    let request =
        wire::ReadDirRequest { dir_path: path.into(), r#ref: reference, ..wire::ReadDirRequest::default() };
    let found = guest.client.read_dir(request).await?.into_inner();
    Ok(found.entries.into_iter().map(|entry| entry.path).collect())
}

fn on_each_snapshotter(name: &'static str, test: impl AsyncFn(&mut guest::Guest) -> Result<()>) {
    for snapshotter in ["overlayfs", "native"] {
        let daemon = Daemon::start_with(DaemonOptions::arguments(&["--oci-worker-snapshotter", snapshotter]));
        guest::run(&daemon, name, &[], async |mut guest| {
            test(&mut guest).await?;
            guest.finish().await?;
            Ok(())
        });
        daemon.assert_idle();
    }
}

#[test]
fn a_difference_deletes_where_it_is_merged() {
    on_each_snapshotter("difference", async |guest| {
        let mut graph = Graph::new();
        let [lower, upper, other] = trees(&mut graph);
        let change = diff(&mut graph, lower, Some(upper));
        assert_eq!(names(guest, &graph, change, "/").await?, ["d", "keep", "new"]);
        assert!(names(guest, &graph, change, "/d").await?.is_empty());
        let merged = merge(&mut graph, vec![other, change]);
        assert_eq!(names(guest, &graph, merged, "/").await?, ["d", "keep", "mine", "new"]);
        assert!(names(guest, &graph, merged, "/d").await?.is_empty());
        Ok(())
    });
}

#[test]
fn differences_with_nothing() {
    on_each_snapshotter("nothing", async |guest| {
        let mut graph = Graph::new();
        let [lower, upper, other] = trees(&mut graph);
        let all = diff(&mut graph, lower, None);
        let emptied = merge(&mut graph, vec![upper, all]);
        assert_eq!(names(guest, &graph, emptied, "/").await?, ["new"]);
        let same = diff(&mut graph, lower, Some(lower));
        let merged = merge(&mut graph, vec![other, same]);
        assert_eq!(names(guest, &graph, merged, "/").await?, ["d", "gone", "mine"]);
        Ok(())
    });
}

#[test]
fn a_tree_may_be_merged_twice_and_onto_itself() {
    on_each_snapshotter("twice", async |guest| {
        let mut graph = Graph::new();
        let [lower, upper, other] = trees(&mut graph);
        let merged = merge(&mut graph, vec![lower, other, lower, other, upper]);
        assert_eq!(names(guest, &graph, merged, "/").await?, ["d", "keep", "mine", "new"]);
        let more = files(&mut graph, Some(merged), vec![make("/d/more", "x"), remove("/mine")]);
        let again = merge(&mut graph, vec![more, lower]);
        assert_eq!(names(guest, &graph, again, "/d").await?, ["gone", "keep", "more"]);
        assert_eq!(names(guest, &graph, again, "/").await?, ["d", "gone", "keep", "new"]);
        Ok(())
    });
}

#[test]
fn a_folder_that_was_replaced_hides_what_was_in_it_and_no_more() {
    on_each_snapshotter("replaced", async |guest| {
        let mut graph = Graph::new();
        let [lower, _, other] = trees(&mut graph);
        let other = files(&mut graph, Some(other), vec![make("/d/mine", "m")]);
        let replaced = files(&mut graph, Some(lower), vec![remove("/d"), folder("/d"), make("/d/new", "n")]);
        let merged = merge(&mut graph, vec![other, replaced]);
        assert_eq!(names(guest, &graph, merged, "/d").await?, ["mine", "new"]);
        // And a step on top sees it so, too.
        let more = files(&mut graph, Some(merged), vec![make("/d/more", "m")]);
        assert_eq!(names(guest, &graph, more, "/d").await?, ["mine", "more", "new"]);
        Ok(())
    });
}

#[test]
fn a_new_folder_hides_nothing_of_what_it_is_merged_onto() {
    on_each_snapshotter("folder", async |guest| {
        let mut graph = Graph::new();
        let other = files(&mut graph, None, vec![folder("/a"), folder("/a/b"), make("/a/b/mine", "m")]);
        let base = files(&mut graph, None, vec![folder("/a")]);
        let added = files(&mut graph, Some(base), vec![folder("/a/b"), make("/a/b/new", "n")]);
        let merged = merge(&mut graph, vec![other, added]);
        assert_eq!(names(guest, &graph, merged, "/a/b").await?, ["mine", "new"]);
        Ok(())
    });
}

/// What one step adds and the next removes is gone from what the difference is merged onto, too.
#[test]
fn a_difference_of_several_steps_is_all_of_them() {
    on_each_snapshotter("steps", async |guest| {
        let mut graph = Graph::new();
        let [lower, _, other] = trees(&mut graph);
        let added = files(&mut graph, Some(lower), vec![make("/mine", "m"), make("/new", "n")]);
        let removed = files(&mut graph, Some(added), vec![remove("/mine")]);
        let change = diff(&mut graph, lower, Some(removed));
        assert_eq!(names(guest, &graph, change, "/").await?, ["new"]);
        let merged = merge(&mut graph, vec![other, change]);
        assert_eq!(names(guest, &graph, merged, "/").await?, ["d", "gone", "new"]);
        Ok(())
    });
}

#[test]
fn inputs_are_handed_on() {
    on_each_snapshotter("handed", async |guest| {
        let mut graph = Graph::new();
        let [lower, _, other] = trees(&mut graph);
        let wire = pb::PassthroughOp { id: "p".into(), outputs: vec![1, 0] };
        let node = graph.add(op(pb::op::Op::Passthrough(wire), vec![lower, other]));
        let first = node.output();
        assert_eq!(names(guest, &graph, first, "/").await?, ["d", "gone", "mine"]);
        Ok(())
    });
}
