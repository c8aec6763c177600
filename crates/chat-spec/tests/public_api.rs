//! The public items of the crates for other programs, as lists in `docs/api`: a change of one is seen in
//! the commit that makes it. With default features, and without impls that are derived or follow from
//! others. A warning of rustdoc, such as a broken link, is an error.
//!
//! `UPDATE_DOCS=1 cargo xtask test public-api` writes the lists.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use public_api::PublicApi;
use serde_json::Value;

#[test]
fn the_public_items_are_as_listed() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let metadata = cargo(&root).args(["metadata", "--no-deps", "--format-version=1"]).output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    let published = published(&metadata);
    let json = document(&root, &metadata, &published)?;
    let folder = root.join("docs/api");
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut known = BTreeSet::new();
    let mut changed = String::new();
    for Published { package, library } in &published {
        let found = items(&json.join(format!("{library}.json")))?;
        let list = folder.join(format!("{package}.txt"));
        let listed = fs::read_to_string(&list).unwrap_or_default();
        changed.push_str(&differences(&listed, &found));
        if update {
            fs::create_dir_all(&folder)?;
            fs::write(&list, found)?;
        }
        known.insert(list);
    }
    for list in fs::read_dir(&folder)? {
        let list = list?.path();
        assert!(known.contains(&list), "{} is of no crate that is published", list.display());
    }
    assert!(
        update || changed.is_empty(),
        "docs/api is out of date: UPDATE_DOCS=1 cargo xtask test public-api writes it. What is removed or \
         changed breaks programs of others (CONTRIBUTING.md, Publishing the crates):\n{changed}"
    );
    Ok(())
}

/// A package that other programs use.
struct Published {
    package: String,
    library: String,
}

fn published(metadata: &Value) -> Vec<Published> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let library = package["targets"].as_array().unwrap().iter().find(|target| target["kind"][0] == "lib");
        if let (Value::Null, Some(library)) = (&package["publish"], library) {
            found.push(Published { package: text(&package["name"]), library: text(&library["name"]) });
        }
    }
    assert!(found.len() > 5, "too few packages are published");
    found
}

/// Writes what rustdoc knows of the packages in JSON; returns its folder.
///
/// That format is unstable, and rustdoc has to be told that this is known. The compiler must not be told
/// the same, because build scripts would find another one, and everything would be compiled again.
fn document(root: &Path, metadata: &Value, published: &[Published]) -> Result<PathBuf, Box<dyn Error>> {
    let target = PathBuf::from(metadata["target_directory"].as_str().unwrap());
    let rustdoc = target.join("rustdoc-with-json");
    let options = "-Zunstable-options --output-format=json -D warnings";
    fs::write(&rustdoc, format!("#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\" {options}\n"))?;
    fs::set_permissions(&rustdoc, fs::Permissions::from_mode(0o755))?;
    let mut cargo = cargo(root);
    cargo.args(["doc", "--quiet", "--no-deps", "--lib"]);
    cargo.args(published.iter().flat_map(|Published { package, .. }| ["--package", package]));
    let made = cargo.env("RUSTDOC", rustdoc).env_remove("RUSTDOCFLAGS").status()?;
    assert!(made.success(), "the crates cannot be documented");
    Ok(target.join("doc"))
}

/// The public items of a crate, one a line.
fn items(json: &Path) -> Result<String, Box<dyn Error>> {
    let crate_: PublicApi = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    Ok(crate_.items().map(|item| format!("{item}\n")).collect())
}

fn differences(listed: &str, found: &str) -> String {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (listed.lines().collect(), found.lines().collect());
    let removed = old.difference(&new).map(|line| format!("- {line}\n"));
    removed.chain(new.difference(&old).map(|line| format!("+ {line}\n"))).collect()
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).stdin(Stdio::null());
    command
}
