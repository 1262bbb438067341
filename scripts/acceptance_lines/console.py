"""Line 1, with the packages installed and the programs built."""

import time

from .core import need


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
