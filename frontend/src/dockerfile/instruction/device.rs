//! `RUN --device=name[,required]`: a CDI device or class of devices.

use crate::dockerfile::{Fault, suggest, values};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    pub required: bool,
}

impl Device {
    /// The name may stand anywhere and may itself hold `=`: `vendor.com/device=0,required`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut device = Self::default();
        for field in values::csv_fields(text).map_err(Fault::DeviceCsv)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_lowercase(), Some(value)),
                None => (field.to_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("required", None) => device.required = true,
                ("required", Some(value)) => {
                    device.required = values::parse_bool(value)
                        .ok_or_else(|| Fault::InvalidValue { key: key.clone(), value: value.to_owned() })?;
                }
                ("name", Some(_)) if !device.name.is_empty() => {
                    return Err(Fault::DeviceNameTwice(device.name));
                }
                ("name", Some(value)) => value.clone_into(&mut device.name),
                _ if device.name.is_empty() => device.name = field,
                (_, None) => return Err(Fault::FieldWithoutValue(field)),
                (key, Some(_)) => {
                    let fault = Fault::UnexpectedKey { key: key.to_owned(), field: field.clone() };
                    return Err(suggest::with_suggestion(fault, key, &["name", "required"], true));
                }
            }
        }
        Ok(device)
    }
}
