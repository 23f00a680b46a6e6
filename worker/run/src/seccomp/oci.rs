//! The profile as `linux.seccomp` of an OCI runtime configuration.

use serde_json::{Value, json};

use super::allowed::ALLOWED;
use super::profile::{AF_ALG, AF_VSOCK, NAMESPACE_FLAGS, PERSONALITIES};

/// None where we know no numbers for this machine (then neither runtime filters).
pub(crate) fn oci_profile() -> Option<Value> {
    let architectures = match std::env::consts::ARCH {
        "x86_64" => json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        "aarch64" => json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        _ => return None,
    };
    let names: Vec<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    let allow = |name: &str, operation: &str, value: u32, second: u32| {
        let argument = json!({ "index": 0, "op": operation, "value": value, "valueTwo": second });
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument] })
    };
    let mut calls = vec![
        json!({ "names": names, "action": "SCMP_ACT_ALLOW" }),
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }),
        allow("clone", "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS, 0),
        allow("socket", "SCMP_CMP_LT", AF_ALG, 0),
        allow("socket", "SCMP_CMP_EQ", AF_ALG + 1, 0),
        allow("socket", "SCMP_CMP_GT", AF_VSOCK, 0),
    ];
    calls.extend(PERSONALITIES.iter().map(|value| allow("personality", "SCMP_CMP_EQ", *value, 0)));
    Some(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": architectures,
        "syscalls": calls,
    }))
}
