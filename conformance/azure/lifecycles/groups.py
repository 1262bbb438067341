"""Resource groups, generic resources, tags, providers, locks, subscriptions."""

from harness import LOCATION, SCOPE, SUBSCRIPTION, connect, equal, refuses


def resource_groups():
    client = connect("resources")
    groups = client.resource_groups
    equal(groups.check_existence("lc-groups"), False)
    made = groups.create_or_update("lc-groups", {"location": "East US", "tags": {"a": "1"}})
    equal((made.location, made.tags, made.properties.provisioning_state), (LOCATION, {"a": "1"}, "Succeeded"))
    equal(groups.check_existence("LC-GROUPS"), True)
    equal(groups.get("lc-Groups").name, "lc-groups")
    equal(groups.update("lc-groups", {"tags": {"b": "2"}}).tags, {"b": "2"})
    equal([g.name for g in groups.list(filter="tagName eq 'b' and tagValue eq '2'")], ["lc-groups"])
    refuses(409, "InvalidResourceGroupLocation", groups.create_or_update, "lc-groups", {"location": "westeurope"})
    refuses(400, "LocationNotAvailableForResourceGroup", groups.create_or_update, "lc-x", {"location": "moon"})
    refuses(404, "ResourceGroupNotFound", groups.get, "lc-none")
    refuses(404, "ResourceGroupNotFound", groups.begin_delete, "lc-none")
    network = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    client.resources.begin_create_or_update("lc-groups", "Microsoft.Network", "", "virtualNetworks", "v", network, api_version="2025-09-01")
    template = groups.begin_export_template("lc-groups", {"resources": ["*"]}).template
    equal([r["type"] for r in template["resources"]], ["Microsoft.Network/virtualNetworks"])
    groups.begin_delete("lc-groups")
    equal(groups.check_existence("lc-groups"), False)


def generic_resources():
    client = connect("resources")
    client.resource_groups.create_or_update("lc-generic", {"location": LOCATION})
    resources = client.resources
    body = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    args, version = ("lc-generic", "Microsoft.Network", "", "virtualNetworks", "v"), {"api_version": "2025-09-01"}
    equal(resources.check_existence(*args, **version), False)
    resources.begin_create_or_update(*args, body, **version)
    equal(resources.check_existence(*args, **version), True)
    equal(resources.get(*args, **version).name, "v")
    equal(resources.begin_update(*args, {"tags": {"x": "y"}}, **version).tags, {"x": "y"})
    by_id = f"{SCOPE}/resourceGroups/lc-generic/providers/Microsoft.Network/virtualNetworks/w"
    resources.begin_create_or_update_by_id(by_id, body, **version)
    equal(resources.check_existence_by_id(by_id, **version), True)
    equal(resources.get_by_id(by_id, **version).name, "w")
    equal(resources.begin_update_by_id(by_id, {"tags": {"k": "v"}}, **version).tags, {"k": "v"})
    equal([r.name for r in resources.list_by_resource_group("lc-generic")], ["v", "w"])
    equal([r.name for r in resources.list(filter="tagName eq 'k' and tagValue eq 'v'")], ["w"])
    resources.begin_delete_by_id(by_id, **version)
    resources.begin_delete(*args, **version)
    equal(resources.list_by_resource_group("lc-generic"), [])
    client.resource_groups.begin_delete("lc-generic")


def tags():
    client = connect("resources")
    client.resource_groups.create_or_update("lc-tags", {"location": LOCATION, "tags": {"a": "1"}})
    scope = f"{SCOPE}/resourceGroups/lc-tags"
    equal(client.tags.get_at_scope(scope).properties.tags, {"a": "1"})
    merged = client.tags.begin_update_at_scope(scope, {"operation": "Merge", "properties": {"tags": {"b": "2"}}})
    equal(merged.properties.tags, {"a": "1", "b": "2"})
    client.tags.begin_update_at_scope(scope, {"operation": "Delete", "properties": {"tags": {"a": "1"}}})
    equal(client.resource_groups.get("lc-tags").tags, {"b": "2"})
    client.tags.begin_create_or_update_at_scope(scope, {"properties": {"tags": {"c": "3"}}})
    client.tags.begin_delete_at_scope(scope)
    equal(client.tags.get_at_scope(scope).properties.tags, {})
    client.tags.create_or_update("lc-owner")
    client.tags.create_or_update_value("lc-owner", "team")
    equal([t.tag_name for t in client.tags.list() if t.tag_name == "lc-owner"], ["lc-owner"])
    client.tags.delete_value("lc-owner", "team")
    client.tags.delete("lc-owner")
    client.resource_groups.begin_delete("lc-tags")


