"""Line 1 on a machine that has nothing: a fresh Debian 12 in a folder, with Rust, Node.js and Python and no package of ours.

The machine is a root file system of its own with its own processes and mounts; it shares this machine's network, so that
apt-get works. Toolchains and download caches are this machine's. Everything it runs ends with it.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from .core import REPO, Skipped, need

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "marea-acceptance"
# What somebody who builds programs has anyhow. None of it is a package that scripts/up installs.
BASE_PACKAGES = "ca-certificates,git,gcc,libc6-dev,procps,python3"
USER, USER_ID = "person", 1000
# One place for everybody's clone: what root has compiled is then compiled for the ordinary user too.
CLONE = "/srv/work/marea"
BUILD_SECONDS = 3600
# A second run compiles nothing; this is far above what it takes and far below any build.
AGAIN_SECONDS = 60
# Debian starts services with these; the platform's own programs are given files of the data directory instead.
DEBIAN_SERVICE_FILES = ("/etc/postgresql/", "/etc/nginx/", "/etc/prometheus/", "/var/lib/postgresql/", "/var/lib/prometheus/")

MOUNTS = r"""
set -eu
root=$1; rust=$2; node=$3; npm=$4; cache=$5; source=$6
bind() { mount --bind "$1" "$2"; [ "${3:-}" = rw ] || mount -o remount,bind,ro "$2"; }
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mkdir -p "$root/usr/local/rust" "$root/usr/local/lib/node_modules/npm" "$root/srv/cargo" "$root/srv/target" "$root/srv/marea" "$root/srv/work" "$root/tmp/.marea-slots" /tmp/.marea-slots
chmod 1777 /tmp/.marea-slots
touch "$root/usr/local/bin/node"
bind "$rust" "$root/usr/local/rust"
bind "$node" "$root/usr/local/bin/node"
bind "$npm" "$root/usr/local/lib/node_modules/npm"
ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
bind "$source" "$root/srv/marea"
bind "$cache/cargo" "$root/srv/cargo" rw
bind "$cache/target" "$root/srv/target" rw
# Loopback addresses belong to the whole host, and so does the list of who uses which.
bind /tmp/.marea-slots "$root/tmp/.marea-slots" rw
# A real root, not a chroot: Linux makes no user namespace for a process in a chroot, and root's PostgreSQL runs in one.
cd "$root"
mkdir -p outside
pivot_root . outside
exec chroot . sh -c 'umount --lazy /outside && rmdir /outside && exec sleep infinity'
"""


def commit():
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, text=True, check=True).stdout.strip()


def is_compiled():
    """Whether an earlier try left the programs of this very commit."""
    mark = CACHE / "target/commit"
    return mark.exists() and mark.read_text() == commit()


def debian_sources():
    """This machine's own sources where it is a Debian 12 too, so that a mirror near it is used."""
    release = pathlib.Path("/etc/os-release").read_text() if pathlib.Path("/etc/os-release").exists() else ""
    if "bookworm" not in release:
        return []
    files = [pathlib.Path("/etc/apt/sources.list.d/debian.sources"), pathlib.Path("/etc/apt/sources.list")]
    return [str(path) for path in files if path.exists() and "bookworm" in path.read_text()][:1]


def archive():
    """The empty machine, made once."""
    path = CACHE / "bookworm.tar"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = CACHE / "bookworm.new.tar"
        done = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}", "bookworm", str(fresh), *debian_sources()],
            capture_output=True, text=True, timeout=1200)
        need(done.returncode == 0, f"mmdebstrap: {done.stderr[-600:]}")
        fresh.rename(path)
    return path


class Machine:
    """A fresh Debian 12 whose processes all end with it."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="marea-clean-machine-"))
        self.holder = None

    def start(self):
        subprocess.run(["tar", "--extract", "--numeric-owner", "--file", archive(), "--directory", self.root], check=True)
        self.root.chmod(0o755)
        shutil.copyfile("/etc/resolv.conf", self.root / "etc/resolv.conf")
        (self.root / "etc/profile.d/toolchains.sh").write_text(
            "export PATH=/usr/local/rust/bin:$PATH CARGO_HOME=/srv/cargo\n"
            # Node.js has authorities of its own; the machine's are the ones that were updated below.
            "export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt\n")
        # The clone's origin belongs to whoever runs this.
        (self.root / "etc/gitconfig").write_text("[safe]\n\tdirectory = *\n")
        # Registries that are reached through a proxy of the house need its authorities.
        for authority in pathlib.Path("/usr/local/share/ca-certificates").glob("*.crt"):
            shutil.copy(authority, self.root / "usr/local/share/ca-certificates")
        subprocess.run(["chroot", self.root, "update-ca-certificates"], check=True, capture_output=True)
        subprocess.run(["chroot", self.root, "useradd", "--create-home", "--uid", str(USER_ID), "--shell", "/bin/bash", USER], check=True)
        self.fill_caches()
        rust = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
        node = pathlib.Path(shutil.which("node")).resolve()
        npm = pathlib.Path(shutil.which("npm")).resolve().parent.parent
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
             "bash", "-c", MOUNTS, "mounts", self.root, rust, node, npm, CACHE, REPO],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not self.first_process():
            need(self.holder.poll() is None, f"the clean machine does not start: {self.holder.stderr.read() if self.holder.poll() is not None else ''}")
            need(time.monotonic() < deadline, "the clean machine does not start within a minute")
            time.sleep(0.1)

    def fill_caches(self):
        """Crates that this machine has downloaded are not downloaded again; the programs' dependencies are compiled once."""
        (CACHE / "target").mkdir(parents=True, exist_ok=True)
        registry = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo")) / "registry"
        if not (CACHE / "cargo").exists():
            (CACHE / "cargo").mkdir(parents=True)
            if registry.exists():
                subprocess.run(["cp", "--archive", "--reflink=auto", registry, CACHE / "cargo"], check=True)

    def first_process(self):
        """The machine's first process, once its mounts are there."""
        children = pathlib.Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()
        for child in children:
            if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "sleep":
                return child
        return None

    def run(self, user, command, timeout=600):
        """A login shell of a user, without a terminal, as in a script."""
        enter = ["nsenter", "--target", self.first_process(), "--mount", "--pid", "--root", "--wd"]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        return subprocess.run(
            [*enter, "su", "--login", user, "--command", command], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout, env=environment)

    def hand_caches_to(self, user_id):
        for name in ("cargo", "target"):
            subprocess.run(["chown", "--recursive", f"{user_id}:{user_id}", CACHE / name], check=True)

    def processes(self):
        """Those that see the machine's own files: a pod in the sandbox has files of its own, maybe under a service's names."""
        own, *rows = self.run("root", "stat --dereference --format=%i /proc/1/ns/mnt && ps -e -o mntns=,pid=,args=").stdout.splitlines()
        return [rest for namespace, rest in (row.split(maxsplit=1) for row in rows) if namespace == own]

    def close(self):
        if self.holder:
            self.holder.kill()
            self.holder.wait(30)
        shutil.rmtree(self.root, ignore_errors=True)


