//! An image's files as a container's root: below what the container writes, so that every container starts from the image
//! as it is and none changes it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// In the bundle: what the container changes, and what the kernel needs for that.
const UPPER: &str = "upper";
const WORK: &str = "work";
const ROOT: &str = "rootfs";

pub(super) fn prepare(bundle: &Path) -> io::Result<()> {
    [UPPER, WORK, ROOT].iter().try_for_each(|name| fs::create_dir_all(bundle.join(name)))
}

/// While this lives, `rootfs` of the bundle shows the image to this process and to those that it starts. Nobody else sees
/// the mount, so nobody has to undo it: it ends with the container, whatever else ends before.
pub(super) struct Mounted {
    outside: File,
}

impl Mounted {
    /// The process must have one thread.
    pub fn new(image: &Path, bundle: &Path) -> io::Result<Mounted> {
        let outside = File::open("/proc/self/ns/mnt")?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let mounted = Mounted { outside };
        if overlay(image, bundle).is_err() {
            // A kernel before 5.11, or a data directory on a file system that cannot lie over another.
            copy(image, &bundle.join(ROOT))?;
        }
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Where it fails, this process keeps mounts that others remove until it ends with its container.
        let _ = setns(&self.outside, CloneFlags::CLONE_NEWNS);
        let _ = std::env::set_current_dir("/");
    }
}

fn overlay(image: &Path, bundle: &Path) -> io::Result<()> {
    let [lower, upper, work] = [image.to_owned(), bundle.join(UPPER), bundle.join(WORK)].map(File::open);
    let (lower, upper, work) = (lower?, upper?, work?);
    // By descriptor, since commas and colons of a path would end it here.
    let of = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    let options = format!("lowerdir={},upperdir={},workdir={},userxattr", of(&lower), of(&upper), of(&work));
    mount(Some("marea"), &bundle.join(ROOT), Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    // The kernel's own folder lets nobody in, and would be in the way of whoever removes the pod.
    let own = bundle.join(WORK).join("work");
    let _ = fs::set_permissions(own, fs::Permissions::from_mode(0o700));
    Ok(())
}

/// Links are copied as links. An image is no deeper than `oci` lets it be.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target)?;
            fs::set_permissions(&target, fs::metadata(&source)?.permissions())?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_image_again() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("image"), folder.path().join("copy"));
        fs::create_dir_all(from.join("usr/bin")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("usr/bin/tool"), "1").unwrap();
        fs::set_permissions(from.join("usr/bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(from.join("usr/bin"), fs::Permissions::from_mode(0o711)).unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("usr/bin/tool")).unwrap(), "1");
        let mode = |path: &str| fs::metadata(to.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("usr/bin/tool"), mode("usr/bin")), (0o755, 0o711));
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/nowhere"));
    }
}
