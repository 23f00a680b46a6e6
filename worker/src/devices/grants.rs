//! Which devices a build may have: those that everybody may, and those its entitlements name.
//!
//! `device` is all of them; `device=NAME` those that NAME means; `device=NAME,alias=OTHER` gives those that NAME means
//! to operations that ask for OTHER.

use std::collections::BTreeMap;

use slipway_model::llb::pb;

use super::Devices;
use crate::{Error, Result};

/// The entitlements of a build that are about devices.
#[derive(Clone, Debug, Default)]
pub struct DeviceGrants {
    all: bool,
    /// By the name that operations use; with what it stands for, if that is another.
    named: BTreeMap<String, Option<String>>,
}

impl DeviceGrants {
    /// Adds what follows `device=` in an entitlement; "" is what stands without one.
    pub fn add(&mut self, text: &str) -> std::result::Result<(), String> {
        if text.is_empty() {
            self.all = true;
            return Ok(());
        }
        let mut fields = text.split(',');
        let name = fields.next().unwrap_or_default().trim_matches('"');
        let mut alias = None;
        for field in fields {
            match field.split_once('=') {
                Some(("alias", value)) => alias = Some(value.trim_matches('"')),
                Some((key, _)) => return Err(format!("unknown device config key {key:?}")),
                None => return Err(format!("invalid device config {field:?}")),
            }
        }
        match alias.filter(|alias| !alias.is_empty()) {
            Some(alias) => self.named.insert(alias.to_owned(), Some(name.to_owned())),
            None => self.named.insert(name.to_owned(), None),
        };
        Ok(())
    }

    /// What an operation gets for what it asks for, by full names; an error if that is more than it may have.
    pub(crate) fn admit(&self, devices: &Devices, wanted: &[pb::CdiDevice]) -> Result<Vec<pb::CdiDevice>> {
        if wanted.is_empty() || self.all {
            return Ok(wanted.to_vec());
        }
        let now = devices.now();
        let (mut given, mut others) = (Vec::new(), Vec::new());
        for device in wanted {
            match self.named.get(&device.name) {
                Some(Some(stands_for)) => {
                    given.push(pb::CdiDevice { name: stands_for.clone(), ..device.clone() });
                }
                _ => others.push(device),
            }
        }
        let asked_for = now.find(others)?;
        if !asked_for.is_empty() {
            let granted: Vec<pb::CdiDevice> =
                self.named.keys().map(|name| pb::CdiDevice { name: name.clone(), optional: true }).collect();
            let granted = now.find(&granted)?;
            let is_allowed = |name: &String| {
                granted.contains(name) || now.record(name).is_some_and(|device| device.auto_allowed)
            };
            let (allowed, forbidden): (Vec<String>, Vec<String>) =
                asked_for.into_iter().partition(is_allowed);
            match forbidden.as_slice() {
                [] => {}
                [one] => return Err(not_allowed(format!("device {one} is"))),
                several => return Err(not_allowed(format!("devices {} are", several.join(", ")))),
            }
            given.extend(allowed.into_iter().map(|name| pb::CdiDevice { name, optional: false }));
        }
        Ok(given)
    }
}

fn not_allowed(which: String) -> Error {
    Error::DeviceNotAllowed(which)
}

#[cfg(test)]
mod tests {
    use super::super::DeviceOptions;
    use super::*;

    fn admitted(grants: &[&str], wanted: &[&str]) -> std::result::Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let text = "cdiVersion: '0.6.0'\nkind: a.com/x\ndevices: [{name: n}, {name: m}, {name: free}]\n";
        std::fs::write(folder.path().join("x.yaml"), text).unwrap();
        let devices = Devices::new(DeviceOptions {
            folders: vec![folder.path().to_owned()],
            auto_allowed: vec!["a.com/x=free".into()],
            ..DeviceOptions::default()
        });
        let mut given = DeviceGrants::default();
        for grant in grants {
            given.add(grant)?;
        }
        let wanted: Vec<_> =
            wanted.iter().map(|name| pb::CdiDevice { name: (*name).into(), optional: false }).collect();
        let admitted = given.admit(&devices, &wanted).map_err(|error| error.to_string())?;
        Ok(admitted.into_iter().map(|device| device.name).collect())
    }

    #[test]
    fn only_what_is_granted_is_given() {
        assert_eq!(admitted(&[], &["a.com/x=free"]).unwrap(), ["a.com/x=free"]);
        let error = admitted(&[], &["a.com/x=n"]).unwrap_err();
        assert_eq!(error, "device a.com/x=n is requested by the build but not allowed");
        let error = admitted(&["a.com/x=free"], &["a.com/x=*"]).unwrap_err();
        assert_eq!(error, "devices a.com/x=m, a.com/x=n are requested by the build but not allowed");
        assert_eq!(admitted(&["a.com/x=n"], &["a.com/x=n"]).unwrap(), ["a.com/x=n"]);
        assert_eq!(admitted(&[""], &["a.com/x=n"]).unwrap(), ["a.com/x=n"]);
        // A kind stands for its first device only, here as in operations.
        assert!(admitted(&["a.com/x"], &["a.com/x=n"]).is_err());
        assert!(admitted(&["a.com/x=none"], &["a.com/x=n"]).is_err());
    }

    #[test]
    fn an_alias_stands_for_another() {
        assert_eq!(admitted(&["a.com/x=n,alias=gpu"], &["gpu"]).unwrap(), ["a.com/x=n"]);
        assert!(admitted(&["a.com/x=n,alias=gpu"], &["a.com/x=m"]).is_err());
        assert!(admitted(&["a.com/x=n,colour=red"], &[]).unwrap_err().contains("colour"));
        assert!(admitted(&["a.com/x=n,alias"], &[]).unwrap_err().contains("alias"));
    }
}