def clone_and_up(machine, user, user_id, compiled=False):
    """`git clone` and `scripts/up` as somebody who never was here; what a second run takes."""
    machine.hand_caches_to(user_id)
    machine.run("root", f"rm -rf {CLONE} && chown {user} {pathlib.Path(CLONE).parent}")
    cloned = machine.run(user, f"git clone --quiet /srv/marea {CLONE} && ln -s /srv/target {CLONE}/target")
    need(cloned.returncode == 0, f"git clone as {user}: {cloned.stderr}")
    if compiled:
        # Cargo goes by the times of files, and of folders that a build script names: these were compiled a moment ago.
        machine.run(user, f"cd {CLONE} && find . -path ./.git -prune -o ! -type l -print0 | xargs -0 touch --date 2000-01-01")
    started = time.monotonic()
    up = machine.run(user, f"cd {CLONE} && scripts/up", timeout=BUILD_SECONDS)
    first = time.monotonic() - started
    need(up.returncode == 0, f"scripts/up as {user}: exit {up.returncode}: {(up.stdout + up.stderr)[-1500:]}")
    check_console(machine, user)
    started = time.monotonic()
    again = machine.run(user, f"cd {CLONE} && scripts/up")
    second = time.monotonic() - started
    need(again.returncode == 0, f"scripts/up again as {user}: exit {again.returncode}: {(again.stdout + again.stderr)[-800:]}")
    need(second < AGAIN_SECONDS, f"scripts/up again as {user} took {second:.0f} s")
    return first, second


def check_console(machine, user):
    status = json.loads(machine.run(user, f"cd {CLONE} && target/release/marea status --json").stdout)
    page = fetch(machine, status["console"] + "/")
    need("<div id=" in page, f"/ is not the console for {user}: {page[:200]}")
    overview = json.loads(fetch(machine, status["console"] + "/api/v1/overview"))
    need(overview["cluster"]["nodes"] >= 3, f"the overview of {user} has {overview['cluster']['nodes']} nodes")
    need(overview.get("database"), f"the overview of {user} has nothing from PostgreSQL")


def fetch(machine, url):
    program = f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=20).read().decode())"
    done = machine.run(USER, f'python3 -c "{program}"')
    need(done.returncode == 0, f"{url}: {done.stderr[-300:]}")
    return done.stdout


def check_services(machine):
    """Installing starts nothing, and leaves no file that would forbid the administrator's own services to start."""
    started = [line for line in machine.processes() if any(path in line for path in DEBIAN_SERVICE_FILES)]
    need(not started, f"installing started services: {started}")
    left = machine.run("root", "test ! -e /usr/sbin/policy-rc.d")
    need(left.returncode == 0, "scripts/up left /usr/sbin/policy-rc.d behind")


def line():
    """a clean clone on a Debian 12 without the packages: scripts/up as an ordinary user who must ask root, as root, and as an ordinary user"""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise Skipped("needs root and mmdebstrap (apt-get install mmdebstrap)")
    for program in ("rustc", "cargo", "node", "npm"):
        if not shutil.which(program):
            raise Skipped(f"needs {program}")
    with contextlib.closing(Machine()) as machine:
        machine.start()
        machine.hand_caches_to(USER_ID)
        machine.run(USER, "git clone --quiet /srv/marea first")
        refused = machine.run(USER, "cd first && scripts/up")
        words = refused.stdout + refused.stderr
        need(refused.returncode == 1 and "apt-get install --no-install-recommends" in words and "postgresql-15" in words,
             f"without the packages an ordinary user is told: exit {refused.returncode}: {words[-600:]}")
        compiled = is_compiled()
        root_first, root_again = clone_and_up(machine, "root", 0, compiled)
        (CACHE / "target/commit").write_text(commit())
        check_services(machine)
        reset = machine.run("root", f"{CLONE}/target/release/marea local reset --yes")
        need(reset.returncode == 0, f"marea local reset: {reset.stderr}")
        user_first, user_again = clone_and_up(machine, USER, USER_ID, compiled=True)
        machine.run(USER, f"{CLONE}/target/release/marea local reset --yes")
    how = "with packages, the programs of this commit already compiled" if compiled else "with packages and compiling"
    return (f"root {root_first:.0f} s {how}, again {root_again:.1f} s; "
            f"ordinary user {user_first:.0f} s, again {user_again:.1f} s; no service started")