def providers():
    client = connect("resources")
    names = [p.namespace for p in client.providers.list()]
    assert "Microsoft.ContainerService" in names, names
    equal(client.providers.unregister("Microsoft.Network").registration_state in ("Unregistering", "Unregistered", "NotRegistered"), True)
    network = connect("network")
    client.resource_groups.create_or_update("lc-providers", {"location": LOCATION})
    body = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    refuses(409, "MissingSubscriptionRegistration", network.virtual_networks.begin_create_or_update, "lc-providers", "v", body)
    client.providers.register("Microsoft.Network")
    equal(client.providers.get("Microsoft.Network").registration_state, "Registered")
    network.virtual_networks.begin_create_or_update("lc-providers", "v", body)
    client.providers.get_at_tenant_scope("Microsoft.Network")
    client.providers.list_at_tenant_scope()
    assert client.provider_resource_types.list("Microsoft.Network").value
    assert client.operations.list()
    client.resource_groups.begin_delete("lc-providers")


def locks():
    client, locks = connect("resources"), connect("locks").management_locks
    client.resource_groups.create_or_update("lc-locks", {"location": LOCATION})
    scope = f"{SCOPE}/resourceGroups/lc-locks"
    keep = {"level": "CanNotDelete", "notes": "kept"}
    locks.create_or_update_at_resource_group_level("lc-locks", "keep", keep)
    equal(locks.get_at_resource_group_level("lc-locks", "keep").level, "CanNotDelete")
    refuses(409, "ScopeLocked", client.resource_groups.begin_delete, "lc-locks")
    equal([lock.name for lock in locks.list_at_resource_group_level("lc-locks")], ["keep"])
    locks.delete_at_resource_group_level("lc-locks", "keep")
    locks.create_or_update_at_subscription_level("sub", keep)
    locks.get_at_subscription_level("sub")
    assert "sub" in [lock.name for lock in locks.list_at_subscription_level()]
    locks.delete_at_subscription_level("sub")
    locks.create_or_update_by_scope(scope, "by", {"level": "ReadOnly"})
    refuses(409, "ScopeLocked", client.resource_groups.create_or_update, "lc-locks", {"location": LOCATION, "tags": {"x": "y"}})
    locks.get_by_scope(scope, "by")
    locks.list_by_scope(scope)
    locks.delete_by_scope(scope, "by")
    connect("network").virtual_networks.begin_create_or_update(
        "lc-locks", "v", {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}})
    on = ("lc-locks", "Microsoft.Network", "", "virtualNetworks", "v")
    locks.create_or_update_at_resource_level(*on, "res", keep)
    locks.get_at_resource_level(*on, "res")
    equal([lock.name for lock in locks.list_at_resource_level(*on)], ["res"])
    refuses(409, "ScopeLocked", connect("network").virtual_networks.begin_delete, "lc-locks", "v")
    locks.delete_at_resource_level(*on, "res")
    assert connect("locks").authorization_operations.list()
    client.resource_groups.begin_delete("lc-locks")


def subscriptions():
    client = connect("subscriptions")
    equal([s.subscription_id for s in client.subscriptions.list()], [SUBSCRIPTION])
    equal(client.subscriptions.get(SUBSCRIPTION).state, "Enabled")
    assert LOCATION in [place.name for place in client.subscriptions.list_locations(SUBSCRIPTION)]
    assert len(list(client.tenants.list())) == 1
    assert client.operations.list()
    other = "99999999-9999-4999-8999-999999999999"
    refuses(404, "SubscriptionNotFound", client.subscriptions.get, other)


LIFECYCLES = [resource_groups, generic_resources, tags, providers, locks, subscriptions]
