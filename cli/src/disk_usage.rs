//! `slipway du`: what the cache holds and how much room it takes.

use slipway_proto::control::control_client::ControlClient;
use slipway_proto::control::{DiskUsageRequest, UsageRecord};

use crate::arguments::{Connection, DuArguments};
use crate::connect::connect;
use crate::error::Failure;
use crate::format;

pub async fn run(connection: &Connection, arguments: DuArguments) -> Result<(), Failure> {
    let mut control = ControlClient::new(connect(connection).await?);
    let request = DiskUsageRequest { filter: arguments.filter, ..DiskUsageRequest::default() };
    let mut records = control.disk_usage(request).await?.into_inner().record;
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
    Ok(())
}

pub fn print_table(records: &[UsageRecord]) {
    println!("{:<28}{:<14}{:<12}{:<20}DESCRIPTION", "ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED");
    for record in records {
        let id = format!("{}{}", record.id, if record.mutable { "*" } else { "" });
        let size = format!("{}{}", bytes(record.size), if record.shared { "*" } else { "" });
        let used = record.last_used_at.or(record.created_at).map(ago).unwrap_or_default();
        println!("{id:<28}{:<14}{size:<12}{used:<20}{}", !record.in_use, record.description);
    }
}

fn print_verbose(record: &UsageRecord) {
    println!("ID:\t\t{}", record.id);
    if !record.parents.is_empty() {
        println!("Parents:\t{}", record.parents.join(", "));
    }
    println!("Mutable:\t{}", record.mutable);
    println!("Reclaimable:\t{}", !record.in_use);
    println!("Shared:\t\t{}", record.shared);
    println!("Size:\t\t{}", bytes(record.size));
    println!("Description:\t{}", record.description);
    println!("Usage count:\t{}", record.usage_count);
    println!("Last used:\t{}", record.last_used_at.map(ago).unwrap_or_else(|| "never".into()));
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

fn ago(time: prost_types::Timestamp) -> String {
    let Ok(time) = std::time::SystemTime::try_from(time) else { return String::new() };
    let seconds = time.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds} seconds ago"),
        60..3600 => format!("{} minutes ago", seconds / 60),
        3600..86400 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86400),
    }
}

fn json(record: &UsageRecord) -> serde_json::Value {
    serde_json::json!({
        "id": record.id,
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
