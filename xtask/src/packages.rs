//! The crates that can be published.

/// The arguments of cargo that pack them.
#[rustfmt::skip]
pub(crate) const PACK: &[&str] = &[
    "package", "--quiet", "--no-verify", "--allow-dirty",
    "-p", "lanechat-auth", "-p", "lanechat-bus-nats", "-p", "lanechat-client", "-p", "lanechat-cluster",
    "-p", "lanechat-core", "-p", "lanechat-files", "-p", "lanechat-http", "-p", "lanechat-pictures",
    "-p", "lanechat-shard", "-p", "lanechat-store", "-p", "lanechat-tokio", "-p", "lanechat-turns",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use toml::{Table, Value};

    use super::PACK;

    fn manifest(folder: &Path) -> Table {
        fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap()
    }

    /// The crates of `crates` that may be published: the name of each package, its folder, and its
    /// part `package` with what it takes from the workspace.
    fn published() -> Vec<(String, PathBuf, Table)> {
        let workspace = manifest(crate::root())["workspace"]["package"].clone();
        let mut found = Vec::new();
        for entry in fs::read_dir(crate::root().join("crates")).unwrap() {
            let folder = entry.unwrap().path();
            let mut package = manifest(&folder)["package"].as_table().unwrap().clone();
            for (key, value) in &mut package {
                if value.get("workspace") == Some(&Value::Boolean(true)) {
                    *value = workspace[key].clone();
                }
            }
            if package.get("publish") != Some(&Value::Boolean(false)) {
                found.push((package["name"].as_str().unwrap().to_owned(), folder, package));
            }
        }
        found
    }

    #[test]
    fn all_that_may_be_published_are_packed() {
        let names: BTreeSet<String> = published().into_iter().map(|(name, ..)| name).collect();
        let packed: BTreeSet<String> = PACK
            .iter()
            .filter(|argument| argument.starts_with("lanechat-"))
            .map(|name| (*name).to_owned())
            .collect();
        assert_eq!(packed, names);
        let workflow = fs::read_to_string(crate::root().join(".github/workflows/ci.yml")).unwrap();
        let words: Vec<&str> = workflow.split_whitespace().collect();
        let built = words.windows(2).filter(|two| two[0] == "-p").map(|two| two[1].to_owned());
        assert_eq!(built.collect::<BTreeSet<_>>(), names, "the job `packages`");
    }

    #[test]
    fn a_package_says_what_a_registry_shows() {
        let licence = fs::read(crate::root().join("LICENSE")).unwrap();
        let has_address = manifest(crate::root())["workspace"]["package"].get("repository").is_some();
        for (name, folder, package) in published() {
            for key in ["version", "edition", "rust-version", "description", "license", "readme"] {
                assert!(package[key].as_str().is_some_and(|text| !text.is_empty()), "{name}: {key}");
            }
            for key in ["keywords", "categories"] {
                assert!((1..=5).contains(&package[key].as_array().unwrap().len()), "{name}: {key}");
            }
            assert_eq!(package.contains_key("repository"), has_address, "{name}: repository");
            assert_eq!(fs::read(folder.join("LICENSE")).unwrap(), licence, "{name}: LICENSE");
        }
    }
}
