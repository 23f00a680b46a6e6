//! What every executor keeps, run on each of them; an OCI runtime that is not installed is skipped.

#[cfg(test)]
mod laws {
    mod confinement;
    mod ending;
    mod environment;
    mod harness;
    mod hostile;
    mod mounts;
    mod users;
}

slipway_run::run_helper_before_main!();
