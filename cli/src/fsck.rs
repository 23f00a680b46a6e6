//! `slipway debug fsck`: checks the files of a stopped daemon.

use slipway_daemon::check::check;

use crate::arguments::{Connection, FsckArguments};
use crate::connect;
use crate::error::Failure;

/// A finding for each line on standard output; what is to be known of them all goes to standard error.
pub fn run(connection: &Connection, arguments: &FsckArguments) -> Result<(), Failure> {
    let root = connect::state_directory(connection)?;
    let checked = check(&root, arguments.deep).map_err(|error| Failure {
        exit_code: if error.is_locked() { connect::EXIT_LOCKED } else { 2 },
        ..Failure::new(error.to_string())
    })?;
    for finding in &checked.findings {
        if arguments.json {
            let line = serde_json::to_string(finding).map_err(|error| Failure::new(error.to_string()))?;
            println!("{line}");
        } else {
            println!("{finding}");
        }
    }
    if checked.unclean {
        eprintln!("The last daemon was cut off: the next one tidies up what it left behind.");
    }
    match checked.findings.len() {
        0 => Ok(()),
        1 => Err(Failure::new(format!("1 finding in {}", root.display()))),
        count => Err(Failure::new(format!("{count} findings in {}", root.display()))),
    }
}
