//! What was answered before, for when nobody answers: in the metadata database, as long as it is young enough.
//!
//! Images have tables of their own ([`super::image`]), and files of web servers are remembered with the snapshot that
//! holds them ([`super::http`]). Questions may hold addresses with passwords, so only their digests are kept.

use std::time::Duration;

use slipway_model::Digest;
use slipway_solver::OpContext;
use slipway_solver::progress::Warning;
use slipway_store::Store;

use crate::Value;

/// How long a server has to answer if what it said last is remembered. It is used then, with a warning.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Rows beyond this many go, the oldest first.
const MOST: u64 = 8192;

const STEPS: &[&str] = &["
    CREATE TABLE source_answer (
        question TEXT NOT NULL UNIQUE,
        answer TEXT NOT NULL
    );
"];

/// Cheap to clone.
#[derive(Clone)]
pub struct Answers(Store);

impl Answers {
    /// Brings the table up to date. Blocks.
    pub fn open(store: Store) -> slipway_store::Result<Self> {
        store.metadata().migrate("source-answers", STEPS)?;
        Ok(Self(store))
    }

    /// What was answered last. A row that cannot be read is as good as none.
    pub(crate) fn last(&self, question: &str) -> slipway_store::Result<Option<String>> {
        self.0.metadata().with(|db| {
            let mut statement = db.prepare_cached("SELECT answer FROM source_answer WHERE question = ?1")?;
            let mut rows = statement.query([name(question)])?;
            Ok(rows.next()?.and_then(|row| row.get(0).ok()))
        })
    }

    /// Writes nothing if that is known.
    pub(crate) fn note(&self, question: &str, answer: &str) -> slipway_store::Result<()> {
        if self.last(question)?.as_deref() == Some(answer) {
            return Ok(());
        }
        self.0.metadata().with(|db| {
            let insert = "INSERT OR REPLACE INTO source_answer (question, answer) VALUES (?1, ?2)";
            db.execute(insert, (name(question), answer))?;
            let trim = "DELETE FROM source_answer WHERE rowid <= (SELECT max(rowid) FROM source_answer) - ?1";
            db.execute(trim, [MOST])?;
            Ok(())
        })
    }
}

fn name(question: &str) -> String {
    Digest::of(question).hex().to_owned()
}

/// Tells those who wait for `ctx` that something is not as fresh as they might think.
pub(crate) fn warn(ctx: &OpContext<Value>, text: Option<&str>) {
    if let Some(text) = text {
        ctx.warn(Warning { level: 1, short: text.to_owned().into(), ..Warning::default() });
    }
}
