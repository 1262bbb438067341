//! The process that holds the namespaces. It makes them, says so, and waits for its end.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::{Places, Record};

/// What the holder prints once everything is there.
pub(super) const READY: &str = "ready";

/// Makes the namespaces, or joins those in which it was started, and never returns in between.
///
/// # Errors
/// What the kernel forbids, in words.
pub fn hold(directory: &Path) -> io::Result<()> {
    let places = Places::new(directory);
    rustix::process::setsid()?;
    let id = match read_mark(&places) {
        // Started by a daemon that is inside already, because the holder before this one has ended.
        Some(id) => {
            setns(fs::File::open(places.router())?, CloneFlags::CLONE_NEWNET)?;
            id
        }
        None => make(&places)?,
    };
    let record = Record {
        id,
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        user_namespace: fs::read_link("/proc/self/ns/user")?.display().to_string(),
    };
    let scratch = places.root.join("holder.new");
    fs::write(&scratch, serde_json::to_vec(&record)?)?;
    fs::rename(&scratch, places.record())?;
    std::env::set_current_dir("/")?;
    writeln!(io::stdout(), "{READY}")?;
    let nowhere = fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    loop {
        // Nothing to wait for: a signal ends the process.
        let _ = rustix::event::poll(&mut [], None);
    }
}

pub(super) fn read_mark(places: &Places) -> Option<String> {
    fs::read_to_string(places.mark()).ok()
}

fn make(places: &Places) -> io::Result<String> {
    let failed = |what: &'static str| move |error: nix::Error| io::Error::other(format!("{what}: {}", error.desc()));
    fs::create_dir_all(places.mount())?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .map_err(failed("the kernel makes no user, mount and network namespaces here"))?;
    // One id is enough: containers map the user that they ask for onto it, in a user namespace of their own.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(failed("mounts cannot be made private"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("marea"), &places.mount(), Some("tmpfs"), flags, Some("size=1m,mode=0700"))
        .map_err(failed("no tmpfs can be mounted"))?;
    // Where limits are set from inside. A host without it has none to set.
    fs::create_dir(places.cgroups())?;
    let _ = mount(Some("/sys/fs/cgroup"), &places.cgroups(), none, MsFlags::MS_BIND | MsFlags::MS_REC, none);
    // Containers run without a cgroup manager; crun 1.8 fails on a hybrid tree that it cannot write.
    let _ = mount(Some("marea"), "/sys/fs/cgroup", Some("tmpfs"), flags, Some("size=4k,mode=0755"));
    fs::create_dir(places.namespaces())?;
    fs::File::create(places.router())?;
    mount(Some("/proc/self/ns/net"), &places.router(), none, MsFlags::MS_BIND, none)
        .map_err(failed("a network namespace cannot be kept"))?;
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
    fs::write(places.mark(), &id)?;
    Ok(id)
}
