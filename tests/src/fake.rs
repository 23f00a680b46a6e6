//! The in-memory registry, for tests that are not asynchronous.

use std::fs;
use std::ops::Deref;

use serde_json::Value;
use slipway_fakes::{FakeRegistry, Options};
use tokio::runtime::Runtime;

use crate::base_images;

/// Serves until dropped, on a thread of its own.
pub struct Fake {
    // Before its runtime, which its servers run on.
    registry: FakeRegistry,
    _runtime: Runtime,
}

impl Fake {
    pub fn start(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let registry = runtime.block_on(FakeRegistry::start(options)).expect("the fake starts");
        Self { registry, _runtime: runtime }
    }

    /// With `busybox:latest` in it.
    pub fn with_busybox() -> Self {
        let fake = Self::start(Options::default());
        fake.add_busybox();
        fake
    }

    pub fn add_busybox(&self) {
        let layout = base_images::busybox_of_tests();
        let read =
            |digest: &str| fs::read(layout.join("blobs").join(digest.replace(':', "/"))).expect("a blob");
        let index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).expect("an index")).expect("JSON");
        let manifest = &index["manifests"][0];
        let bytes = read(text(&manifest["digest"]));
        let parsed: Value = serde_json::from_slice(&bytes).expect("JSON");
        let layers = parsed["layers"].as_array().expect("layers");
        for blob in layers.iter().chain([&parsed["config"]]) {
            self.put_blob("busybox", read(text(&blob["digest"])));
        }
        self.put_manifest("busybox", "latest", text(&manifest["mediaType"]), bytes);
    }

    /// The name of the base image.
    pub fn busybox(&self) -> String {
        self.image("busybox:latest")
    }

    /// `HOST:PORT/NAME`
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

impl Deref for Fake {
    type Target = FakeRegistry;

    fn deref(&self) -> &FakeRegistry {
        &self.registry
    }
}
