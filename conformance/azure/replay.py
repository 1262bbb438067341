"""Replays recorded traffic of Azure's clients against the ARM that the environment names.

A cassette's subscription is ours, addresses of operations are those that our answers gave, and what existed before the recording began is
made first. How often an operation was asked after is not compared. What our ARM answers with 501 ends a cassette: what follows depends on it.
"""

import argparse
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

RECORDED_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
# Those that clients act upon. The others are of Azure's front ends.
HEADERS = ("azure-asyncoperation", "location", "retry-after", "etag")
OPERATION = re.compile(r"operation(status|result)?(es|s)?/", re.IGNORECASE)
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

    token = None

    def send(self, method, path, headers=None, body=None):
        headers = dict(headers or {})
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(self.endpoint + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read().decode()


def keys(value, path=""):
    """Every key's path; items of lists share one."""
    if isinstance(value, dict):
        for name, member in value.items():
            # Tags and outputs have names that their owner chose; null means the same as nothing.
            if member is None or path.endswith((".tags", ".outputs", ".parameters")):
                continue
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


def differences(recorded, answered):
    """What our answer lacks or adds, in words. Each is a status, headers in lower case, and a body."""
    found = []
    (old_status, old_headers, old_body), (status, headers, body) = recorded, answered
    if old_status != status:
        code = (parsed(body) or {}).get("error", {}) if isinstance(parsed(body), dict) else {}
        found.append(f"status {status} instead of {old_status} {code.get('code', '')}".strip())
        return found
    for name in HEADERS:
        if (name in old_headers) != (name in headers):
            found.append(f"header {name} " + ("missing" if name in old_headers else "added"))
    old_keys, new_keys = set(keys(parsed(old_body))), set(keys(parsed(body)))
    found += [f"key {key} missing" for key in sorted(old_keys - new_keys)]
    found += [f"key {key} added" for key in sorted(new_keys - old_keys)]
    return found


class Cassette:
    def __init__(self, arm, path, text):
        self.arm, self.path = arm, path
        interactions = (yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}).get("interactions") or []
        host = "https://management.azure.com"
        self.interactions = [one for one in interactions if one["request"]["uri"].startswith(host)]
        # The recorded address of an operation → ours.
        self.addresses = {}

    def local(self, text):
        """With our subscription, and a region that our ARM offers."""
        text = text.replace(RECORDED_SUBSCRIPTION, self.arm.subscription)

        def offered(found):
            name = found[2].replace(" ", "").lower()
            return found[0] if name == "global" or name in self.arm.locations else f'{found[1]}"eastus"'

        return re.sub(r'("location": ?)"([^"]*)"', offered, text)

    def path_of(self, uri):
        parts = urllib.parse.urlsplit(uri)
        known = self.addresses.get(parts.path.lower())
        if known:
            return known
        return self.local(parts.path) + (f"?{parts.query}" if parts.query else "")

    def prepare(self):
        """Groups that are read before anything makes them were there already."""
        made = set()
        for one in self.interactions:
            request, response = one["request"], one["response"]
            group = re.search(r"/subscriptions/[^/]+/resourcegroups/[^/?]+", urllib.parse.urlsplit(request["uri"]).path, re.IGNORECASE)
            if not group or group[0].lower() in made:
                continue
            made.add(group[0].lower())
            is_itself = group[0] == urllib.parse.urlsplit(request["uri"]).path
            if is_itself and (request["method"] != "GET" or response["status"]["code"] != 200):
                continue
            if response["status"]["code"] == 404:
                continue
            body = parsed(response["body"].get("string")) if is_itself else None
            body = {"location": (body or {}).get("location", "westus"), "tags": (body or {}).get("tags") or {}}
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

    def run(self):
        """Requests that were compared, and what differed of each."""
        self.prepare()
        compared, found = 0, []
        for index, one in enumerate(self.interactions):
            request, response = one["request"], one["response"]
            is_poll = request["method"] == "GET" and OPERATION.search(urllib.parse.urlsplit(request["uri"]).path)
            following = self.interactions[index + 1]["request"] if index + 1 < len(self.interactions) else {}
            # Only the last question about an operation is asked.
            if is_poll and following.get("uri") == request["uri"] and following.get("method") == "GET":
                continue
            path = self.path_of(request["uri"])
            if is_poll and path.lower().startswith(self.local(urllib.parse.urlsplit(request["uri"]).path).lower()) and urllib.parse.urlsplit(request["uri"]).path.lower() not in self.addresses:
                continue  # An operation of before the recording, or one whose request was answered otherwise.
            headers = {name: values[0] if isinstance(values, list) else values for name, values in (request["headers"] or {}).items()
                       if name.lower() in ("content-type", "accept", "if-match", "if-none-match")}
            body = request["body"]
            body = self.local(body) if isinstance(body, str) else body
            answered = self.settled(path) if is_poll else self.arm.send(request["method"], path, headers, body)
            if answered[0] == 501:
                break
            old_headers = {name.lower(): (values[0] if isinstance(values, list) else values) for name, values in (response["headers"] or {}).items()}
            self.learn(old_headers, answered[1])
            recorded = (response["status"]["code"], old_headers, (response["body"] or {}).get("string"))
            compared += 1
            for difference in differences(recorded, answered):
                found.append(f"{request['method']} {urllib.parse.urlsplit(request['uri']).path.split('/providers/')[-1]}: {difference}")
        return compared, found

    def learn(self, recorded, answered):
        for name in ("azure-asyncoperation", "location"):
            if name in recorded and name in answered:
                ours = urllib.parse.urlsplit(answered[name])
                self.addresses[urllib.parse.urlsplit(recorded[name]).path.lower()] = ours.path + (f"?{ours.query}" if ours.query else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--show", type=int, default=40, help="so many differences are printed")
    arguments = parser.parse_args()
    arm = Arm()
    files = sorted(file for folder in arguments.folders for file in ([folder] if folder.is_file() else folder.rglob("*.yaml")))
    if not files:
        sys.exit(f"replay: no *.yaml below {', '.join(map(str, arguments.folders))}")
    requests, differing, shown = 0, 0, 0
    for file in files:
        compared, found = Cassette(arm, file, file.read_text()).run()
        requests += compared
        differing += len(found)
        for difference in found:
            if shown < arguments.show:
                print(f"{file.name}: {difference}")
                shown += 1
    print(f"{requests} requests of {len(files)} recordings replayed, {differing} differences")
    sys.exit(1 if differing or not requests else 0)


if __name__ == "__main__":
    main()
