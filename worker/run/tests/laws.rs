//! What every executor keeps, run on each of them; an OCI runtime that is not installed is skipped.

#[cfg(test)]
mod laws {
    mod confinement;
    mod devices;
    mod ending;
    mod environment;
    mod faults;
    mod harness;
    mod hostile;
    mod joining;
    mod mounts;
    mod networks;
    mod users;
}

slipway_run::run_helper_before_main!();
