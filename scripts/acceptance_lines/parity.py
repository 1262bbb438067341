"""Parity: the same load on the embedded cloud and in the simulator, replica by replica."""

import datetime
import json
import threading
import time

from .core import need
from .platform import Platform, Watch
from .wave import LOAD_PATH

STEP_SECONDS = 10
# Requests a second, a row every ten seconds: up in steps, a plateau, down again.
OFFERED = [40] * 3 + [120] * 6 + [260] * 9 + [400] * 9 + [180] * 9 + [60] * 9 + [20] * 24
# At this rate, for so long, what a request costs is found out; before it, what a replica costs that has none.
CALIBRATION_RATE, CALIBRATION_SECONDS, QUIET_SECONDS = 60, 75, 45
SYNC_SECONDS = 15
WITHIN, SHARE_WANTED = 1, 0.95


class Replicas:
    """What the autoscaler wants of the backend, as a step function of time."""

    def __init__(self, platform):
        self.lock, self.steps = threading.Lock(), []
        self.watch = Watch(platform, "/apis/apps/v1/namespaces/platform/deployments?fieldSelector=metadata.name%3Dbackend", self.see)

    def see(self, _, item):
        with self.lock:
            if not self.steps or self.steps[-1][1] != item["spec"]["replicas"]:
                self.steps.append((time.time(), item["spec"]["replicas"]))

    def stop(self):
        self.watch.done.set()
        with self.lock:
            return list(self.steps)


def at(steps, instant):
    return [value for since, value in steps if since <= instant][-1]


def usage_milli(platform):
    """CPU of all backend pods, and how many there are, from the API that the autoscaler asks."""
    pods = platform.api().get("/apis/metrics.k8s.io/v1beta1/namespaces/platform/pods?labelSelector=app.kubernetes.io%2Fname%3Dbackend")["items"]
    total = sum(cores_milli(one["usage"]["cpu"]) for pod in pods for one in pod["containers"])
    return total, len(pods)


def cores_milli(quantity):
    for suffix, factor in (("n", 1e-6), ("u", 1e-3), ("m", 1)):
        if quantity.endswith(suffix):
            return float(quantity[:-1]) * factor
    return float(quantity) * 1000


def mean_usage(platform, seconds, settle=SYNC_SECONDS * 2):
    """Of the samples of that time, but for those that also saw what was before."""
    begin, seen = time.monotonic(), []
    while time.monotonic() - begin < seconds:
        time.sleep(1)
        if time.monotonic() - begin > settle:
            seen.append(usage_milli(platform))
    return sum(total for total, _ in seen) / len(seen), sum(pods for _, pods in seen) / len(seen)


def cost_of_a_request(platform):
    """Milliseconds of CPU of a request, and thousandths of a core of an idle replica."""
    idle_total, pods = mean_usage(platform, QUIET_SECONDS)
    idle = idle_total / pods
    load = threading.Thread(target=platform.marea, args=("load", "--rate", str(CALIBRATION_RATE), "--for", f"{CALIBRATION_SECONDS}s", "--path", LOAD_PATH, "--json"))
    load.start()
    busy, pods = mean_usage(platform, CALIBRATION_SECONDS - 5, settle=SYNC_SECONDS * 2 + 2)
    load.join()
    return (busy - idle * pods) / CALIBRATION_RATE, idle


def write_trace(file):
    midnight = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    rows = [f"{(midnight + datetime.timedelta(seconds=STEP_SECONDS * row)).isoformat()},{rate}" for row, rate in enumerate(OFFERED)]
    file.write_text("time,rate\n" + "\n".join(rows) + "\n")


def simulated(platform, trace, cpu_ms, idle_milli):
    """The backend's replicas from the beginning of the load on and the percentiles of response times, by the simulator."""
    seconds = STEP_SECONDS * len(OFFERED)
    scenario = {
        "environment": "local", "duration": f"{seconds}s",
        "load": {"routes": {"/api": {"trace": str(trace), "unit": "perSecond"}}},
        "work": {"backend": {"cpu": f"{cpu_ms * 1000:.0f}us", "idle": f"{max(idle_milli, 0):.0f}m", "startup": "1s", "database": {"time": "1ms"}}},
        "cloud": {"nodeBoot": {"median": "1s", "p95": "2s"}, "imagePull": "0s"},
    }
    file, timeline = platform.folder / "parity.json", platform.folder / "parity.jsonl"
    file.write_text(json.dumps(scenario))
    summary = json.loads(platform.marea("simulate", "--scenario", str(file), "--timeline", str(timeline), "--json", "--seeds", "1").stdout)
    lines = [json.loads(text) for text in timeline.read_text().splitlines()]
    moves = [line for line in lines if str(line.get("hpa", "")).endswith("backend")]
    return [(line["t"], line["from"], line["to"]) for line in moves], summary["summary"]["latency_ms"]


def against(measured, modelled):
    """Percentiles beside what the simulator says, in milliseconds: an error to publish, without a bound."""
    return ", ".join(f"{name} {measured[name]:.1f} ms live and {modelled[name]:.1f} simulated" for name in ("p50", "p95", "p99"))


def line(_):
    """the simulator, given the offered load, follows the embedded cloud's replicas within one in at least 95 % of the syncs"""
    platform = Platform(prefix="marea-parity-")
    try:
        platform.marea("up")
        platform.until("the backend's usage is known", lambda: usage_milli(platform)[1] >= 2, 120)
        cpu_ms, idle_milli = cost_of_a_request(platform)
        replicas = Replicas(platform)
        platform.until("two replicas before the load", lambda: platform.replicas() == 2, 420)
        trace = platform.folder / "offered.csv"
        write_trace(trace)
        seconds, begun = STEP_SECONDS * len(OFFERED), time.time()
        load = platform.marea("load", "--trace", str(trace), "--for", f"{seconds}s", "--path", LOAD_PATH, "--json", timeout=seconds + 120)
        live = replicas.stop()
        moves, modelled = simulated(platform, trace, cpu_ms, idle_milli)
    finally:
        platform.close()
    plan = [(0, moves[0][1] if moves else 2)] + [(t, to) for t, _, to in moves]
    pairs = [(at(live, begun + instant), at(plan, instant)) for instant in range(SYNC_SECONDS, seconds + 1, SYNC_SECONDS)]
    errors = [abs(there - planned) for there, planned in pairs]
    share = sum(error <= WITHIN for error in errors) / len(errors)
    summary = json.loads(load.stdout)
    text = (f"{len(pairs)} syncs: {100 * share:.1f} % within ±{WITHIN}, {100 * sum(e == 0 for e in errors) / len(errors):.0f} % equal, mean error {sum(errors) / len(errors):.2f} replicas, most {max(errors)}; "
            f"2 to {max(there for there, _ in pairs)} live, {max(planned for _, planned in pairs)} simulated; {summary['requests']} requests of {cpu_ms:.2f} ms of CPU, {summary['failed']} failed; "
            f"response times {against(summary['latency_ms'], modelled)}")
    need(max(there for there, _ in pairs) >= 4, f"the load moved too little to tell anything: {text}")
    need(share >= SHARE_WANTED, f"{text}\nlive and simulated: {pairs}")
    return text
