"""Replays recorded traffic of Azure's clients against the ARM that the environment names.

Both forms are read: vcrpy's cassettes (`interactions:`, as azure-cli's tests keep them) and the test proxy's (`"Entries": […]`, as the SDKs' tests
do). A recording's subscription is ours, addresses of operations and etags are those that our answers gave, and groups that existed before the
recording began are made first. How often an operation was asked after is not compared. What our ARM answers with 501 ends a recording: what follows
depends on it.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import re
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

SUBSCRIPTION = re.compile(r"(?<=/subscriptions/)[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Those that clients act upon. The others are of Azure's front ends.
HEADERS = ("azure-asyncoperation", "location", "retry-after", "etag")
OPERATION = re.compile(r"operation(status|result)?(es|s)?/", re.IGNORECASE)
# Names that an owner chose, and documents that are handed through as they were given.
VERSION = re.compile(r'("(?:kubernetesVersion|orchestratorVersion)": ?)"([\d.]+)"')
GROUP = re.compile(r"/subscriptions/[^/]+/resourcegroups/([^/?]+)", re.IGNORECASE)
FREE = (".tags", ".outputs", ".parameters", ".template", ".nodeLabels", ".metadata")
NAMED = (".userAssignedIdentities", ".patchVersions")
DEADLINE_SECONDS = 30


class Arm:
    def __init__(self):
        self.endpoint = os.environ["MAREA_ARM_ENDPOINT"]
        self.subscription = os.environ["AZURE_SUBSCRIPTION_ID"]
        self.context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        form = urllib.parse.urlencode({
            "grant_type": "client_credentials", "client_id": os.environ["AZURE_CLIENT_ID"], "client_secret": os.environ["AZURE_CLIENT_SECRET"],
            "scope": f"{self.endpoint}/.default"})
        status, _, body = self.send("POST", f"/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token", {"Content-Type": "application/x-www-form-urlencoded"}, form)
        if status != 200:
            sys.exit(f"replay: no token: {body}")
        self.token = json.loads(body)["access_token"]
        _, _, body = self.send("GET", f"/subscriptions/{self.subscription}/locations?api-version=2022-12-01")
        self.locations = {one["name"] for one in json.loads(body)["value"]}
        _, _, body = self.send("GET", f"/subscriptions/{self.subscription}/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions?api-version=2026-05-01")
        self.kubernetes = sorted((patch for one in json.loads(body)["values"] for patch in one["patchVersions"]), key=lambda version: [int(part) for part in version.split(".")])

    token = None

    def send(self, method, path, headers=None, body=None):
        headers = dict(headers or {})
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(self.endpoint + path.replace(" ", "%20"), data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read().decode()


def keys(value, path=""):
    """Every key's path; items of lists share one."""
    if isinstance(value, dict):
        for name, member in value.items():
            # Null means the same as nothing.
            if member is None or path.endswith(FREE):
                continue
            # Ids and versions as names.
            name = "*" if path.endswith(NAMED) else name
            yield f"{path}.{name}"
            yield from keys(member, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from keys(item, f"{path}[]")


def parsed(text):
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        return json.loads(text) if text and text.strip() else None
    except ValueError:
        return None


def text_of(body):
    """A body as it went over the wire; the test proxy keeps JSON as JSON."""
    if body is None or isinstance(body, str):
        return body
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else json.dumps(body)


def first_values(headers):
    return {name.lower(): (values[0] if values else "") if isinstance(values, list) else values for name, values in (headers or {}).items()}


@dataclasses.dataclass
class Interaction:
    method: str
    path: str  # With the query.
    headers: dict  # Names in lower case.
    body: str
    status: int
    answer_headers: dict
    answer: str

    @property
    def bare_path(self):
        return urllib.parse.urlsplit(self.path).path


def interactions(document):
    """What a recording holds of Azure Resource Manager's traffic, in order."""
    for one in (document or {}).get("interactions") or []:
        request, response = one["request"], one["response"]
        yield request["uri"], Interaction(
            request["method"], "", first_values(request.get("headers")), text_of(request.get("body")), response["status"]["code"],
            first_values(response.get("headers")), text_of((response.get("body") or {}).get("string")))
    for one in (document or {}).get("Entries") or []:
        yield one["RequestUri"], Interaction(
            one["RequestMethod"], "", first_values(one.get("RequestHeaders")), text_of(one.get("RequestBody")), one["StatusCode"],
            first_values(one.get("ResponseHeaders")), text_of(one.get("ResponseBody")))


def of_arm(document):
    for address, one in interactions(document):
        parts = urllib.parse.urlsplit(address)
        # The oldest recordings name no host; sanitizers put words of their own in its place.
        if parts.netloc and not parts.netloc.startswith("management.") and "sanitized" not in parts.netloc.lower():
            continue
        if not re.match(r"/+(subscriptions|providers|tenants)\b", parts.path):
            continue
        one.path = parts.path + (f"?{parts.query}" if parts.query else "")
        yield one


def differences(recorded, answered, headers_compared=HEADERS):
    """What our answer lacks or adds, in words. Each is a status, headers in lower case, and a body."""
    found = []
    (old_status, old_headers, old_body), (status, headers, body) = recorded, answered
    if old_status != status:
        document = parsed(body)
        error = document.get("error", {}) if isinstance(document, dict) else {}
        found.append(f"status {status} instead of {old_status} {error.get('code', '')}".strip())
        return found
    for name in headers_compared:
        if (name in old_headers) != (name in headers):
            found.append(f"header {name} " + ("missing" if name in old_headers else "added"))
    old_keys, new_keys = set(keys(old_body)), set(keys(parsed(body)))
    found += [f"key {key} missing" for key in sorted(old_keys - new_keys)]
    found += [f"key {key} added" for key in sorted(new_keys - old_keys)]
    return found


class Recording:
    def __init__(self, arm, path, document):
        self.arm, self.path = arm, path
        self.interactions = list(of_arm(document))
        # The recorded address of an operation → ours, and likewise etags.
        self.addresses, self.etags = {}, {}
        # The recorded version of Kubernetes → ours.
        self.versions = {}
        self.ended_by = None
        found = (GROUP.search(one.bare_path) for one in self.interactions)
        self.groups = {group[1].lower() for group in found if group}
        # azure-cli's tests keep no `Retry-After` in what they record.
        self.headers = [name for name in HEADERS if name != "retry-after" or any(name in one.answer_headers for one in self.interactions)]

    def local(self, text):
        """With our subscription, and a region that our ARM offers."""
        text = SUBSCRIPTION.sub(self.arm.subscription, text)
        text = VERSION.sub(lambda found: found[0] if found[2] in self.arm.kubernetes else f'{found[1]}"{self.versions.get(found[2], self.arm.kubernetes[-1])}"', text)

        def offered(found):
            name = found[2].replace(" ", "").lower()
            return found[0] if name == "global" or name in self.arm.locations else f'{found[1]}"eastus"'

        return re.sub(r'("location": ?)"([^"]*)"', offered, text)

    def path_of(self, one):
        known = self.addresses.get(one.bare_path.lower())
        return known or self.local(one.path)

    def prepare(self):
        """Groups that are read before anything makes them were there already."""
        made = set()
        for one in self.interactions:
            group = GROUP.search(one.bare_path)
            if not group or group[0].lower() in made:
                continue
            made.add(group[0].lower())
            is_itself = group[0] == one.bare_path
            document = parsed(one.answer)
            error = document.get("error") if isinstance(document, dict) else None
            missing = one.status == 404 and isinstance(error, dict) and error.get("code") == "ResourceGroupNotFound"
            if is_itself and (one.method not in ("GET", "HEAD") or one.status not in (200, 204)) or missing:
                continue
            shows = (other for other in self.interactions if other.bare_path.lower() == group[0].lower() and other.status == 200 and other.method == "GET")
            body = next((parsed(other.answer) for other in shows), None)
            tags = (body or {}).get("tags")
            body = {"location": (body or {}).get("location", "westus"), **({"tags": tags} if tags else {})}
            path = self.local(group[0]) + "?api-version=2025-04-01"
            status, _, answer = self.arm.send("PUT", path, {"Content-Type": "application/json"}, self.local(json.dumps(body)))
            if status not in (200, 201):
                sys.exit(f"replay: {self.path.name}: the group of before the recording cannot be made: {status} {answer}")

    def settled(self, path):
        """The last answer about an operation."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            answer = self.arm.send("GET", path)
            body = parsed(answer[2])
            running = answer[0] == 202 or isinstance(body, dict) and str(body.get("status", "")).lower() in ("inprogress", "running", "accepted", "updating", "creating", "deleting")
            if not running or time.monotonic() > deadline:
                return answer
            time.sleep(0.05)

    def ask(self, one, path, is_poll):
        headers = {name: self.etags.get(value, value) for name, value in one.headers.items() if name in ("content-type", "accept", "if-match", "if-none-match")}
        body = self.local(one.body) if one.body else None
        return self.settled(path) if is_poll else self.arm.send(one.method, path, headers, body)

    def run(self):
        """Requests that were compared, and what differed of each."""
        self.prepare()
        compared, found = 0, []
        for index, one in enumerate(self.interactions):
            is_poll = one.method == "GET" and OPERATION.search(one.bare_path)
            following = self.interactions[index + 1] if index + 1 < len(self.interactions) else None
            # Only the last question about an operation is asked.
            if is_poll and following and (following.path, following.method) == (one.path, "GET"):
                continue
            if is_poll and one.bare_path.lower() not in self.addresses:
                continue  # An operation of before the recording, or one whose request was answered otherwise.
            answered = self.ask(one, self.path_of(one), is_poll)
            if answered[0] == 501:
                self.ended_by = f"{one.method} {one.bare_path.split('/providers/')[-1]}"
                break
            self.learn(one, answered)
            compared += 1
            for difference in differences((one.status, one.answer_headers, self.own(one)), answered, self.headers):
                found.append(f"{one.method} {one.bare_path.split('/providers/')[-1]}: {difference}")
        return compared, found

    def own(self, one):
        """The recorded answer; of a list only what lies in the recording's own groups, because its subscription was shared."""
        body = parsed(one.answer)
        if isinstance(body, dict) and isinstance(body.get("value"), list) and not GROUP.search(one.bare_path):
            def is_own(item):
                group = GROUP.search(item["id"]) if isinstance(item, dict) and isinstance(item.get("id"), str) else None
                return not group or group[1].lower() in self.groups

            body["value"] = [item for item in body["value"] if is_own(item)]
            body.pop("nextLink", None)
        return body

    def clean(self):
        """Nothing is left for the next recording, whose names may be the same."""
        self.wait_for(self.arm.send("DELETE", f"/subscriptions/{self.arm.subscription}/resourcegroups/{group}?api-version=2025-04-01") for group in sorted(self.groups))
        for kind, version in (("locks", "2020-05-01"), ("roleAssignments", "2022-04-01")):
            _, _, answer = self.arm.send("GET", f"/subscriptions/{self.arm.subscription}/providers/Microsoft.Authorization/{kind}?api-version={version}")
            for left in (parsed(answer) or {}).get("value", []):
                self.arm.send("DELETE", f"{left['id']}?api-version={version}")

    def wait_for(self, answers):
        for status, headers, _ in answers:
            if status == 202:
                where = urllib.parse.urlsplit(headers.get("location", ""))
                self.settled(where.path + (f"?{where.query}" if where.query else ""))

    def learn(self, one, answered):
        for name in ("azure-asyncoperation", "location"):
            if name in one.answer_headers and name in answered[1]:
                ours = urllib.parse.urlsplit(answered[1][name])
                theirs = urllib.parse.urlsplit(one.answer_headers[name]).path
                self.addresses[theirs.lower()] = ours.path + (f"?{ours.query}" if ours.query else "")
        old, new = parsed(one.answer), parsed(answered[2])
        for name in ("kubernetesVersion", "currentKubernetesVersion"):
            try:
                self.versions[old["properties"][name]] = new["properties"][name]
            except (KeyError, TypeError):
                pass  # No cluster.
        for name in ("etag", "eTag"):
            if isinstance(old, dict) and isinstance(new, dict) and isinstance(old.get(name), str) and isinstance(new.get(name), str):
                self.etags[old[name]] = new[name]


def read(file):
    text = file.read_text(encoding="utf-8-sig")
    return json.loads(text) if file.suffix == ".json" else yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--show", type=int, default=40, help="so many differences are printed")
    parser.add_argument("--summary", action="store_true", help="count equal differences instead, names in paths left out")
    arguments = parser.parse_args()
    arm = Arm()
    suffixes = (".yaml", ".yml", ".json")
    files = sorted(file for folder in arguments.folders for file in ([folder] if folder.is_file() else folder.rglob("*")) if file.suffix in suffixes)
    if not files:
        sys.exit(f"replay: no recording (*.yaml, *.json) below {', '.join(map(str, arguments.folders))}")
    requests, differing, shown, ended = 0, 0, 0, 0
    counted = collections.Counter()
    for file in files:
        recording = Recording(arm, file, read(file))
        compared, found = recording.run()
        recording.clean()
        requests += compared
        differing += len(found)
        if recording.ended_by:
            ended += 1
            counted[f"501: {named(recording.ended_by)}"] += 1
        for difference in found:
            counted[named(difference)] += 1
            if shown < arguments.show and not arguments.summary:
                print(f"{file.name}: {difference}")
                shown += 1
    if arguments.summary:
        for difference, times in counted.most_common(arguments.show):
            print(f"{times:5} {difference}")
    print(f"{requests} requests of {len(files)} recordings replayed, {differing} differences; {ended} recordings ended early at what is answered with 501")
    sys.exit(1 if differing or not requests else 0)


def named(difference):
    """Without the names in the path, so that the same difference of two resources is one."""
    method, _, rest = difference.partition(" ")
    path, colon, words = rest.partition(": ")
    segments = path.strip("/").split("/")
    start = 0 if segments[0] == "subscriptions" else 1
    kept = [segment if (place - start) % 2 == 0 or place == 0 else "*" for place, segment in enumerate(segments)]
    return f"{method} {'/'.join(kept)}{colon}{words}"


if __name__ == "__main__":
    main()
