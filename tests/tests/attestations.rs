//! What is said about results: provenance and bills of materials, in images, archives and folders.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use serde_json::{Value, json};
use slipway_tests::attestations::Stored;
use slipway_tests::{Daemon, DaemonOptions, Fake, Project, Registry, needs, readers};

const V1: &str = "https://slsa.dev/provenance/v1";
const V02: &str = "https://slsa.dev/provenance/v0.2";
const SPDX: &str = "https://spdx.dev/Document";

const DOCKERFILE: &str =
    "FROM BUSYBOX AS a\nARG TOKEN\nARG FOO\nRUN --mount=type=secret,id=pass echo \"$FOO\" > /foo\n";

/// A real registry with the base image, and a daemon.
struct Setting {
    daemon: Daemon,
    registry: Registry,
    project: Project,
    _folder: tempfile::TempDir,
}

fn setting(dockerfile: &str) -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(&folder.path().join("registry")).unwrap();
    let project = Project::new(&registry.add_busybox(), dockerfile);
    Setting { daemon: Daemon::start(), registry, project, _folder: folder }
}

impl Setting {
    fn push(&self, name: &str, arguments: &[&str]) -> Stored {
        let image = self.registry.image(name);
        self.daemon.build(&self.project).arg("--push").args(arguments).tag(&image).succeed();
        Stored::copy(&format!("docker://{image}"))
    }
}

#[test]
fn an_image_without_attestations_is_a_plain_manifest() {
    needs!("skopeo", "docker-registry");
    let it = setting("FROM BUSYBOX\nRUN echo x > /x\n");
    assert!(it.push("plain:1", &[]).root["layers"].is_array());
    // Also if somebody wants provenance, but not in the image's shape.
    let output = format!("type=registry,name={},attestations=none", it.registry.image("plain:2"));
    it.daemon.build(&it.project).args(["--provenance=mode=max", "--output", &output]).succeed();
    let manifest = readers::manifest(&format!("docker://{}", it.registry.image("plain:2")));
    assert!(manifest["layers"].is_array(), "{manifest:#}");
}

