//! Recorded answers of the reference: bytes of operations, images, errors, requests, tables of the
//! parser. What other rooms compare with their part of the folder is run by `elsewhere`.

mod case;
mod compare;
mod elsewhere;
mod gateway;
mod request;
mod tables;

use std::path::{Path, PathBuf};

use anyhow::Context;

/// How many cases agree, and what differs in the others.
#[derive(Debug, Default)]
pub struct Report {
    pub llb: Count,
    pub image: Count,
    pub errors: Count,
    /// Answers to the request `frontend.lint`.
    pub lint: Count,
    /// Answers to the request `frontend.outline`.
    pub outline: Count,
    /// Answers to the request `frontend.targets`.
    pub targets: Count,
    /// Answers to the request `frontend.convertllb`, where some are recorded.
    pub convertllb: Count,
    /// Warnings sent while building.
    pub warnings: Count,
    /// Of `parser/`, by name.
    pub tables: Vec<(String, Count)>,
    /// `case: what`.
    pub differences: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub equal: usize,
    pub all: usize,
}

impl Count {
    fn add(&mut self, equal: bool) {
        self.all += 1;
        self.equal += usize::from(equal);
    }
}

/// The folder of recorded answers; `None` where it is absent.
pub fn folder() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    let folder = std::env::var_os("SLIPWAY_GOLDEN").map_or(default, PathBuf::from);
    folder.is_dir().then_some(folder)
}

#[allow(clippy::print_stdout)] // the report is what the task is for
pub fn run(wanted: Option<PathBuf>) -> anyhow::Result<()> {
    let folder =
        wanted.or_else(folder).context("no recorded answers: name their folder or set SLIPWAY_GOLDEN")?;
    let report = compare_all(&folder)?;
    let counts = [
        ("llb", report.llb),
        ("image", report.image),
        ("errors", report.errors),
        ("lint", report.lint),
        ("outline", report.outline),
        ("targets", report.targets),
        ("convertllb", report.convertllb),
        ("warnings", report.warnings),
    ];
    let counts = counts.into_iter().filter(|(_, count)| count.all > 0);
    for (name, Count { equal, all }) in counts {
        println!("{name}: {equal} of {all}");
    }
    for (name, Count { equal, all }) in &report.tables {
        println!("{name}: {equal} of {all}");
    }
    for line in elsewhere::run(&folder)? {
        println!("{line}");
    }
    let mut differences = report.differences;
    if folder.join("caches").is_dir() {
        let caches = slipway_tests::golden_caches::compare_all(&folder)?;
        println!("caches: {} of {}", caches.equal, caches.all);
        differences.extend(caches.differences);
    }
    for difference in differences {
        println!("  {difference}");
    }
    Ok(())
}

/// Runs every case of `folder/dockerfiles`.
pub fn compare_all(folder: &Path) -> anyhow::Result<Report> {
    let bases = case::read_json(&folder.join("bases.json"))?;
    let defaults = case::read_json(&folder.join("default-presolves.json"))?;
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder.join("dockerfiles"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    cases.sort();
    let mut report = Report::default();
    for path in cases.iter().filter(|path| path.is_dir()) {
        let case = case::Case::read(path)?;
        let outcome = case.run(&bases);
        compare::compare(&case, &outcome, &defaults, &mut report);
        let recorded =
            |request: &str| case::read_json(&folder.join(request).join(format!("{}.json", case.name))).ok();
        if let Some(expected) = recorded("outline") {
            let equal = request::compare_outline(&case, &bases, &expected, &mut report.differences);
            report.outline.add(equal);
        }
        if let Some(expected) = recorded("convertllb") {
            let equal = request::compare_graph(&case, &bases, &expected, &mut report.differences);
            report.convertllb.add(equal);
        }
        if let Ok(expected) = case::read_json(&folder.join("targets").join(format!("{}.json", case.name))) {
            request::compare_targets(&case, &bases, &expected, &mut report);
        }
        if let Ok(expected) = case::read_json(&folder.join("lint").join(format!("{}.json", case.name))) {
            request::compare(&case, &bases, &outcome.warnings, &expected, &mut report);
        }
    }
    tables::compare(folder, &mut report)?;
    Ok(report)
}
