"""docs/guides/production.md, tried as a new user would: every command as it stands there, in one shell, against a local cloud.

In the guide a fenced `console` block holds commands (`$ …`) and under each the words that it must print. A comment `<!-- not run here: REASON -->` in
front of a block leaves it out.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from .core import BIN, REPO, Failed, Skipped, need
from .platform import Platform

GUIDE = REPO / "docs/guides/production.md"
SPANISH = REPO / "docs/guides/production.es.md"
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*?) -->\n)?```console\n(?P<body>.*?)```", re.DOTALL)
NOT_RUN = ("not run here: ", "no se ejecuta aquí: ")


def commands(text):
    """Every command with the lines that it must print, and the reason where it is left out."""
    found = []
    for block in BLOCK.finditer(text):
        mark = block["mark"] or ""
        reason = next((mark.removeprefix(words) for words in NOT_RUN if mark.startswith(words)), None)
        for line in block["body"].splitlines():
            if line.startswith("$ "):
                found.append((line[2:], [], reason))
            elif line.strip():
                need(found, f"the guide has output before a command: {line}")
                found[-1][1].append(line.strip())
    need(len(found) > 20, "the guide's commands cannot be found")
    return found


# Longer than the slowest of them on a busy machine: `marea up` of everything.
COMMAND_SECONDS = 300


class Ended(Failed):
    """There is no shell any more."""


class Shell:
    """One bash for all commands, as a person has."""

    def __init__(self, folder, env):
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=folder, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, command):
        """Output and exit code."""
        mark = "guide-command-ended"
        # Nobody sits at this terminal: a command that asks reads the end of its input instead of the next command.
        self.process.stdin.write(f"{{ {command}\n}} </dev/null\ncode=$?; echo; echo {mark} $code\n")
        self.process.stdin.flush()
        lines, started = [], time.monotonic()
        watch = threading.Timer(COMMAND_SECONDS, self.kill)
        watch.start()
        try:
            for line in self.process.stdout:
                if line.startswith(mark):
                    print(f"  {time.monotonic() - started:5.1f} s  {command[:120]}", file=sys.stderr, flush=True)
                    return "".join(lines), int(line.split()[1])
                lines.append(line)
        finally:
            watch.cancel()
        raise Ended(f"`{command}` did not end within {COMMAND_SECONDS} s: {''.join(lines)[-400:]}")

    def kill(self):
        """The shell and what it runs; both are in a session of their own."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def check(shell, command, expected):
    output, code = shell.run(command)
    need(code == 0, f"`{command}` ended with {code}: {output.strip()[-900:]}")
    flat = " ".join(output.split())
    for words in expected:
        need(" ".join(words.split()) in flat, f"`{command}` does not print `{words}`: {output.strip()[-900:]}")


def azure_cli():
    """The folder of az, made by conformance/azure/cli's own rules."""
    script = '. conformance/azure/lib.sh; environment azure-cli "$here/requirements-cli.txt"; echo "$venv/bin"'
    # The library finds itself by the sourcing script's place.
    done = subprocess.run(["bash", "-c", script], cwd=REPO, text=True, capture_output=True, check=False)
    if done.returncode == 3:
        raise Skipped(done.stderr.strip().splitlines()[-1])
    need(done.returncode == 0, done.stderr)
    return done.stdout.strip().splitlines()[-1]


def kubectl_folder(platform):
    program = pathlib.Path(platform.kubectl_program())
    folder = platform.folder / "bin"
    folder.mkdir()
    (folder / "kubectl").symlink_to(program)
    (folder / "marea").symlink_to(BIN / "marea")
    return folder


def line():
    """8: the production guide, command by command, with azure-cli against the embedded cloud."""
    need((BIN / "marea").exists(), f"{BIN / 'marea'} is missing: run scripts/up once, or set MAREA_BIN to where the programs are")
    english, spanish = commands(GUIDE.read_text()), commands(SPANISH.read_text())
    need([one[0] for one in english] == [one[0] for one in spanish], "the guide's commands differ between English and Spanish")
    az = azure_cli()
    platform = Platform(prefix="marea-guide-")
    try:
        return run(platform, english, az)
    finally:
        platform.close()


def run(platform, steps, az):
    copy = platform.copy_of_repository()
    platform.marea("local", "start", cwd=copy)
    exports = platform.marea("local", "azure-env").stdout
    variables = dict(re.findall(r"export (\w+)='([^']*)'", exports))
    # Azure's databases have certificates of public authorities, the embedded cloud's of its own.
    shutil.copy(variables["SSL_CERT_FILE"], copy / "infrastructure-k8s-deploy/azure-postgresql-roots.pem")
    env = {**platform.env, **variables, "AZURE_CONFIG_DIR": str(platform.folder / "az"), "AZURE_CORE_COLLECT_TELEMETRY": "0"}
    env["AZURE_CORE_ONLY_SHOW_ERRORS"] = "1"
    env["PATH"] = f"{kubectl_folder(platform)}:{az}:{os.environ['PATH']}"
    env.pop("AZURE_CORE_OUTPUT", None)
    sign_in = [
        'az cloud register -n Embedded --endpoint-resource-manager "$MAREA_ARM_ENDPOINT"',
        "az cloud set -n Embedded",
        "az config set core.instance_discovery=false",
        'az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" -t "$AZURE_TENANT_ID" -o none',
    ]
    shell = Shell(copy, env)
    try:
        for command in sign_in:
            check(shell, command, [])
        done, wrong = 0, []
        for command, expected, reason in steps:
            if reason is not None:
                continue
            try:
                check(shell, command, expected)
                done += 1
            except Ended:
                raise
            except Failed as failed:
                # What follows may still hold; whoever mends the guide wants to see all of it.
                wrong.append(str(failed))
        need(not wrong, "\n".join(wrong))
    finally:
        shell.close()
    of_az = sum(command.startswith("az ") or " az " in command for command, _, reason in steps if reason is None)
    left_out = sum(reason is not None for _, _, reason in steps)
    return f"{done} commands work as written, {of_az} of them azure-cli's; {left_out} are marked as not for the embedded cloud"
