//! `slipway du`: what the cache holds and how much room it takes.

use slipway_proto::control::control_client::ControlClient;
use slipway_proto::control::{DiskUsageRequest, UsageRecord};

use crate::arguments::{Connection, DuArguments};
use crate::connect::connect;
use crate::error::Failure;
use crate::filters::Filters;
use crate::format;

/// Some hundred thousand records.
const LARGEST: usize = 128 << 20;
/// Metadata of the answer: bytes of the state directory that are in no record.
const OVERHEAD: &str = "slipway-overhead";

pub async fn run(connection: &Connection, arguments: DuArguments) -> Result<(), Failure> {
    let filters = Filters::parse(&arguments.filter)?;
    let mut control = ControlClient::new(connect(connection).await?).max_decoding_message_size(LARGEST);
    let request = DiskUsageRequest { age_limit: filters.unused_for()?, filter: filters.server };
    let response = control.disk_usage(request).await?;
    let overhead = response.metadata().get(OVERHEAD).and_then(|bytes| bytes.to_str().ok()?.parse().ok());
    let mut records = response.into_inner().record;
    records.sort_by_key(|record| std::cmp::Reverse(record.size));
    if arguments.json {
        for record in &records {
            println!("{}", json(record));
        }
        return Ok(());
    }
    match arguments.verbose {
        true => records.iter().for_each(print_verbose),
        false => print_table(&records),
    }
    print_summary(&records);
    if let Some(overhead) = overhead.filter(|_| arguments.verbose) {
        println!("Not counted:\t{} (the database, the reserve, folders)", format::size(overhead));
    }
    Ok(())
}

pub fn print_table(records: &[UsageRecord]) {
    print_header();
    records.iter().for_each(print_row);
}

pub fn print_header() {
    println!("{:<28}{:<14}{:<12}{:<20}DESCRIPTION", "ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED");
}

pub fn print_row(record: &UsageRecord) {
    let id = format!("{}{}", record.id, if record.mutable { "*" } else { "" });
    let size = format!("{}{}", bytes(record.size), if record.shared { "*" } else { "" });
    let used = format::ago(record.last_used_at.or(record.created_at));
    println!("{id:<28}{:<14}{size:<12}{used:<20}{}", !record.in_use, record.description);
}

pub fn print_verbose(record: &UsageRecord) {
    println!("ID:\t\t{}", record.id);
    if !record.parents.is_empty() {
        println!("Parents:\t{}", record.parents.join(", "));
    }
    if let Some(created) = record.created_at {
        println!("Created at:\t{created}");
    }
    println!("Mutable:\t{}", record.mutable);
    println!("Reclaimable:\t{}", !record.in_use);
    println!("Shared:\t\t{}", record.shared);
    println!("Size:\t\t{}", bytes(record.size));
    println!("Description:\t{}", record.description);
    println!("Usage count:\t{}", record.usage_count);
    println!(
        "Last used:\t{}",
        record.last_used_at.map_or_else(|| "never".into(), |used| format::ago(Some(used)))
    );
    println!("Type:\t\t{}\n", record.record_type);
}

fn print_summary(records: &[UsageRecord]) {
    let sum = |wanted: fn(&UsageRecord) -> bool| {
        bytes(records.iter().filter(|record| wanted(record)).map(|record| record.size).sum())
    };
    println!("Shared:\t\t{}", sum(|record| record.shared));
    println!("Private:\t{}", sum(|record| !record.shared));
    println!("Reclaimable:\t{}", sum(|record| !record.in_use));
    println!("Total:\t\t{}", sum(|_| true));
}

pub fn bytes(size: i64) -> String {
    format::size(u64::try_from(size).unwrap_or(0))
}

fn json(record: &UsageRecord) -> serde_json::Value {
    serde_json::json!({
        "id": record.id,
        "createdAt": record.created_at.map(|time| time.to_string()),
        "lastUsedAt": record.last_used_at.map(|time| time.to_string()),
        "parents": record.parents,
        "mutable": record.mutable,
        "inUse": record.in_use,
        "shared": record.shared,
        "size": record.size,
        "description": record.description,
        "usageCount": record.usage_count,
        "type": record.record_type,
    })
}
