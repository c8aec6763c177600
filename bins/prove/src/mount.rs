//! File systems of a run. They are unmounted, and their loop devices detached, when
//! the run ends, also if it is killed: a shell waits until its input is closed, by a
//! drop or by the system.

use std::error::Error;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A temporary folder with a file system mounted on its folder `mount`.
pub(crate) struct Mount {
    folder: TempDir,
    cleaner: Child,
    device: Option<String>,
}

impl Mount {
    /// A file system in memory, of this size.
    pub(crate) fn tmpfs(size: &str) -> Result<Self, Box<dyn Error>> {
        let mount = Self::new()?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", text(&mount.path())])?;
        Ok(mount)
    }

    /// An ext4 of this size on a loop device.
    pub(crate) fn ext4(size: &str) -> Result<Self, Box<dyn Error>> {
        let mut mount = Self::new()?;
        let image = mount.folder.path().join("image");
        run("truncate", &["-s", size, text(&image)])?;
        let device = run("losetup", &["-f", "--show", text(&image)])?.trim().to_owned();
        run("mkfs.ext4", &["-q", &device])?;
        mount.device = Some(device);
        mount.mount()?;
        Ok(mount)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    pub(crate) fn mount(&self) -> Result<(), Box<dyn Error>> {
        run("mount", &[self.device.as_deref().ok_or("no device")?, text(&self.path())])?;
        Ok(())
    }

    /// Unmounts it. Waits for the process that had files open there to end.
    pub(crate) fn unmount(&self) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match run("umount", &[text(&self.path())]) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                result => return result.map(drop),
            }
        }
    }

    fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("mount"))?;
        let cleaner = Command::new("sh")
            .args(["-c", CLEANER, "cleaner"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own, so that Ctrl-C does not end it.
            .process_group(0)
            .spawn()?;
        Ok(Self { folder, cleaner, device: None })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.cleaner.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

const CLEANER: &str = r#"
cat > /dev/null
mountpoint -q "$1/mount" && { umount "$1/mount" || umount -l "$1/mount"; }
losetup -j "$1/image" | cut -d: -f1 | while read -r device; do losetup -d "$device"; done
rm -rf "$1/image"
"#;

/// Runs a program; returns what it printed.
fn run(program: &str, args: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path of a temporary folder is UTF-8")
}
