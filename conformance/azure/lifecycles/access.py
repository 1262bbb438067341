"""Identities, role definitions and assignments, the activity log."""

import datetime
import uuid

from harness import LOCATION, SCOPE, connect, equal, refuses

GROUP = "lc-access"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def identities():
    connect("resources").resource_groups.create_or_update(GROUP, {"location": LOCATION})
    client = connect("msi")
    users, federated = client.user_assigned_identities, client.federated_identity_credentials
    made = users.create_or_update(GROUP, "i", {"location": LOCATION})
    assert made.principal_id and made.client_id and made.tenant_id
    again = users.create_or_update(GROUP, "i", {"location": LOCATION, "tags": {"x": "y"}})
    equal((again.principal_id, again.client_id), (made.principal_id, made.client_id))
    equal(users.update(GROUP, "i", {"tags": {"a": "b"}}).tags, {"a": "b"})
    equal(users.get(GROUP, "i").name, "i")
    equal([i.name for i in users.list_by_resource_group(GROUP)], ["i"])
    assert "i" in [i.name for i in users.list_by_subscription()]
    credential = {"properties": {"issuer": "https://issuer.example.com/", "subject": "system:serviceaccount:ns:sa", "audiences": ["api://AzureADTokenExchange"]}}
    federated.create_or_update(GROUP, "i", "f", credential)
    equal(federated.get(GROUP, "i", "f").subject, "system:serviceaccount:ns:sa")
    equal([f.name for f in federated.list(GROUP, "i")], ["f"])
    federated.delete(GROUP, "i", "f")
    assert client.operations.list()


def roles():
    client = connect("authorization")
    assignments, definitions = client.role_assignments, client.role_definitions
    scope = f"{SCOPE}/resourceGroups/{GROUP}"
    reader = [d for d in definitions.list(scope, filter="roleName eq 'Reader'")]
    equal([d.name for d in reader], [READER])
    equal(definitions.get(scope, READER).role_name, "Reader")
    equal(definitions.get_by_id(reader[0].id).role_name, "Reader")
    principal = connect("msi").user_assigned_identities.get(GROUP, "i").principal_id
    name = str(uuid.uuid4())
    wanted = {"properties": {"roleDefinitionId": reader[0].id, "principalId": principal, "principalType": "ServicePrincipal"}}
    made = assignments.create(scope, name, wanted)
    equal((made.principal_id, made.scope), (principal, scope))
    refuses(409, "RoleAssignmentExists", assignments.create, scope, str(uuid.uuid4()), wanted)
    refuses(400, "InvalidRoleAssignmentId", assignments.create, scope, "not-a-guid", wanted)
    equal(assignments.get(scope, name).name, name)
    equal(assignments.get_by_id(made.id).name, name)
    equal([a.name for a in assignments.list_for_scope(scope, filter=f"principalId eq '{principal}'")], [name])
    equal([a.name for a in assignments.list_for_resource_group(GROUP)], [name])
    assert name in [a.name for a in assignments.list_for_subscription()]
    network = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    connect("network").virtual_networks.begin_create_or_update(GROUP, "v", network)
    equal([a.name for a in assignments.list_for_resource(GROUP, "Microsoft.Network", "virtualNetworks", "v")], [name])
    assignments.delete(scope, name)
    by_id = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    assignments.create_by_id(by_id, wanted)
    assignments.delete_by_id(by_id)
    custom = str(uuid.uuid4())
    role = {"properties": {"roleName": "lc-custom", "description": "x", "type": "CustomRole", "assignableScopes": [SCOPE],
                           "permissions": [{"actions": ["Microsoft.Network/*/read"], "notActions": []}]}}
    equal(definitions.create_or_update(SCOPE, custom, role).role_type, "CustomRole")
    refuses(403, "RoleDefinitionUpdateNotPermitted", definitions.create_or_update, SCOPE, READER, role)
    definitions.delete(SCOPE, custom)
    equal(client.deny_assignments.list_for_resource_group(GROUP), [])
    equal(client.deny_assignments.list(), [])
    equal(client.deny_assignments.list_for_scope(scope), [])
    equal(client.deny_assignments.list_for_resource(GROUP, "Microsoft.Network", "", "virtualNetworks", "v"), [])
    equal([p.actions for p in client.permissions.list_for_resource_group(GROUP)], [["*"]])
    equal([p.actions for p in client.permissions.list_for_resource(GROUP, "Microsoft.Network", "", "virtualNetworks", "v")], [["*"]])
    connect("msi").user_assigned_identities.delete(GROUP, "i")


def activity_log():
    since = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    logs = connect("monitor").activity_logs
    events = logs.list(filter=f"eventTimestamp ge '{since}' and resourceGroupName eq '{GROUP}'")
    written = [e.operation_name.value for e in events]
    assert "Microsoft.Network/virtualNetworks/write" in written, written
    assert all(e.caller and e.correlation_id and e.event_timestamp for e in events)
    refuses(400, "BadRequest", logs.list, filter="resourceGroupName eq 'x'")
    connect("resources").resource_groups.begin_delete(GROUP)


LIFECYCLES = [identities, roles, activity_log]
