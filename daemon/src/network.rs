//! Which network steps get that ask for none in particular, out of the configuration.
//!
//! | `networkMode` | network |
//! |---|---|
//! | `auto`, nothing | `bridge` if `BUILDKIT_NETWORK_BRIDGE_AUTO` says so, `cni` if its configuration is there, else `host` |
//! | `host` | the daemon's own |
//! | `bridge` | a namespace of the step's own, with a cable to a bridge of the daemon's, and NAT |
//! | `cni` | a namespace of the step's own, with what the plugins of a configuration make |
//! | `none` | `lo` |

use std::path::{Path, PathBuf};

use slipway_run::{BridgeOptions, CniOptions, Network, Networks};

use crate::{Error, Result};

/// The keys of `[worker.oci]` that are about networks, and the flags.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    pub mode: String,
    pub bridge_name: String,
    /// `10.10.0.0/16`.
    pub bridge_subnet: String,
    pub cni_config: PathBuf,
    pub cni_binaries: PathBuf,
    /// Namespaces that are kept for steps to come, of a bridge as well.
    pub pool_size: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            mode: "auto".into(),
            bridge_name: "buildkit0".into(),
            bridge_subnet: "10.10.0.0/16".into(),
            cni_config: "/etc/buildkit/cni.json".into(),
            cni_binaries: "/opt/cni/bin".into(),
            pool_size: 0,
        }
    }
}

/// What the configuration comes to.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) default: Network,
    pub(crate) networks: Networks,
    /// What the worker says of it, in the reference's words.
    pub(crate) label: &'static str,
}

/// Below the state directory: what there is to be removed of networks.
const STATE: &str = "net/cni";

impl NetworkConfig {
    /// Tasks of containerd's have the host's network or none.
    pub(crate) fn choose(&self, root: &Path, is_containerd: bool) -> Result<Chosen> {
        let mode = match self.mode.as_str() {
            "" | "auto" if is_containerd => "host",
            "" | "auto" => self.automatic(),
            own @ ("bridge" | "cni") if is_containerd => {
                return Err(Error::Worker(format!(
                    "network mode {own:?} is not supported with containerd: use auto, host or none"
                )));
            }
            other => other,
        };
        let state = root.join(STATE);
        if mode != "cni" {
            Networks::remove_leftovers(state.clone());
        }
        let chosen = |default, networks, label| Ok(Chosen { default, networks, label });
        let explain = |error: slipway_run::Error| Error::Worker(error.to_string());
        match mode {
            "host" => chosen(Network::Host, Networks::default(), "host"),
            "none" => chosen(Network::None, Networks::default(), "none"),
            "bridge" => {
                let subnet = self.bridge_subnet.parse().map_err(Error::Worker)?;
                let options = BridgeOptions { name: self.bridge_name.clone(), subnet };
                chosen(Network::Private, Networks::bridge(options, self.pool_size).map_err(explain)?, "cni")
            }
            "cni" => {
                let (config, binaries) = (self.cni_config.clone(), self.cni_binaries.clone());
                let options = CniOptions { config, binaries, state };
                chosen(Network::Private, Networks::cni(options, self.pool_size).map_err(explain)?, "cni")
            }
            other => Err(Error::Worker(format!(
                "network mode {other:?} is not supported: use auto, bridge, cni, host or none"
            ))),
        }
    }

    fn automatic(&self) -> &'static str {
        let wants_bridge = std::env::var("BUILDKIT_NETWORK_BRIDGE_AUTO");
        if wants_bridge.is_ok_and(|yes| matches!(yes.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True")) {
            "bridge"
        } else if self.cni_config.exists() {
            "cni"
        } else {
            "host"
        }
    }
}
