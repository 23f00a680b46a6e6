//! Signals by the names that frontends send, since numbers differ between platforms.

use slipway_run::Signal;

const NAMES: [(&str, Signal); 31] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("BUS", Signal::BUS),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("IO", Signal::IO),
    ("IOT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("PROF", Signal::PROF),
    ("PWR", Signal::POWER),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("STOP", Signal::STOP),
    ("SYS", Signal::SYS),
    ("TERM", Signal::TERM),
    ("TRAP", Signal::TRAP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("VTALRM", Signal::VTALARM),
    ("WINCH", Signal::WINCH),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
];

/// `HUP`, `INT`, …; without `SIG`.
pub(super) fn by_name(name: &str) -> Option<Signal> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal)
}
