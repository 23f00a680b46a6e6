//! `slipway prune`: remove what nothing needs.

use std::io::{IsTerminal, Write};

use slipway_proto::control::PruneRequest;
use slipway_proto::control::control_client::ControlClient;

use crate::arguments::{Connection, PruneArguments};
use crate::connect::connect;
use crate::disk_usage::{print_header, print_row, print_verbose};
use crate::error::Failure;
use crate::filters::{Filters, duration};
use crate::format;

pub async fn run(connection: &Connection, arguments: PruneArguments) -> Result<(), Failure> {
    let filters = Filters::parse(&arguments.filter)?;
    let keep_duration = match arguments.keep_duration.as_deref() {
        Some(text) => duration("--keep-duration", text)?,
        None => filters.unused_for()?,
    };
    let request = PruneRequest {
        filter: filters.server,
        all: arguments.all,
        keep_duration,
        reserved_space: size("--reserved-space", arguments.reserved_space.as_deref())?,
        max_used_space: size("--max-used-space", arguments.max_used_space.as_deref())?,
        min_free_space: size("--min-free-space", arguments.min_free_space.as_deref())?,
    };
    if !arguments.force && std::io::stdin().is_terminal() && !confirmed()? {
        return Ok(());
    }
    let mut control = ControlClient::new(connect(connection).await?);
    let mut stream = control.prune(request).await?.into_inner();
    let mut total = 0;
    if !arguments.verbose {
        print_header();
    }
    // As it goes: much may take long.
    while let Some(record) = stream.message().await? {
        total += u64::try_from(record.size).unwrap_or(0);
        if arguments.verbose { print_verbose(&record) } else { print_row(&record) }
    }
    println!("Total:\t{}", format::size(total));
    Ok(())
}

fn confirmed() -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot ask: {error}"));
    eprint!("This removes all build cache that is not in use. Go on? [y/N] ");
    std::io::stderr().flush().map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn size(option: &str, text: Option<&str>) -> Result<i64, Failure> {
    let Some(text) = text else { return Ok(0) };
    let size = format::parse_size(text)
        .ok_or_else(|| Failure::usage(format!("{option} {text:?} is not a size: write for example 10GB")))?;
    Ok(i64::try_from(size).unwrap_or(i64::MAX))
}
