//! How processes end, by themselves and by force.

use std::fs;
use std::time::{Duration, Instant};

use slipway_run::{Error, OutOfMemory, Resources};

use super::harness::on_each;

#[test]
fn exit_codes_and_signals() {
    on_each(|case| {
        assert_eq!(case.run(case.spec(&["true"])).result.unwrap().code(), 0);
        assert_eq!(case.run(case.spec(&["false"])).result.unwrap().code(), 1);
        // Process 1 of a namespace is immune to its own signals unless it handles them: let a child die.
        let outcome = case.run(case.shell("sh -c 'kill -TERM $$'; exit $?"));
        assert_eq!(outcome.result.unwrap().code(), 143, "{}", case.name);
    });
}

#[test]
fn what_a_process_reads_ends() {
    on_each(|case| {
        let outcome = case.run_with_input(case.spec(&["cat"]), "some text");
        assert_eq!(outcome.stdout, "some text", "{}", case.name);
        assert_eq!(outcome.result.unwrap().code(), 0, "{}", case.name);
    });
}

#[test]
fn a_missing_command_is_named() {
    on_each(|case| {
        let cases = [
            ("nonesuch", "exec: \"nonesuch\": executable file not found in $PATH", 127),
            ("/bin/nonesuch", "exec: \"/bin/nonesuch\": stat /bin/nonesuch: no such file or directory", 127),
            ("/etc/passwd", "exec: \"/etc/passwd\": permission denied", 126),
        ];
        for (command, message, code) in cases {
            match case.run(case.spec(&[command])).result {
                Err(Error::NotStarted(reason)) => {
                    assert!(reason.message.contains(message), "{}: {reason}", case.name);
                    assert_eq!(reason.code, code, "{}: {reason}", case.name);
                }
                other => panic!("{}: {command}: {other:?}", case.name),
            }
        }
    });
}

#[test]
fn a_missing_interpreter_and_a_file_that_is_no_program() {
    on_each(|case| {
        let write = |name: &str, text: &str| {
            let path = case.rootfs().join(name);
            fs::write(&path, text).unwrap();
            rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        };
        write("script", "#!/no/such/interpreter\n");
        write("junk", "\x01\x02\x03");
        for (command, message, code) in
            [("/script", "no such file or directory", 127), ("/junk", "exec format error", 126)]
        {
            let outcome = case.run(case.spec(&[command]));
            match outcome.result {
                Err(Error::NotStarted(reason)) => {
                    assert!(reason.message.contains(message), "{}: {reason}", case.name);
                    assert_eq!(reason.code, code, "{}: {reason}", case.name);
                }
                // runc tells the step's reader only.
                Ok(exit) if !case.is_builtin() => {
                    assert!(!exit.success() && outcome.stderr.contains(message), "{}", outcome.stderr);
                }
                other => panic!("{}: {command}: {other:?}", case.name),
            }
        }
    });
}

#[test]
fn stopping_kills_everything() {
    on_each(|case| {
        let marker = format!("{}.5", 100_000 + std::process::id());
        let script = format!("trap '' TERM INT HUP; sh -c \"trap '' TERM; sleep {marker}\" & sleep {marker}");
        let begin = Instant::now();
        let outcome = case.run_until(case.shell(&script), Some(Duration::from_millis(300)));
        assert!(matches!(outcome.result, Err(Error::Cancelled)), "{}: {outcome:?}", case.name);
        assert!(begin.elapsed() < Duration::from_secs(20), "{}: {:?}", case.name, begin.elapsed());
        let alive = fs::read_dir("/proc").unwrap().flatten().any(|process| {
            fs::read(process.path().join("cmdline")).is_ok_and(|line| {
                line.starts_with(b"sleep\0") && String::from_utf8_lossy(&line).contains(&marker)
            })
        });
        assert!(!alive, "{}", case.name);
    });
}

#[test]
fn children_that_were_left_behind_die_with_the_first_process() {
    on_each(|case| {
        let begin = Instant::now();
        case.output(case.shell("sleep 1000 & sleep 1000 & exit 0"));
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", case.name);
    });
}

#[test]
fn a_step_that_is_stopped_before_it_starts() {
    on_each(|case| {
        let outcome = case.run_until(case.spec(&["sleep", "1000"]), Some(Duration::ZERO));
        assert!(matches!(outcome.result, Err(Error::Cancelled)), "{}: {outcome:?}", case.name);
    });
}

#[test]
fn a_future_that_is_dropped_takes_its_step_along() {
    on_each(|case| {
        let mut stdout =
            case.start_and_drop(case.shell("trap '' TERM; echo started; sleep 1000 & sleep 1000"));
        // The end of the file: nobody holds the writing end any more.
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
        assert_eq!(text, "started\n", "{}", case.name);
    });
}

#[test]
fn want_of_memory_is_told() {
    on_each(|case| {
        if !fs::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes").unwrap()
            && !fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default().contains("memory")
        {
            println!("skipped: no memory controller");
            return;
        }
        let mut spec = case.shell("dd if=/dev/zero of=/dev/null bs=200M count=1; exit 9");
        spec.resources = Resources { memory: 32 << 20, ..Resources::default() };
        let exit = case.run(spec).result.unwrap();
        assert_eq!(
            exit.out_of_memory,
            Some(OutOfMemory::Step { limit: 32 << 20 }),
            "{}: {exit:?}",
            case.name
        );

        let mut spec = case.spec(&["true"]);
        spec.resources = Resources { memory: 64 << 20, cpu_shares: 512, ..Resources::default() };
        let exit = case.run(spec).result.unwrap();
        assert!(exit.success() && exit.out_of_memory.is_none(), "{}: {exit:?}", case.name);
    });
}

#[test]
fn what_was_used_is_counted() {
    on_each(|case| {
        let spec = case.shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
        let usage = case.run(spec).result.unwrap().usage;
        assert!(!usage.user.is_zero() && usage.peak_memory > 0, "{}: {usage:?}", case.name);
    });
}

#[test]
fn a_description_that_is_wrong_is_refused() {
    on_each(|case| {
        let refused = |change: &dyn Fn(&mut slipway_run::ProcessSpec)| {
            let mut spec = case.spec(&["true"]);
            change(&mut spec);
            case.error(spec)
        };
        assert!(refused(&|spec| spec.args.clear()).contains("no command"));
        assert!(refused(&|spec| spec.id = "../x".into()).contains("process id"));
        assert!(refused(&|spec| spec.cwd = "relative".into()).contains("not absolute"));
        assert!(refused(&|spec| spec.env.push("A=\0".into())).contains("zero byte"));
    });
}
