use super::locks::Lock;
use super::*;

fn debian() -> Distribution {
    Distribution::parse("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=\"12\"\n")
}

fn purls(packages: &[Package]) -> Vec<String> {
    packages.iter().map(|package| package.purl.to_string()).collect()
}

#[test]
fn readers_are_chosen_by_path() {
    assert_eq!(Reader::of("var/lib/dpkg/status"), Some(Reader::Dpkg));
    assert_eq!(Reader::of("var/lib/dpkg/status.d/base"), Some(Reader::Dpkg));
    assert_eq!(Reader::of("var/lib/dpkg/status.d/base.md5sums"), None);
    assert_eq!(Reader::of("lib/apk/db/installed"), Some(Reader::Apk));
    assert_eq!(Reader::of("usr/lib/sysimage/rpm/rpmdb.sqlite"), Some(Reader::RpmSqlite));
    assert_eq!(Reader::of("app/Cargo.lock"), Some(Reader::Lock(Lock::Cargo)));
    assert_eq!(Reader::of("Cargo.lock"), Some(Reader::Lock(Lock::Cargo)));
    assert_eq!(Reader::of("app/METADATA"), None);
}

#[test]
fn debian_packages() {
    let status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: M <m@x>\n\
        Source: glibc (2.36-8)\nVersion: 2.36-9+deb12u3\nDescription: x\n y\n\nPackage: gone\n\
        Status: deinstall ok config-files\nVersion: 1\n\nPackage: base-files\nVersion: 12\n";
    let found = dpkg::read(status, "var/lib/dpkg/status", &debian());
    assert_eq!(
        purls(&found),
        [
            "pkg:deb/debian/libc6@2.36-9+deb12u3?arch=amd64&distro=debian-12&upstream=glibc",
            "pkg:deb/debian/base-files@12?distro=debian-12",
        ]
    );
    assert_eq!(found[0].supplier, "M <m@x>");
}

#[test]
fn alpine_packages() {
    let installed = "C:Q1x\nP:busybox\nV:1.36.1-r5\nA:x86_64\nL:GPL-2.0-only\no:busybox\n\nP:ssl_client\nV:1.36.1-r5\n\
        o:busybox\n";
    let found = apk::read(installed, "lib/apk/db/installed", &Distribution::default());
    assert_eq!(
        purls(&found),
        [
            "pkg:apk/alpine/busybox@1.36.1-r5?arch=x86_64",
            "pkg:apk/alpine/ssl_client@1.36.1-r5?upstream=busybox",
        ]
    );
    assert_eq!(found[0].license, "GPL-2.0-only");
}

#[test]
fn lock_files() {
    for (lock, text, expected) in [
        (
            Lock::Cargo,
            "version = 3\n[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\n",
            &["pkg:cargo/serde@1.0.1"][..],
        ),
        (
            Lock::Npm,
            r#"{"packages":{"":{"version":"1"},"node_modules/@a/b":{"version":"2.0.0"},"node_modules/x/node_modules/y":{"version":"3.0.0"},"node_modules/l":{"link":true}}}"#,
            &["pkg:npm/%40a/b@2.0.0", "pkg:npm/y@3.0.0"],
        ),
        (
            Lock::Npm,
            r#"{"dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}}}}"#,
            &["pkg:npm/a@1.0.0", "pkg:npm/b@2.0.0"],
        ),
        (
            Lock::Yarn,
            "# yarn lockfile v1\n\n\"@a/b@^1.0.0\", \"@a/b@^1.1.0\":\n  version \"1.2.0\"\n  dependencies:\n    x \"1\"\n\nleft@*:\n  version: 3.0.0\n",
            &["pkg:npm/%40a/b@1.2.0", "pkg:npm/left@3.0.0"],
        ),
        (
            Lock::Pnpm,
            "lockfileVersion: '6.0'\ndependencies:\n  x:\n    version: 1\npackages:\n\n  /@a/b@1.2.0(c@1):\n    dev: false\n  'left@3.0.0':\n    dev: true\n  /old/1.0.0:\n    dev: true\n",
            &["pkg:npm/%40a/b@1.2.0", "pkg:npm/left@3.0.0", "pkg:npm/old@1.0.0"],
        ),
        (
            Lock::GoSum,
            "github.com/a/b v1.0.0 h1:x=\ngithub.com/a/b v1.0.0/go.mod h1:y=\n",
            &["pkg:golang/github.com/a/b@v1.0.0"],
        ),
        (
            Lock::Gemfile,
            "GEM\n  remote: https://rubygems.org/\n  specs:\n    rack (3.0.0)\n      dep (>= 1)\n\nPLATFORMS\n  ruby\n",
            &["pkg:gem/rack@3.0.0"],
        ),
        (Lock::Composer, r#"{"packages":[{"name":"a/b","version":"1.0"}]}"#, &["pkg:composer/a/b@1.0"]),
        (Lock::PythonToml, "[[package]]\nname = \"Foo_Bar\"\nversion = \"1.0\"\n", &["pkg:pypi/foo-bar@1.0"]),
        (Lock::Pipfile, r#"{"default":{"flask":{"version":"==2.0"}}}"#, &["pkg:pypi/flask@2.0"]),
        (
            Lock::PythonMetadata,
            "Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0\nLicense: MIT\n\nName: not this\n",
            &["pkg:pypi/foo-bar@1.0"],
        ),
    ] {
        let found = lock.read(text, "x").unwrap();
        assert_eq!(purls(&found), expected, "{lock:?}");
    }
    assert!(Lock::Cargo.read("no toml", "x").is_err());
    assert!(Lock::Npm.read("no json", "x").is_err());
}

#[test]
fn equal_packages_equal_documents() {
    let package = || {
        let purl = PackageUrl::new("deb", "debian", "a", "1");
        Package { license: "GPL-2".into(), ..Package::new(purl, "var/lib/dpkg/status") }
    };
    let write = |packages: Vec<Package>| document::write(packages, &debian(), None).unwrap();
    assert_eq!(write(vec![package()]), write(vec![package()]));
    let document: serde_json::Value = serde_json::from_slice(&write(vec![package()])).unwrap();
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    assert_eq!(document["creationInfo"]["created"], "1970-01-01T00:00:00Z");
    assert_eq!(document["packages"][1]["externalRefs"][0]["referenceLocator"], "pkg:deb/debian/a@1");
    assert_eq!(document["packages"][1]["licenseComments"], "declared as GPL-2");
    let empty: serde_json::Value = serde_json::from_slice(&write(Vec::new())).unwrap();
    assert_ne!(empty["documentNamespace"], document["documentNamespace"]);
    assert_eq!(empty["relationships"].as_array().unwrap().len(), 1);
}
