//! What releases are made of, as far as it can be checked without making one.

use serde_json::Value;

/// The contents of a file of the workspace.
fn read(path: &str) -> String {
    let full = crate::root().join(path);
    std::fs::read_to_string(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
}

fn manifest(path: &str) -> toml::Table {
    read(path).parse().unwrap()
}

/// The files of this workspace that a text names, as words.
fn named(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| c.is_whitespace() || "\"',;:()[]$".contains(c));
    let words = words.map(|word| word.trim_end_matches('.'));
    let folders = ["deploy/", "docs/", "bins/", "crates/", "xtask/"];
    let of_workspace = |word: &&str| {
        folders.iter().any(|folder| word.starts_with(folder)) || ["CHANGELOG.md", "LICENSE"].contains(word)
    };
    words.filter(of_workspace).filter(|word| !word.contains('*')).collect()
}

#[test]
fn workflows_are_yaml_and_their_files_exist() {
    for path in [".github/workflows/ci.yml", ".github/workflows/release.yml"] {
        let text = read(path);
        let workflow: Value = yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let jobs = workflow["jobs"].as_object().unwrap();
        for (name, job) in jobs {
            assert!(job["runs-on"].is_string(), "{path}: {name}");
            assert!(job["timeout-minutes"].is_u64(), "{path}: {name} could run for hours");
            for step in job["steps"].as_array().unwrap() {
                let does = step.get("run").is_some() != step.get("uses").is_some();
                assert!(does, "{path}: {name}: {step}");
            }
            let needs = job.get("needs").cloned().unwrap_or_default();
            let needs = needs.as_array().cloned().unwrap_or_else(|| vec![needs.clone()]);
            for need in needs.iter().filter_map(Value::as_str) {
                assert!(jobs.contains_key(need), "{path}: {name} needs {need}");
            }
        }
        for file in named(&text) {
            assert!(crate::root().join(file).exists(), "{path}: there is no {file}");
        }
        let rust =
            manifest("Cargo.toml")["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
        assert!(text.contains(&format!("RUSTUP_TOOLCHAIN: \"{rust}\"")), "{path}: not Rust {rust}");
    }
}

#[test]
fn the_dockerfile_copies_what_the_workflow_builds() {
    let (image, workflow) = (read("deploy/Dockerfile"), read(".github/workflows/release.yml"));
    assert!(image.contains("COPY --chmod=0755 dist/${TARGETPLATFORM}/chat-server "), "{image}");
    assert!(workflow.contains("dist/${{ matrix.platform }}/chat-server"), "{workflow}");
    for beside in ["dist/ca-certificates.crt ", "dist/data "] {
        assert!(image.contains(&format!(" {beside}")), "{beside}");
    }
    assert!(
        workflow.contains("mkdir dist/data\n") && workflow.contains("ca-certificates.crt dist/\n"),
        "{workflow}"
    );
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(workflow.contains(&format!("platform: {platform}\n")), "{platform}");
    }
    let last = image.rsplit_once("\nFROM ").unwrap().1;
    for line in ["USER 65532:65532", "VOLUME /var/lib/chat", "STOPSIGNAL SIGTERM", "HEALTHCHECK "] {
        assert!(last.contains(line), "{line}");
    }
    // What words mean here: an instruction, or the rest of the line before.
    let mut is_continued = false;
    for line in image.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let word = line.split(' ').next().unwrap();
        let known = "FROM RUN ARG COPY USER WORKDIR VOLUME ENV EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT";
        assert!(is_continued || known.split(' ').any(|known| known == word), "{line}");
        is_continued = line.ends_with('\\');
    }
}

#[test]
fn what_the_readmes_download_is_what_the_workflow_makes() {
    let workflow = read(".github/workflows/release.yml");
    assert!(workflow.contains(" dist/chat-server-${{ matrix.name }}\n"), "{workflow}");
    for path in ["README.md", "README.ru.md"] {
        let text = read(path);
        let (_, download) = text.split_once("/releases/latest/download/").unwrap();
        let (name, _) = download.split_once('"').unwrap();
        let platform = name.strip_prefix("chat-server-").unwrap();
        assert!(workflow.contains(&format!(" name: {platform}\n")), "{path}: {name}");
        // A copy of the repository makes releases of its own, and no name of one is right in all.
        assert!(
            text.contains("\nREPO=owner/name ") && text.contains("https://github.com/$REPO/releases/"),
            "{path}"
        );
        assert!(!text.contains("OWNER"), "{path}");
    }
    assert!(workflow.contains("ghcr.io/${GITHUB_REPOSITORY,,}"), "{workflow}");
    for path in ["deploy/compose.cluster.yml", "docs/embedding.md"] {
        assert!(!read(path).contains("OWNER"), "{path}");
    }
}

#[test]
fn the_debian_package_has_its_files() {
    let server = manifest("bins/server/Cargo.toml");
    let deb = &server["package"]["metadata"]["deb"];
    let folder = crate::root().join("bins/server");
    let mut places = Vec::new();
    for asset in deb["assets"].as_array().unwrap() {
        let [from, to] = [0, 1].map(|index| asset[index].as_str().unwrap());
        assert!(from == "target/release/server" || folder.join(from).is_file(), "{from}");
        places.push(format!("/{to}"));
    }
    for file in deb["conf-files"].as_array().unwrap() {
        assert!(places.iter().any(|place| place == file.as_str().unwrap()), "{file}");
    }
    let version = manifest("Cargo.toml")["workspace"]["package"]["version"].as_str().unwrap().to_owned();
    assert!(read("deploy/debian/changelog").starts_with(&format!("chat-server ({version}-1) ")), "{version}");
    for script in ["postinst", "postrm"] {
        let text = read(&format!("deploy/debian/{script}"));
        assert!(text.starts_with("#!/bin/sh\nset -e\n") && text.contains("\n#DEBHELPER#\n"), "{script}");
    }
    // The unit is that of deploy/, but for the paths and the user.
    let lines = |path: &str| -> Vec<String> {
        let differing = ["#", "ExecStart=", "EnvironmentFile=", "DynamicUser=", "User=", "Group="];
        let text = read(path);
        let same = text.lines().filter(|line| !differing.iter().any(|start| line.starts_with(start)));
        same.map(str::to_owned).collect()
    };
    assert_eq!(lines("deploy/debian/chat.service"), lines("deploy/chat.service"));
    let settings: toml::Table = read("deploy/debian/chat.toml").parse().unwrap();
    assert!(settings.is_empty(), "the defaults are good: {settings:?}");
}

#[test]
fn what_releases_are_built_for_is_checked() {
    let deny = manifest("deny.toml");
    let workflow = read(".github/workflows/release.yml");
    let targets = deny["graph"]["targets"].as_array().unwrap();
    for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
        assert!(workflow.contains(&format!("target: {target}\n")), "{target}");
        assert!(targets.iter().any(|known| known.as_str() == Some(target)), "{target}");
    }
    for document in ["docs/operations.md", "docs/upgrade.md", "docs/limits.md", "SECURITY.md"] {
        assert!(read("README.md").contains(&format!("]({document})")), "README links no {document}");
    }
}
