//! A line for each build.

use slipway_proto::control::BuildHistoryRecord;

use super::{duration, inspect, status};
use crate::format;

pub(super) fn print(records: &[BuildHistoryRecord], json: bool) {
    if json {
        records.iter().for_each(|record| println!("{}", inspect::json(record)));
        return;
    }
    println!("{:<28}{:<12}{:<12}{:<12}{:<16}TARGET", "BUILD", "STATUS", "STEPS", "DURATION", "CREATED");
    for record in records {
        let name = format!("{}{}", record.r#ref, if record.pinned { "*" } else { "" });
        let steps = format!("{}/{}", record.num_completed_steps, record.num_total_steps);
        let (took, created) = (format::seconds(duration(record)), format::ago(record.created_at));
        println!(
            "{name:<28}{:<12}{steps:<12}{took:<12}{created:<16}{}",
            status(record),
            inspect::target(record)
        );
    }
}
