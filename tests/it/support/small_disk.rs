//! A disk that can be full.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A small file system of its own. It takes root to mount one.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of this size, such as `10m`.
    pub(crate) fn mount(size: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(
            status.success(),
            "this test mounts a small file system: run the tests as root"
        );
        Self(folder)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the broker still has its files open when a test fails.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
