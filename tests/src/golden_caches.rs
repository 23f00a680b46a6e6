//! Caches that BuildKit exported, imported here: which steps must hit, and which must not.
//!
//! `caches/NAME` of the recorded data holds a context, the cache as it was written, and what BuildKit itself
//! found in it, unchanged and with small changes (`run.json`). Every build here has a daemon of its own, which
//! knows nothing but that cache.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Daemon, Project};

/// How many steps hit, or ran, as they should.
#[derive(Debug, Default)]
pub struct Compared {
    pub equal: usize,
    pub all: usize,
    /// `cache, change: step`
    pub differences: Vec<String>,
}

/// Builds from every cache below `folder`, the recorded data.
pub fn compare_all(folder: &Path) -> Result<Compared> {
    let caches = folder.join("caches");
    let base = caches.join("base-busybox");
    let mut compared = Compared::default();
    let mut folders: Vec<_> = fs::read_dir(&caches)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    folders.retain(|folder| folder.join("run.json").exists());
    folders.sort();
    for folder in folders {
        let text = fs::read(folder.join("run.json"))?;
        let recorded: Value = serde_json::from_slice(&text)?;
        let digest = recorded["baseDigest"].as_str().context("no digest of the base image")?;
        let cache = Project::empty();
        copy(&folder.join("cache"), cache.path())?;
        copy(&base.join("blobs"), &cache.join("blobs"))?;
        let import = import(&recorded, cache.path());
        let busybox = format!("busybox=oci-layout://{}@{digest}", base.display());
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let unchanged = [&recorded["importRunOnFreshRoot"]];
        for run in unchanged.into_iter().chain(recorded["mutations"].as_array().into_iter().flatten()) {
            let project = Project::empty();
            copy(&folder.join("context"), project.path())?;
            change(&project, run)?;
            compare(&name, run, &project, &[&busybox, &import], &mut compared)?;
        }
    }
    Ok(compared)
}

/// `type=local,…` as it was recorded, for the copy in `cache`.
fn import(recorded: &Value, cache: &Path) -> String {
    let options = recorded["importOptions"].as_array().into_iter().flatten();
    let option = options.filter_map(Value::as_str).find(|option| option.starts_with("type=local"));
    let digest = option.and_then(|option| option.split_once(",digest=")).map(|(_, digest)| digest);
    let digest = digest.map(|digest| format!(",digest={digest}")).unwrap_or_default();
    format!("type=local,src={}{digest}", cache.display())
}

fn change(project: &Project, run: &Value) -> Result<()> {
    for (path, text) in run["contextDiff"].as_object().into_iter().flatten() {
        project.write(path, text.as_str().context("a changed file is not text")?);
    }
    let file = project.join("a.txt");
    match run["name"].as_str() {
        Some("mtime-changed") => {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
            File::options().write(true).open(file)?.set_modified(time)?;
        }
        Some("mode-changed") => fs::set_permissions(file, Permissions::from_mode(0o600))?,
        _ => {}
    }
    Ok(())
}

fn compare(
    name: &str,
    run: &Value,
    project: &Project,
    [busybox, import]: &[&String; 2],
    compared: &mut Compared,
) -> Result<()> {
    let (daemon, out) = (Daemon::start(), Project::empty());
    let build = daemon.build(project).args(["--build-context", busybox, "--cache-from", import]);
    let build = build.args(["--build-arg", "SOURCE_DATE_EPOCH=1700000000"]);
    let outcome = build.output(format!("type=oci,dest={}", out.join("image.tar").display())).succeed();
    let progress = outcome.progress();
    let (cached, ran) = (progress.cached(), progress.ran());
    let change = run["name"].as_str().unwrap_or("unchanged");
    for step in run["steps"].as_array().context("no steps")? {
        let has_inputs = step["inputs"].as_array().is_some_and(|inputs| !inputs.is_empty());
        let step_name = step["name"].as_str().unwrap_or_default();
        if !has_inputs || !step_name.starts_with('[') {
            continue;
        }
        let expected = step["cached"].as_bool().unwrap_or_default();
        let is_equal = if expected { cached.contains(&step_name) } else { ran.contains(&step_name) };
        compared.all += 1;
        compared.equal += usize::from(is_equal);
        if !is_equal {
            let wanted = if expected { "should be cached" } else { "should run" };
            compared.differences.push(format!("{name}, {change}: {step_name} {wanted}"));
        }
    }
    Ok(())
}

/// Folders and files, writable whatever the original is.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::set_permissions(&target, Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}
