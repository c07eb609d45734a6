//! The image that `deploy/image.sh` builds: what is in it, and that it is the same wherever it is built.
//!
//! Compiling its binary takes minutes, so these tests run only when they are asked for. They need what the script needs.

#![cfg(target_os = "linux")]

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Of the image as it is pulled, which is compressed, and as it lies on a node.
const SIZE_MAX: u64 = 15 << 20;

/// An image that was built.
struct Image {
    archive: PathBuf,
    digest: String,
}

impl Image {
    /// Builds it from a checkout.
    fn build(checkout: &Path, target: &Path) -> Self {
        let mut script = Command::new("deploy/image.sh");
        script.current_dir(checkout).env("CARGO_TARGET_DIR", target);
        let said = text(run(&mut script));
        let line = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {said}")).trim().to_owned()
        };
        Self { archive: line("archive").into(), digest: line("digest") }
    }

    /// Its configuration, and its files, which are put into a folder.
    fn unpack(&self, folder: &Path) -> Value {
        let archive = format!("oci-archive:{}", self.archive.display());
        let parts = folder.join("parts");
        run(Command::new("skopeo")
            .args(["copy", &archive])
            .arg(format!("dir:{}", parts.display())));
        let manifest = fs::read(parts.join("manifest.json")).expect("it has a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("it is JSON");
        let files = folder.join("files");
        fs::create_dir(&files).expect("there is room");
        for layer in manifest["layers"].as_array().expect("it has layers") {
            let digest = layer["digest"].as_str().expect("a layer has a digest");
            let blob = parts.join(digest.trim_start_matches("sha256:"));
            run(Command::new("tar").arg("-xf").arg(blob).arg("-C").arg(&files));
        }
        let config = text(run(Command::new("skopeo").args(["inspect", "--config", &archive])));
        serde_json::from_str(&config).expect("it is JSON")
    }
}

fn run(command: &mut Command) -> Output {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(ran.status.success(), "{command:?}: {ran:?}");
    ran
}

fn text(ran: Output) -> String {
    String::from_utf8(ran.stdout).expect("it prints text")
}

fn target() -> PathBuf {
    let given = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(ROOT).join("target"))
}

#[test]
#[ignore = "compiles the binary of the image, which takes minutes"]
fn the_image_is_one_small_binary_that_runs_by_itself() {
    let image = Image::build(Path::new(ROOT), &target());
    let folder = TempDir::new().expect("there is room for a folder");
    let config = image.unpack(folder.path());

    assert!(fs::metadata(&image.archive).expect("it is there").len() < SIZE_MAX);
    let files = folder.path().join("files");
    let names: Vec<_> = fs::read_dir(&files).expect("it is a folder").flatten().collect();
    let names: Vec<_> = names.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(names, [OsStr::new("porter")]);
    let binary = files.join("porter");
    assert!(fs::metadata(&binary).expect("it is there").len() < SIZE_MAX);
    assert_eq!(config["config"]["Entrypoint"], json!(["/porter"]));
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.title"], "porter");
    assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert!(labels["org.opencontainers.image.revision"].as_str().is_some_and(|it| it.len() >= 40));

    // With nothing but itself, as in a container.
    let alone = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        // But for where chroot itself is.
        let path = env::var_os("PATH").unwrap_or_default();
        command.arg(&files).arg("/porter").args(arguments).env_clear().env("PATH", path);
        command
    };
    let version = format!("porter {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(run(&mut alone(&["--version"]))), version);
    let help = text(run(&mut alone(&["--help"])));
    let has = |command: &str| help.lines().any(|line| line.trim_start().starts_with(command));
    assert!(
        has("agent ") && has("trace ") && !has("lab ") && !has("sim ") && !has("simulate "),
        "{help}"
    );
    let definition = include_str!("../deploy/crd/eips.yaml");
    assert_eq!(text(run(&mut alone(&["crd"]))), definition);
    // Which draws random numbers first, so it needs the devices that every container has.
    let lost = Command::new(&binary).args(["agent", "--http", "off"]).env_clear().output();
    let lost = lost.expect("it starts");
    let said = String::from_utf8_lossy(&lost.stderr);
    assert!(said.contains("finding the API server failed"), "{said}");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_porter"));
    lab.args(["lab", "--once", "--agent"]).arg(&binary).env("XDG_RUNTIME_DIR", folder.path());
    assert!(text(run(&mut lab)).contains("All 13 statements of the guide hold."));
    let bytes = fs::read(&binary).expect("it can be read");
    for path in [ROOT, env!("CARGO_MANIFEST_DIR"), "/.cargo/"] {
        let found = bytes.windows(path.len()).any(|at| at == path.as_bytes());
        assert!(!found, "{path} of this machine is in the binary");
    }
}

#[test]
#[ignore = "compiles the binary of the image twice, which takes minutes"]
fn the_same_commit_makes_the_same_image_elsewhere() {
    let folder = TempDir::new().expect("there is room for a folder");
    let [here, there] = ["a", "somewhere-else/b"].map(|name| folder.path().join(name));
    let [first, second] = [here, there].map(|checkout| {
        run(Command::new("git").args(["clone", "--quiet", ROOT]).arg(&checkout));
        Image::build(&checkout, &checkout.join("target"))
    });

    assert_eq!(first.digest, second.digest);
}
