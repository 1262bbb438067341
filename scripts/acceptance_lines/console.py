"""Line 1, with the packages installed and the programs built; and what the console shows (`depth` line 8)."""

import os
import pathlib
import subprocess
import time

from .core import REPO, Skipped, need
from .platform import MAREA


def line(platform):
    """the platform comes up; / is the console, /api/v1/overview has data of the cluster and of PostgreSQL"""
    started = time.monotonic()
    platform.marea("up")
    seconds = time.monotonic() - started
    status, page = platform.get("/")
    need(status == 200 and b"<div id=" in page, "/ is not the console")
    overview = platform.overview()
    need(overview["cluster"]["nodes"] >= 3, f"the overview has {overview['cluster']['nodes']} nodes")
    need(overview.get("database"), "the overview has nothing from PostgreSQL")
    return f"up in {seconds:.2f} s"


LOAD_PATH = "/api/v1/work?units=8"
LOAD_SECONDS = 150
# Requests a second of work; about five replicas.
PEAK_RATE = 250


def line_depth(platform):
    """Chromium shows the scaling live, a published preview, events and a simulation, in both languages and themes; no console error, axe finds nothing serious"""
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not pathlib.Path(chromium).exists() or not (REPO / "frontend/node_modules").exists():
        raise Skipped("needs Chromium (CHROMIUM) and frontend/node_modules (npm ci)")
    if not (REPO / "frontend/dist/index.html").exists():
        raise Skipped("needs frontend/dist (npm run build)")
    console, pictures = platform.console(), REPO / "target/console"
    published = publish_preview(platform)
    load = subprocess.Popen(
        [MAREA, "load", "--shape", "spike", "--rate", "30", "--peak", str(PEAK_RATE), "--for", f"{LOAD_SECONDS}s", "--path", LOAD_PATH, "--json"],
        env=platform.env, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        scaling = node("console.mjs", "--url", console, "--replicas", "4", "--nodes", "2", "--for", str(LOAD_SECONDS), "--screenshots", pictures)
        views = node("views.mjs", "--url", console, "--preview", published, "--event", "SuccessfulRescale", "--simulate", "--screenshots", pictures)
    finally:
        load.terminate()
        load.wait(30)
    steps = [line for line in scaling.splitlines() if "replicas on" in line]
    need(steps, "the page showed no step")
    return f"{steps[-1].split(' · ')[0]}; views: {views.splitlines()[-1]}; pictures in {pictures.relative_to(REPO)}"


def node(script, *arguments):
    done = subprocess.run(["node", REPO / "frontend/e2e" / script, *map(str, arguments)], cwd=REPO / "frontend", capture_output=True, text=True, timeout=600)
    need(done.returncode == 0, f"{script}: {(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout.strip()


def publish_preview(platform):
    """Previews one changed field of the backend's deployment; tells what the console must then name."""
    copy = platform.copy_of_repository()
    path = copy / "k8s/backend/deployment.yaml"
    text = path.read_text()
    need("revisionHistoryLimit: 5" in text, f"{path} has no `revisionHistoryLimit: 5` to change")
    path.write_text(text.replace("revisionHistoryLimit: 5", "revisionHistoryLimit: 6"))
    done = platform.marea("preview", "--publish", cwd=copy, check=False)
    need(done.returncode == 3, f"preview --publish: exit {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
    return "Deployment platform/backend"
