"""Azure's own clients against an embedded ARM, with a record of every method that was called and how it ended.

The clients are unmodified; they are pointed at the endpoint by the variables that `marea local azure-env` prints.
"""

import inspect
import os
from dataclasses import dataclass, field

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential

SUBSCRIPTION = os.environ["AZURE_SUBSCRIPTION_ID"]
ENDPOINT = os.environ["MAREA_ARM_ENDPOINT"]
LOCATION = "eastus"
SCOPE = f"/subscriptions/{SUBSCRIPTION}"

# Client, module, operation groups that are counted; None means all of them.
CLIENTS = {
    "resources": ("azure.mgmt.resource.resources", "ResourceManagementClient", None),
    "deployments": ("azure.mgmt.resource.deployments", "DeploymentsMgmtClient", None),
    "stacks": ("azure.mgmt.resource.deploymentstacks", "DeploymentStacksClient", None),
    "subscriptions": ("azure.mgmt.resource.subscriptions", "SubscriptionClient", None),
    "locks": ("azure.mgmt.resource.locks", "ManagementLockClient", None),
    "network": (
        "azure.mgmt.network",
        "NetworkManagementClient",
        ["virtual_networks", "subnets", "virtual_network_peerings", "network_security_groups", "security_rules",
         "default_security_rules", "public_ip_addresses"],
    ),
    "privatedns": ("azure.mgmt.privatedns", "PrivateDnsManagementClient", None),
    "containerservice": ("azure.mgmt.containerservice", "ContainerServiceClient", None),
    "postgresql": ("azure.mgmt.postgresqlflexibleservers", "PostgreSQLManagementClient", None),
    "authorization": (
        "azure.mgmt.authorization",
        "AuthorizationManagementClient",
        ["role_assignments", "role_definitions", "deny_assignments", "permissions"],
    ),
    "msi": ("azure.mgmt.msi", "ManagedServiceIdentityClient",
            ["operations", "user_assigned_identities", "federated_identity_credentials", "system_assigned_identities"]),
    "monitor": ("azure.mgmt.monitor", "MonitorManagementClient", ["activity_logs", "tenant_activity_logs", "event_categories"]),
}


@dataclass
class Record:
    """What became of each method: `passed`, or the status of the last refusal."""

    outcomes: dict = field(default_factory=dict)

    def passed(self, key):
        self.outcomes[key] = "passed"

    def refused(self, key, status):
        if self.outcomes.get(key) != "passed":
            self.outcomes[key] = str(status)


RECORD = Record()


class Group:
    """An operation group whose methods run to their end: lists are read, long-running operations waited for."""

    def __init__(self, client, name, group):
        self._client, self._name, self._group = client, name, group

    def __getattr__(self, method):
        target = getattr(self._group, method)
        key = (self._client, self._name, method)

        def call(*args, **kwargs):
            try:
                result = target(*args, **kwargs)
                if method.startswith("begin_"):
                    result = result.result(timeout=60)
                elif hasattr(result, "by_page"):
                    result = list(result)
            except HttpResponseError as error:
                RECORD.refused(key, error.status_code)
                raise
            RECORD.passed(key)
            return result

        return call


class Client:
    def __init__(self, name, client, groups):
        self._name, self._client, self._groups = name, client, groups

    def raw(self, group):
        """An operation group as the SDK has it: its long-running operations are started and not waited for."""
        return getattr(self._client, group)

    def __getattr__(self, group):
        return Group(self._name, group, getattr(self._client, group))


def credential(client_id=None, secret=None):
    return ClientSecretCredential(
        os.environ["AZURE_TENANT_ID"],
        client_id or os.environ["AZURE_CLIENT_ID"],
        secret or os.environ["AZURE_CLIENT_SECRET"],
        authority=os.environ["AZURE_AUTHORITY_HOST"],
        disable_instance_discovery=True,
    )


def connect(name, with_credential=None):
    module, class_name, groups = CLIENTS[name]
    made_of = getattr(__import__(module, fromlist=[class_name]), class_name)
    options = {"base_url": ENDPOINT, "credential_scopes": [f"{ENDPOINT}/.default"]}
    arguments = [with_credential or credential()]
    if "subscription_id" in inspect.signature(made_of.__init__).parameters:
        arguments.append(SUBSCRIPTION)
    return Client(name, made_of(*arguments, **options), groups)


def methods(name):
    """Every public method of the counted groups, with its function."""
    client = connect(name)
    groups = client._groups or [g for g in vars(client._client) if not g.startswith("_")]
    for group in groups:
        operations = getattr(client._client, group)
        for method in dir(operations):
            function = getattr(operations, method)
            if method.startswith("_") or not inspect.ismethod(function):
                continue
            yield group, method, function


def refuses(status, code, call, *args, **kwargs):
    """Asserts that a call is refused with this status and ARM error code."""
    try:
        call(*args, **kwargs)
    except HttpResponseError as error:
        found = error.error.code if error.error else None
        assert (error.status_code, found) == (status, code), f"expected {status} {code}, got {error.status_code} {found}: {error.message}"
        return error
    raise AssertionError(f"expected {status} {code}, but the call succeeded")


def equal(found, expected, what=""):
    assert found == expected, f"{what}: expected {expected!r}, found {found!r}"
