//! The last step: the environment, the search for the command, `execve`.
//!
//! What goes wrong is told in runc's words, since those are what users look up.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::fs::{Access, AtFlags, CWD};

use crate::NotStarted;

/// Replaces this process by the command. Returns only the reason why not.
pub(super) fn execute(args: &[String], env: &[String], home: &str) -> NotStarted {
    let Some(command) = args.first() else {
        return not_started("exec: no command".into(), io::ErrorKind::NotFound);
    };
    let env = environment(env, home);
    let path = match search(command, &env) {
        Ok(path) => path,
        Err(reason) => return reason,
    };
    let error = replace_process(&path, args, &env);
    not_started(format!("exec {}: {}", path.display(), describe(&error)), error.kind())
}

/// The last of equal names wins, in the place of the first; `HOME` is added where it is missing or empty.
pub(super) fn environment(entries: &[String], home: &str) -> Vec<String> {
    let name = |entry: &str| entry.split_once('=').map_or(entry, |(name, _)| name).to_owned();
    let mut env: Vec<String> = Vec::with_capacity(entries.len() + 1);
    let mut set = |entry: &String| match env.iter_mut().find(|earlier| name(earlier) == name(entry)) {
        Some(earlier) => earlier.clone_from(entry),
        None => env.push(entry.clone()),
    };
    entries.iter().filter(|entry| entry.contains('=')).for_each(&mut set);
    if !entries.iter().any(|entry| entry.strip_prefix("HOME=").is_some_and(|value| !value.is_empty())) {
        set(&format!("HOME={home}"));
    }
    env
}

/// A path as it is; a name in the directories of `PATH` (relative ones are not searched).
fn search(command: &str, env: &[String]) -> Result<PathBuf, NotStarted> {
    if command.contains('/') {
        return match check(Path::new(command)) {
            Ok(()) => Ok(command.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_started(
                format!("exec: {command:?}: stat {command}: {}", describe(&error)),
                error.kind(),
            )),
            Err(error) => Err(not_started(format!("exec: {command:?}: {}", describe(&error)), error.kind())),
        };
    }
    let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let candidates = path.split(':').filter(|directory| directory.starts_with('/'));
    let mut candidates = candidates.map(|directory| Path::new(directory).join(command));
    candidates.find(|candidate| check(candidate).is_ok()).ok_or_else(|| {
        not_started(format!("exec: {command:?}: executable file not found in $PATH"), io::ErrorKind::NotFound)
    })
}

/// A file that the user may execute.
fn check(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}

fn replace_process(path: &Path, args: &[String], env: &[String]) -> io::Error {
    let strings = |strings: &[String]| {
        strings.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>()
    };
    let (path, args, env) = match (CString::new(path.as_os_str().as_bytes()), strings(args), strings(env)) {
        (Ok(path), Ok(args), Ok(env)) => (path, args, env),
        _ => return io::ErrorKind::InvalidInput.into(),
    };
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    default_signals();
    // SAFETY: both arrays end with a null pointer and, like the strings, outlive the call.
    unsafe { libc::execve(path.as_ptr(), pointers(&args).as_ptr(), pointers(&env).as_ptr()) };
    io::Error::last_os_error()
}

/// What is ignored or blocked here stays so in `execve`; and Rust's runtime ignores `SIGPIPE`, without which
/// `yes | head` would never end.
fn default_signals() {
    // SAFETY: a set of signals is plain memory that `sigemptyset` fills in; no handler of ours is lost, as the
    // process becomes another.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            // The C library keeps some for itself and the kernel two: they refuse, and need nothing.
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        // Fails only for an unknown first argument.
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
    }
}

fn not_started(message: String, kind: io::ErrorKind) -> NotStarted {
    let missing = matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    NotStarted { message, code: if missing { 127 } else { 126 } }
}

/// As C has it: in small letters and without the number.
fn describe(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "is a directory".into(),
        _ => error.to_string(),
    };
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_deduplicated_and_has_a_home() {
        let env = |entries: &[&str]| {
            environment(&entries.iter().map(|entry| entry.to_string()).collect::<Vec<_>>(), "/home/app")
        };
        assert_eq!(env(&["A=1", "B=2", "A=3", "junk"]), ["A=3", "B=2", "HOME=/home/app"]);
        assert_eq!(env(&["HOME=/x"]), ["HOME=/x"]);
        assert_eq!(env(&["HOME="]), ["HOME=/home/app"]);
    }
}
