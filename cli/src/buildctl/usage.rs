//! `buildctl du` and `buildctl prune`.

use serde_json::Value;
use slipway_daemon::gc::KeepDuration;
use slipway_proto::control::{DiskUsageRequest, PruneRequest, UsageRecord};

use super::flags::{Connection, DuFlags, PruneFlags};
use super::json;
use super::template::Template;
use crate::disk_usage::bytes;
use crate::error::Failure;

pub async fn disk_usage(connection: &Connection, flags: DuFlags) -> Result<(), Failure> {
    let template = flags.format.template()?;
    let filtered = !flags.filter.is_empty();
    let request = DiskUsageRequest { filter: flags.filter, ..DiskUsageRequest::default() };
    let mut records = connection.control().await?.disk_usage(request).await?.into_inner().record;
    records.sort_by_key(|record| std::cmp::Reverse(record.size));
    if let Some(template) = template {
        let all = Value::Array(records.iter().map(json::usage).collect());
        println!("{}", template.render(&all));
        return Ok(());
    }
    if flags.verbose {
        records.iter().for_each(print_all);
    } else {
        print_head();
        records.iter().for_each(print_row);
    }
    if !filtered {
        print_sums(&records);
    }
    Ok(())
}

pub async fn prune(connection: &Connection, flags: PruneFlags) -> Result<(), Failure> {
    let template = flags.format.template()?;
    let keep_duration = match flags.keep_duration.as_deref() {
        None => 0,
        Some(text) => {
            let duration: KeepDuration = text
                .parse()
                .map_err(|_| Failure::usage(format!("--keep-duration {text:?}: write for example 24h")))?;
            i64::try_from(duration.0.as_nanos()).unwrap_or(i64::MAX)
        }
    };
    let request = PruneRequest {
        filter: flags.filter,
        all: flags.all,
        keep_duration,
        reserved_space: megabytes(flags.keep_storage_min),
        max_used_space: megabytes(flags.keep_storage),
        min_free_space: megabytes(flags.free_storage),
    };
    let mut stream = connection.control().await?.prune(request).await?.into_inner();
    let (mut total, mut first) = (0, true);
    while let Some(record) = stream.message().await? {
        total += record.size;
        match &template {
            Some(template) => println!("{}", template.render(&json::usage(&record))),
            None if flags.verbose => print_all(&record),
            None => {
                if std::mem::take(&mut first) {
                    print_head();
                }
                print_row(&record);
            }
        }
    }
    if template.is_none() {
        println!("Total:\t{}", bytes(total));
    }
    Ok(())
}

fn megabytes(amount: f64) -> i64 {
    (amount * 1e6) as i64
}

fn print_head() {
    println!("{:<72}{:<12}\tSIZE\tLAST ACCESSED", "ID", "RECLAIMABLE");
}

fn print_row(record: &UsageRecord) {
    let id = format!("{}{}", record.id, if record.mutable { "*" } else { "" });
    let size = format!("{}{}", bytes(record.size), if record.shared { "*" } else { "" });
    println!("{id:<72}{:<12}\t{size}\t", !record.in_use);
}

fn print_all(record: &UsageRecord) {
    println!("ID:\t\t{}", record.id);
    if !record.parents.is_empty() {
        println!("Parents:\t{}", record.parents.join(";"));
    }
    println!("Created at:\t{}", record.created_at.and_then(json::rfc3339).unwrap_or_default());
    println!("Mutable:\t{}", record.mutable);
    println!("Reclaimable:\t{}", !record.in_use);
    println!("Shared:\t\t{}", record.shared);
    println!("Size:\t\t{}", bytes(record.size));
    if !record.description.is_empty() {
        println!("Description:\t{}", record.description);
    }
    println!("Usage count:\t{}", record.usage_count);
    if let Some(used) = record.last_used_at.and_then(json::rfc3339) {
        println!("Last used:\t{used}");
    }
    if !record.record_type.is_empty() {
        println!("Type:\t\t{}", record.record_type);
    }
    println!();
}

fn print_sums(records: &[UsageRecord]) {
    let sum = |wanted: fn(&UsageRecord) -> bool| -> i64 {
        records.iter().filter(|record| wanted(record)).map(|record| record.size).sum()
    };
    let (total, shared) = (sum(|_| true), sum(|record| record.shared));
    if shared > 0 {
        println!("Shared:\t\t{}\nPrivate:\t{}", bytes(shared), bytes(total - shared));
    }
    println!("Reclaimable:\t{}", bytes(sum(|record| !record.in_use)));
    println!("Total:\t\t{}", bytes(total));
}

impl super::flags::Format {
    pub fn template(&self) -> Result<Option<Template>, Failure> {
        self.format.as_deref().filter(|text| !text.is_empty()).map(Template::parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_in_megabytes() {
        assert_eq!(megabytes(1.5), 1_500_000);
        assert_eq!(bytes(megabytes(1.5)), "1.50MB");
    }
}
