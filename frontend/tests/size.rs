//! Large files: what they cost grows with them, not with their square.
//!
//! Work is counted in bytes allocated, which no clock and no other process can disturb: doubling a file
//! must not do much more than double them.

mod memory;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use memory::{dockerfile, run};

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends allocates without its counter.
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated(file: &str) -> usize {
    let memory = dockerfile(file);
    let before = ALLOCATED.with(Cell::get);
    let outcome = run(&memory, &[]);
    assert!(outcome.is_ok() || outcome.is_err_and(|error| !error.message.is_empty()));
    ALLOCATED.with(Cell::get) - before
}

/// `make` gives a file of a size.
#[track_caller]
fn grows_as_the_file(size: usize, make: impl Fn(usize) -> String) {
    let (half, whole) = (allocated(&make(size / 2)), allocated(&make(size)));
    assert!(whole < half * 3, "{whole} bytes for a file twice as large as one of {half}");
}

#[test]
fn many_variables() {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    grows_as_the_file(20_000, |count| format!("FROM a\n{}", lines(count, &|i| format!("ENV V{i}=x\n"))));
    grows_as_the_file(20_000, |count| {
        format!("FROM a\n{}RUN x\n", lines(count, &|i| format!("ARG V{i}=x\n")))
    });
    grows_as_the_file(20_000, |count| {
        format!("{}FROM a\n", lines(count, &|i| format!("ARG V{i}=x$V{}\n", i / 2)))
    });
    grows_as_the_file(20_000, |count| format!("FROM a\n{}", lines(count, &|i| format!("LABEL L{i}=x\n"))));
}

#[test]
fn many_stages() {
    let stages = |count: usize, stage: &dyn Fn(usize) -> String| (1..=count).map(stage).collect::<String>();
    let in_a_row = |i: usize| format!("FROM s{} AS s{i}\nRUN x\n", i - 1);
    grows_as_the_file(2_000, |count| format!("FROM a AS s0\n{}", stages(count, &in_a_row)));
    let apart = |i: usize| format!("FROM a AS s{i}\nCOPY --from=s{} x /\n", i - 1);
    grows_as_the_file(2_000, |count| format!("FROM a AS s0\n{}", stages(count, &apart)));
    let named = |i: usize| format!("FROM s0 AS s{i}\nENV A{i}=x\n");
    grows_as_the_file(2_000, |count| format!("FROM a AS s0\n{}", stages(count, &named)));
}

#[test]
fn much_of_anything() {
    for line in
        ["RUN --mount=type=cache,target=/c true\n", "COPY a b c/\n", "EXPOSE 80\n", "# comment\n", "RUNN\n"]
    {
        grows_as_the_file(1 << 17, |size| format!("FROM a\n{}", line.repeat(size / line.len())));
    }
    grows_as_the_file(1 << 17, |size| format!("FROM a\nRUN {}x\n", "a \\\n".repeat(size / 4)));
    grows_as_the_file(1 << 17, |size| format!("FROM a\nCOPY <<E /\n{}E\n", "$a'\"\n".repeat(size / 5)));
    grows_as_the_file(60_000, |size| format!("FROM a\nENV A={}\n", "${B:-".repeat(size / 5)));
    grows_as_the_file(1 << 17, |size| "\u{feff}FROM a\r\n\u{fffd}".repeat(size / 13));
}

#[test]
fn the_largest_are_answered() {
    let arguments: String = (0..100_000).map(|i| format!("ARG V{i}=x\n")).collect();
    assert!(run(&dockerfile(&format!("{arguments}FROM a\n")), &[]).is_ok());
    let stages: String = (1..=10_000).map(|i| format!("FROM s{} AS s{i}\nUSER x\n", i - 1)).collect();
    assert!(run(&dockerfile(&format!("FROM a AS s0\n{stages}")), &[]).is_ok());
    let megabyte = "EXPOSE 80\n".repeat((1 << 20) / 10);
    assert!(run(&dockerfile(&format!("FROM a\n{megabyte}")), &[]).is_ok());
    let errors = "RUNN\n".repeat((1 << 20) / 5);
    let error = run(&dockerfile(&format!("FROM a\n{errors}")), &[]).unwrap_err();
    assert!(error.diagnostics.len() > 10);
}

/// Small files that would become very large ones: each command lists all variables, each stage takes over all
/// of its base.
#[test]
fn what_multiplies_is_refused() {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let variables = lines(20_000, &|i| format!("ENV V{i}=x\n"));
    let arguments = lines(20_000, &|i| format!("ARG V{i}=x\n"));
    let heirs = lines(20_000, &|i| format!("FROM s AS s{i}\nUSER x\n"));
    let uses = lines(20_000, &|i| format!("COPY --from=s{i} a /\n"));
    let doubled = "ENV A=$A$A\n".repeat(20);
    for file in [
        format!("FROM a\n{variables}{}", "RUN x\n".repeat(20_000)),
        format!("FROM a\n{arguments}{}", "RUN x\n".repeat(20_000)),
        format!("FROM a\nENV A=0123456789\n{doubled}{}", "LABEL a=$A\n".repeat(60_000)),
        format!("FROM a\nENV A=0123456789\n{doubled}{}", "RUN x $A\n".repeat(60_000)),
        format!("FROM a AS s\n{variables}{heirs}FROM scratch\n{uses}"),
    ] {
        let error = run(&dockerfile(&file), &[]).unwrap_err();
        assert!(error.message.starts_with("the file becomes more than"), "{}", error.message);
        assert!(!error.sources.is_empty());
    }
}

/// Looking for what may have been meant, and telling of each line, has an end.
#[test]
fn much_that_is_unknown_is_answered() {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let known = lines(10_000, &|i| format!("ENV VARIABLE{i}=x\n"));
    let unknown = lines(10_000, &|i| format!("LABEL l{i}=$VARIABLES{i}\n"));
    let in_one_line = lines(4_000, &|i| format!("V{i}=$U{i} "));
    let joined = lines(10_000, &|i| format!("V{i}=$U{i} \\\n"));
    let mounts = lines(5_000, &|i| format!("--mount=from=s{i},target=/m{i} \\\n"));
    let stages = lines(5_000, &|i| format!("FROM scratch AS s{i}\n"));
    let froms = lines(5_000, &|i| format!("FROM --platform=$BUILDPLATFORM a$UNKNOWN{i}\n"));
    let globals = lines(10_000, &|i| format!("ARG G{i}=x\n"));
    for file in [
        format!("FROM a\n{known}{unknown}"),
        format!("FROM a\nENV {joined}Z=1\n"),
        format!("FROM a\nLABEL {in_one_line}\n"),
        format!("{stages}FROM a\nRUN {mounts} x\n"),
        format!("{globals}{froms}"),
    ] {
        for request in ["", "frontend.lint", "frontend.outline", "slipway.diagnostics"] {
            let asked = [("requestid", request)];
            let options = if request.is_empty() { &[][..] } else { &asked[..] };
            assert!(run(&dockerfile(&file), options).is_ok(), "{request} {}", &file[..40]);
        }
    }
}
