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
        ("targets", report.targets),
    ];
    for (name, count) in whole {
        assert_eq!(count.equal, count.all, "{name}:\n{differences}");
    }
    // Two files break a rule in the very words that fail to parse: the reference reports both. A third
    // has several findings in one line, which the reference's text shows in no particular order.
    for (name, count, unequal) in [("lint", report.lint, 3), ("warnings", report.warnings, 2)] {
        assert!(count.equal + unequal >= count.all, "{name}:\n{differences}");
    }
}
