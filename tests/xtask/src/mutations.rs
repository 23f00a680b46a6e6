//! The solver broken on purpose, once for each thing that a simple design gets wrong: every time some test must
//! fail. `solver/tests/solver/main.rs` has the table of points and tests; this says whether it is true.
//!
//! Each mutation is one replacement in a copy of the workspace; nothing of the checkout is touched. A text that is
//! not there any more, or a copy that does not compile, fails the command: the list follows the code.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use slipway_tests::command::{self, output, target, workspace};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only those of this point
    #[arg(long)]
    point: Option<u32>,
}

struct Mutation {
    /// As in the table.
    point: u32,
    what: &'static str,
    /// Below `solver/src`.
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn mutation(
    point: u32,
    what: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutation {
    Mutation { point, what, file, from, to }
}

#[rustfmt::skip]
const MUTATIONS: &[Mutation] = &[
    mutation(1, "what is asked is dropped when the answer is clear", "resolve/search.rs",
        "return Ok((self.judge(candidates), Probes { _under_way: under_way, _wanted: wanted }));",
        "drop((under_way, wanted)); return Ok((self.judge(candidates), Probes::default()));"),
    mutation(2, "in the store before in memory", "resolve/save.rs",
        "self.node.hold_load(self.node.board.serve_from_memory(&record.id, &found));", "drop(found);"),
    mutation(3, "a finished edge offers no keys", "resolve/mod.rs",
        "return Ok(done.lookup_keys().to_vec());", "drop(done);"),
    mutation(4, "what a forced run made is looked up through its keys", "load.rs",
        "if self.fresh.is_some() { &[] } else { &self.keys }", "&self.keys"),
    mutation(5, "forced joins unforced", "board.rs",
        "if forced { None } else { flights.get(&(*key, false)) }", "flights.get(&(*key, false))"),
    mutation(5, "unforced does not join forced", "board.rs",
        "flights.get(&(*key, true)).into_iter()", "flights.get(&(*key, true)).filter(|_| forced).into_iter()"),
    mutation(6, "inputs known by their definition are pushed on", "resolve/search.rs",
        "!found.is_empty() && push == Push::UntilFound", "!found.is_empty() && push == Push::UntilFound && false"),
    mutation(7, "a content match teaches nothing", "records/sources.rs",
        "found.difference(led).for_each(|to| self.link(&seen.key, &link(seen), to));", "let _ = (seen, led);"),
    mutation(8, "content keys are seen through selectors", "resolve/search.rs",
        "Seen { key, selector: None }));", "Seen { key, selector: self.selector }));"),
    mutation(9, "a root is saved under its first name only", "resolve/save.rs", "if !map.more {", "if true {"),
    mutation(9, "a root is asked for all its names", "resolve/search.rs",
        "if !found.records.is_empty() || !map.more {", "if !map.more {"),
    mutation(10, "only the newest record is tried", "resolve/load.rs",
        "for record in records {", "for record in records.into_iter().take(1) {"),
    mutation(10, "a failed load is tried again", "resolve/load.rs",
        "if let Some(failed) = load.outcome.failure() {", "if let Some(failed) = None::<Error> {"),
    mutation(11, "who says cancelled is started again", "call.rs",
        "Err(_) if stop.is_cancelled() => Err(Error::Cancelled),",
        "Err(failure) if stop.is_cancelled() || failure.to_string() == \"cancelled\" => Err(Error::Cancelled),"),
    mutation(12, "a sub-build joins its parent", "board.rs", "!flight_needs(flight, node)", "true"),
    mutation(13, "a key without a record leads nowhere", "resolve/search.rs",
        "found.keys.push(key);", "if !found.records.is_empty() { found.keys.push(key); }"),
    mutation(14, "session-bound roots are kept", "resolve/search.rs",
        "if self.persistent { key } else { key.bound_to_session() }", "key"),
    mutation(17, "what is lost comes back under another key", "node.rs",
        "outcome.keys[..=place].rotate_right(1);", "let _ = place;"),
    mutation(17, "lazy inputs stay lazy", "resolve/realize.rs",
        "let Some(prepare) = map.inputs[input].prepare.clone() else { return Ok(()) };",
        "let Some(prepare) = map.inputs[input].prepare.clone().filter(|_| false) else { return Ok(()) };"),
    mutation(17, "what is lost fails the build", "resolve/realize.rs",
        "Some(loaded)) if is_lost(&source)", "Some(loaded)) if is_lost(&source) && false"),
    mutation(18, "a limit is held while waiting for a sub-build", "board.rs",
        "flight.permit.give_back_during(flight, child.result(edge.output))", "child.result(edge.output)"),
    mutation(19, "only a vertex's own options are seen", "node.rs",
        "level = inputs.filter(|node| seen.insert(std::ptr::from_ref(*node))).collect();",
        "level = inputs.filter(|node| seen.insert(std::ptr::from_ref(*node)) && false).collect();"),
    mutation(20, "shared work has the sessions of one job", "flight.rs",
        "members.iter().flat_map(|node| node.live_jobs())", "members.iter().flat_map(|node| node.live_jobs()).take(1)"),
    mutation(21, "unseen inputs are told nothing of", "progress/stream.rs",
        "self.skip_inputs(&event, at, &mut told);", ""),
    mutation(21, "what is cut short was cached", "progress/stream.rs",
        "let fine = self.solved.is_some() || self.event.cached;", "let fine = true;"),
    mutation(22, "errors are forgotten", "memo.rs",
        "outcome => Slot::Done(outcome),", "Err(_) => Slot::Idle, outcome => Slot::Done(outcome),"),
    mutation(22, "cancellations are remembered", "memo.rs",
        "Err(Error::Cancelled) if stop.token.is_cancelled() => Slot::Idle,", ""),
];

pub fn run(arguments: &Arguments) -> Result<()> {
    let copy = target().join("mutations");
    copy_workspace(&copy)?;
    let wanted = |mutation: &&Mutation| arguments.point.is_none_or(|point| mutation.point == point);
    let mut survived = Vec::new();
    for mutation in MUTATIONS.iter().filter(wanted) {
        let told =
            try_one(&copy, mutation).with_context(|| format!("{}: {}", mutation.point, mutation.what))?;
        println!("{:>2} {}: {}", mutation.point, mutation.what, told.as_deref().unwrap_or("NO TEST FAILS"));
        if told.is_none() {
            survived.push(mutation.what);
        }
    }
    ensure!(survived.is_empty(), "no test notices: {survived:?}");
    Ok(())
}

/// The first test that fails, if one does.
fn try_one(copy: &Path, mutation: &Mutation) -> Result<Option<String>> {
    let path = copy.join("solver/src").join(mutation.file);
    let text = fs::read_to_string(&path)?;
    ensure!(text.contains(mutation.from), "{} does not hold {:?}", mutation.file, mutation.from);
    fs::write(&path, text.replacen(mutation.from, mutation.to, 1))?;
    let told = test(copy);
    fs::write(&path, text)?;
    told
}

fn test(copy: &Path) -> Result<Option<String>> {
    let cargo = |more: &[&str]| {
        let mut cargo = command::cargo();
        cargo.current_dir(copy).env("CARGO_TARGET_DIR", target()).env("RUSTFLAGS", "--cap-lints=warn");
        cargo.args(["test", "--quiet", "--profile", "schedules", "--package", "slipway-solver"]);
        cargo.args(["--lib", "--test", "solver"]).args(more);
        cargo
    };
    output(&mut cargo(&["--no-run"])).context("a mutation does not compile")?;
    // Some mutations hang.
    let mut limited = Command::new("timeout");
    limited.arg("120").arg("cargo").args(cargo(&["--no-fail-fast"]).get_args());
    limited.current_dir(copy).env("CARGO_TARGET_DIR", target()).env("RUSTFLAGS", "--cap-lints=warn");
    limited.env("SLIPWAY_SCHEDULES", "2000").env("SLIPWAY_SEED", "0");
    let run = limited.stdin(Stdio::null()).output()?;
    if run.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let failed = said.lines().skip_while(|line| *line != "failures:").find(|line| line.starts_with("    "));
    match (failed, run.status.code()) {
        (Some(test), _) => Ok(Some(test.trim().to_owned())),
        (None, Some(124)) => Ok(Some("hangs".to_owned())),
        (None, code) => bail!("the tests ended with {code:?}: {}", String::from_utf8_lossy(&run.stderr)),
    }
}

/// What git knows, as it is in the checkout now.
fn copy_workspace(copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    let mut list = Command::new("git");
    list.current_dir(workspace()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    for name in output(&mut list)?.lines() {
        let from = workspace().join(name);
        if !from.is_file() {
            continue;
        }
        let to = copy.join(name);
        fs::create_dir_all(to.parent().unwrap_or(copy))?;
        fs::copy(&from, &to)?;
    }
    Ok(())
}
