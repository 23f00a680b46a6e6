//! Graphs, images and errors against recorded answers of the reference, whole builds at a time.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a test: both end in its report

use xtask::golden;

/// The counts that were reached; fewer is a regression.
#[test]
fn builds_are_those_of_the_reference() {
    let Some(folder) = golden::folder() else {
        println!("skipped: no recorded answers");
        return;
    };
    let report = golden::compare_all(&folder).unwrap();
    let differences = report.differences.join("\n");
    let whole = [
        ("llb", report.llb),
        ("image", report.image),
        ("errors", report.errors),
        ("lint", report.lint),
        ("outline", report.outline),
        ("targets", report.targets),
        ("warnings", report.warnings),
    ];
    let tables = report.tables.iter().map(|(name, count)| (name.as_str(), *count));
    for (name, count) in whole.into_iter().chain(tables) {
        assert_eq!(count.equal, count.all, "{name}:\n{differences}");
    }
}