#[test]
fn attestations_beside_a_plain_manifest() {
    needs!("skopeo", "docker-registry");
    let it = setting("FROM BUSYBOX\nRUN echo x > /x\n");
    let image = it.registry.image("beside:1");
    let output = format!("type=registry,name={image},attestations=referrers");
    it.daemon.build(&it.project).args(["--provenance", "--sbom", "--output", &output]).succeed();
    assert!(Stored::copy(&format!("docker://{image}")).root["layers"].is_array());
    // This registry keeps no referrers, so they are below the tag that stands for them.
    let digest = slipway_model::Digest::of(readers::raw(&format!("docker://{image}")));
    let tag = format!("docker://{}", it.registry.image(&format!("beside:sha256-{}", digest.hex())));
    let referrers = readers::manifest(&tag);
    let listed = referrers["manifests"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{referrers:#}");
    let by_digest = it.registry.image(&format!("beside@{}", listed[0]["digest"].as_str().unwrap()));
    let attestations = readers::manifest(&format!("docker://{by_digest}"));
    assert_eq!(attestations["subject"]["digest"], digest.to_string());
    assert_eq!(attestations["layers"].as_array().unwrap().len(), 2);
}

#[test]
fn provenance_of_a_push() {
    needs!("skopeo", "docker-registry");
    let it = setting(DOCKERFILE);
    it.project.write("secret", "hunter2");
    let secret = format!("id=pass,src={}", it.project.join("secret").display());
    let arguments =
        ["--build-arg", "FOO=bar", "--build-arg", "TOKEN=hunter3", "--label", "l=abc", "--secret"];
    let with = |more: &str| {
        let mut all: Vec<&str> = arguments.to_vec();
        all.extend([secret.as_str(), more]);
        it.push("app:1", &all)
    };

    let stored = with("--provenance=mode=max");
    let (images, attestations) = stored.manifests();
    assert_eq!((images.len(), attestations.len()), (1, 1));
    let (image, descriptor) = (&images[0], &attestations[0]);
    assert_eq!(descriptor["platform"], json!({ "architecture": "unknown", "os": "unknown" }));
    assert_eq!(descriptor["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(descriptor["annotations"]["vnd.docker.reference.digest"], image["digest"]);
    let manifest = stored.blob(descriptor["digest"].as_str().unwrap());
    assert_eq!(manifest["artifactType"], "application/vnd.docker.attestation.manifest.v1+json");
    assert_eq!(manifest["subject"]["digest"], image["digest"]);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(manifest["config"]["data"], "e30=");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.in-toto+json");

    let statement = &stored.statements(0)[V1];
    let digest = image["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest);
    let name = statement["subject"][0]["name"].as_str().unwrap();
    assert!(name.starts_with("pkg:docker/127.0.0.1%3A") && name.contains("/app@1?platform="), "{name}");

    let predicate = &statement["predicate"];
    let definition = &predicate["buildDefinition"];
    let request = &definition["externalParameters"]["request"];
    assert_eq!(request["frontend"], "dockerfile.v0");
    assert_eq!(request["args"]["build-arg:FOO"], "bar");
    assert_eq!(request["args"]["label:l"], "abc");
    assert_eq!(request["secrets"], json!([{ "id": "pass", "optional": true }]));
    assert_eq!(request["locals"], json!([{ "name": "context" }, { "name": "dockerfile" }]));
    let materials = definition["resolvedDependencies"].as_array().unwrap();
    assert_eq!(materials.len(), 1, "{materials:#?}");
    assert!(materials[0]["uri"].as_str().unwrap().contains("/busybox@latest?platform="));
    assert_eq!(materials[0]["digest"]["sha256"].as_str().unwrap().len(), 64);
    let steps = definition["internalParameters"]["buildConfig"]["llbDefinition"].as_array().unwrap();
    assert_eq!(steps.len(), 3, "{steps:#?}");
    assert_eq!(steps[1]["inputs"], json!(["step0:0"]));
    assert_eq!(steps[1]["op"]["Op"]["exec"]["meta"]["args"][0], "/bin/sh");
    let metadata = &predicate["runDetails"]["metadata"];
    assert_eq!(metadata["buildkit_completeness"], json!({ "request": true, "resolvedDependencies": false }));
    let source = &metadata["buildkit_metadata"]["source"];
    assert_eq!(source["infos"][0]["filename"], "Dockerfile");
    assert!(source["locations"]["step1"]["locations"][0]["ranges"].is_array(), "{source:#}");
    let layers = &metadata["buildkit_metadata"]["layers"];
    assert_eq!(layers["step0:0"][0].as_array().unwrap().len(), 1);
    assert_eq!(layers["step1:0"][0].as_array().unwrap().len(), 2);
    let image = stored.blob(image["digest"].as_str().unwrap());
    assert_eq!(layers["step1:0"][0][1]["digest"], image["layers"][1]["digest"]);
    // What is secret, or named so, is not told.
    let text = statement.to_string();
    assert!(!text.contains("hunter2") && !text.contains("hunter3"), "{text}");
    assert_eq!(request["args"]["build-arg:TOKEN"], "xxxxx");

    let small = with("--provenance=mode=min,builder-id=https://example.com/me");
    let predicate = small.statements(0)[V1]["predicate"].clone();
    let request = &predicate["buildDefinition"]["externalParameters"]["request"];
    assert_eq!(request["args"], Value::Null, "{request:#}");
    assert_eq!(request["secrets"], Value::Null);
    assert_eq!(predicate["buildDefinition"]["internalParameters"]["buildConfig"], Value::Null);
    assert_eq!(predicate["runDetails"]["builder"]["id"], "https://example.com/me");
    assert_eq!(predicate["runDetails"]["metadata"]["buildkit_completeness"]["request"], false);

    let old = with("--provenance=version=v0.2");
    let predicate = old.statements(0)[V02]["predicate"].clone();
    assert_eq!(predicate["buildType"], "https://mobyproject.org/buildkit@v1");
    assert_eq!(predicate["invocation"]["parameters"]["args"]["build-arg:FOO"], "bar");
    assert_eq!(predicate["metadata"]["completeness"]["environment"], true);
    assert!(predicate["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]["source"].is_object());
    assert_eq!(predicate["materials"].as_array().unwrap().len(), 1);
}

#[test]
fn several_platforms_in_the_form_of_images() {
    needs!("skopeo", "docker-registry");
    let it = setting("FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH} /which\n");
    it.project.write("amd64", "a");
    it.project.write("arm64", "b");
    let image = it.registry.image("both:1");
    let output = format!("type=registry,name={image},oci-artifact=false");
    let build = it.daemon.build(&it.project).args(["--platform", "linux/amd64,linux/arm64", "--provenance"]);
    build.output(output).succeed();
    let stored = Stored::copy(&format!("docker://{image}"));
    let (images, attestations) = stored.manifests();
    assert_eq!((images.len(), attestations.len()), (2, 2));
    for (nth, attestation) in attestations.iter().enumerate() {
        assert_eq!(attestation["annotations"]["vnd.docker.reference.digest"], images[nth]["digest"]);
        let manifest = stored.blob(attestation["digest"].as_str().unwrap());
        assert_eq!((&manifest["subject"], &manifest["artifactType"]), (&Value::Null, &Value::Null));
        let config = stored.blob(manifest["config"]["digest"].as_str().unwrap());
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(config["os"], "unknown");
        let statement = &stored.statements(nth)[V1];
        let hex = images[nth]["digest"].as_str().unwrap().replace("sha256:", "");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], hex);
    }
}

#[test]
fn files_beside_the_result() {
    let fake = Fake::with_busybox();
    let daemon = Daemon::start();
    let project = Project::new(&fake.busybox(), "FROM scratch\nARG TARGETARCH\nCOPY b /b-$TARGETARCH\n");
    project.write("b", "content");
    let out = Project::empty();
    let to = |more: &str| format!("type=local,dest={}{more}", out.path().display());

    daemon.build(&project).arg("--provenance").output(to("")).succeed();
    let statement: Value = serde_json::from_str(&out.read("provenance.json")).unwrap();
    assert_eq!(statement["predicateType"], V1);
    assert_eq!(statement["subject"][0]["name"], "b-amd64");
    assert_eq!(out.read("b-amd64"), "content");

    daemon.build(&project).arg("--sbom").output(to(",attestation-prefix=x.")).succeed();
    let statement: Value = serde_json::from_str(&out.read("x.sbom.spdx.json")).unwrap();
    assert_eq!(statement["predicateType"], SPDX);

    let platforms = ["--platform", "linux/amd64,linux/arm64", "--provenance=filename=where.json"];
    daemon.build(&project).args(platforms).output(to("")).succeed();
    for folder in ["linux_amd64", "linux_arm64"] {
        let statement: Value = serde_json::from_str(&out.read(&format!("{folder}/where.json"))).unwrap();
        assert!(statement["predicate"].is_object());
    }
    daemon.build(&project).args(platforms).output(to(",platform-split=false")).succeed();
    assert!(out.join("where.linux_amd64.json").is_file() && out.join("where.linux_arm64.json").is_file());

    let tar = daemon.build(&project).arg("--provenance").output("type=tar,dest=-").succeed().stdout;
    let names: Vec<String> = slipway_tests::archive::list(&tar).into_keys().collect();
    assert_eq!(names, ["b-amd64", "provenance.json"]);
    let none = daemon.build(&project).arg("--provenance").output("type=tar,dest=-,attestations=none");
    assert_eq!(slipway_tests::archive::list(&none.succeed().stdout).len(), 1);
}

#[test]
fn a_bill_of_materials_without_a_scanner() {
    needs!("skopeo", "docker-registry");
    let it = setting("FROM BUSYBOX\nCOPY files/ /\n");
    it.project.write("files/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let status = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2.13\n";
    it.project.write("files/var/lib/dpkg/status", status);
    it.project.write("files/app/Cargo.lock", "[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\n");
    let first = it.push("sbom:1", &["--sbom", "--no-cache"]);
    let document = first.statements(0)[SPDX]["predicate"].clone();
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    let purls: Vec<&str> = document["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|package| package["externalRefs"][0]["referenceLocator"].as_str())
        .collect();
    assert_eq!(
        purls,
        ["pkg:cargo/serde@1.0.1", "pkg:deb/debian/zlib1g@1:1.2.13?arch=amd64&distro=debian-12"]
    );
    // Nothing in it depends on the time.
    let second = it.push("sbom:1", &["--sbom", "--no-cache"]);
    assert_eq!(first.root, second.root);
}

#[test]
fn a_scanner_in_an_image() {
    needs!("skopeo", "docker-registry");
    let it = setting("FROM BUSYBOX\nRUN echo mine > /mine\n");
    let scanner = Project::new(
        &it.registry.image("busybox:latest"),
        "FROM BUSYBOX\nCOPY scan /scan\nENTRYPOINT [\"/bin/sh\", \"/scan\"]\n",
    );
    scanner.write(
        "scan",
        "set -eu\nname=$(cat $BUILDKIT_SCAN_SOURCE/mine)-${BUILDKIT_SCAN_EXTRA}\n\
         test ! -e $BUILDKIT_SCAN_SOURCE/scan\n! touch $BUILDKIT_SCAN_SOURCE/x 2> /dev/null\n\
         cat > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json <<END\n\
         {\"_type\": \"https://in-toto.io/Statement/v0.1\", \"predicateType\": \"https://spdx.dev/Document\",\n\
         \"predicate\": {\"spdxVersion\": \"SPDX-2.3\", \"name\": \"$name\", \"SPDXID\": \"SPDXRef-DOCUMENT\",\n\
         \"files\": [{\"fileName\": \"/mine\", \"SPDXID\": \"SPDXRef-1\"},\n\
         {\"fileName\": \"/bin/busybox\", \"comment\": \"kept\"}]}}\nEND\n",
    );
    let image = it.registry.image("scanner:1");
    it.daemon.build(&scanner).arg("--push").tag(&image).succeed();
    let generator = format!("--sbom=generator={image},EXTRA=more");
    let stored = it.push("scanned:1", &[&generator]);
    let document = stored.statements(0)[SPDX]["predicate"].clone();
    assert_eq!(document["name"], "mine-more");
    let (images, _) = stored.manifests();
    let manifest = stored.blob(images[0]["digest"].as_str().unwrap());
    let layer = format!("layerID: {}", manifest["layers"][1]["digest"].as_str().unwrap());
    assert_eq!(document["files"][0]["comment"], layer);
    assert_eq!(document["files"][1]["comment"], "kept");
    let creators = document["creationInfo"]["creators"].to_string();
    assert!(creators.contains("slipway-v"), "{creators}");
}

#[test]
fn the_history_has_the_provenance_of_every_build() {
    let fake = Fake::with_busybox();
    let daemon = Daemon::start();
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nARG API_KEY\nRUN echo $API_KEY > /x\n");
    let facts = Project::empty();
    let metadata = facts.join("metadata.json").display().to_string();
    let arguments = ["--build-arg", "API_KEY=hunter2", "--metadata-file", &metadata];
    daemon.build(&project).args(arguments).succeed();
    let metadata: Value = serde_json::from_str(&facts.read("metadata.json")).unwrap();
    assert_eq!(metadata["buildx.build.ref"].as_str().unwrap().len(), 25);
    let told = &metadata["buildx.build.provenance"];
    assert_eq!(
        told["buildDefinition"]["externalParameters"]["request"]["args"]["build-arg:API_KEY"],
        "xxxxx"
    );
    assert_eq!(told["buildDefinition"]["internalParameters"]["buildConfig"], Value::Null);
    let content = daemon.root().join("history/sha256");
    let files =
        std::fs::read_dir(content).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let provenance: Vec<String> = files
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .filter(|text| text.contains("\"buildDefinition\""))
        .collect();
    assert_eq!(provenance.len(), 1);
    assert!(provenance[0].contains("llbDefinition") && !provenance[0].contains("hunter2"));
}

#[test]
fn facts_from_files_and_wrong_options() {
    let fake = Fake::with_busybox();
    let facts = Project::empty().file("facts/a.json", r#"{"runner": {"id": 7}}"#);
    let config = format!("provenanceEnvDir = {:?}\n", facts.join("facts").display().to_string());
    facts.write("config.toml", config);
    let path = facts.join("config.toml").display().to_string();
    let daemon = Daemon::start_with(DaemonOptions::arguments(&["--config", &path]));
    let project = Project::new(&fake.busybox(), "FROM scratch\nCOPY Dockerfile /\n");
    let out = Project::empty();
    daemon.build(&project).arg("--provenance").to(out.path()).succeed();
    let statement: Value = serde_json::from_str(&out.read("provenance.json")).unwrap();
    let parameters = &statement["predicate"]["buildDefinition"]["internalParameters"];
    assert_eq!(parameters["runner"]["id"], 7);
    for (flag, told) in [
        ("--provenance=mode=most", "use min or max"),
        ("--provenance=modus=max", "modus"),
        ("--sbom=generator=", "cannot be empty"),
        ("--attest=type=signature", "signature"),
        ("--provenance=complete-materials=true", "provenance materials are incomplete"),
    ] {
        daemon.build(&project).arg(flag).run().failed(1, &[told]);
    }
    // Whoever asks for Docker's media types has no place for attestations.
    let archive = format!("type=docker,oci-mediatypes=false,dest={}", out.join("x.tar").display());
    let build = daemon.build(&project).arg("--provenance").output(&archive);
    build.run().failed(1, &["cannot export attestations with \"oci-mediatypes=false\""]);
    daemon.build(&project).arg("--provenance=inline-only=true").output(&archive).succeed();
}
