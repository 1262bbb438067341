"""The backend is any image that answers /health: a plain Flask one takes its place, by configuration only."""

import json
import subprocess
import sys
import venv

from .core import Skipped, need
from .platform import Platform

IMAGE = "registry.example/flask-backend"
APPLICATION = '''
import os
from flask import Flask, jsonify
from waitress import serve

app = Flask(__name__)


@app.get("/health")
def health():
    return "ok"


@app.get("/api/hello")
def hello():
    return jsonify(framework="flask", pod=os.environ["POD_NAME"])


serve(app, listen=os.environ["BIND_ADDRESS"], threads=2)
'''
CATALOGUE = """images:
  - image: {image}
    command: ["{python}", "{program}"]
    paths: ["{folder}", "{interpreter}"]
"""


def flask(folder):
    """An interpreter that has Flask; made by pip in a folder of its own."""
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin/python"
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", "flask", "waitress"], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise Skipped(f"Flask cannot be installed: {(done.stderr.strip().splitlines() or ['pip failed'])[-1][:200]}")
    return python


def swapped(repository):
    """The deploy stack's file with another backend; nothing else differs."""
    path = repository / "infrastructure-k8s-deploy/stack.local.yaml"
    text = path.read_text()
    own = "    image: marea.azurecr.io/backend:0.1.0\n"
    need(own in text, f"{path} has no `{own.strip()}`")
    path.write_text(text.replace(own, f"    image: {IMAGE}:1\n    readinessPath: /health\n    publicPath: /api/hello\n"))


def line(_):
    """a plain Flask image with /health takes the backend's place by configuration only, and gives it back"""
    platform = Platform(prefix="marea-swap-")
    try:
        program = platform.folder / "app.py"
        program.write_text(APPLICATION)
        platform.data.mkdir(parents=True)
        python = flask(platform.folder)
        # The environment's python is a link to the one that made it, which may live outside /usr.
        catalogue = CATALOGUE.format(image=IMAGE, python=python, program=program, folder=platform.folder, interpreter=sys.base_prefix)
        (platform.data / "images.yaml").write_text(catalogue)
        copy = platform.copy_of_repository()
        swapped(copy)
        up = platform.marea("up", cwd=copy)
        answer = json.loads(platform.get("/api/hello")[1])
        need(answer["framework"] == "flask", f"/api/hello answers {answer}")
        need(platform.get("/")[0] == 200, "the console's page is gone with its backend")
        platform.until("two Flask pods", lambda: platform.replicas() == 2, 60)
        need("unchanged" in platform.marea("up", cwd=copy).stdout, "a second up with Flask changes something")
        platform.marea("up")
        need(platform.overview().get("database"), "the platform's own backend did not come back")
        return f"{answer['pod']} answered through the ingress; {up.stdout.strip().splitlines()[-1]}; back again with one up"
    finally:
        platform.close()
