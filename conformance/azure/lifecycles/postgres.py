"""Flexible servers, databases, configurations, firewall rules."""

from harness import LOCATION, SCOPE, connect, equal, refuses

GROUP = "lc-postgres"
NETWORK = f"{SCOPE}/resourceGroups/{GROUP}/providers/Microsoft.Network"
PASSWORD = "Pa55word!conformance"


def server(**more):
    return {
        "location": LOCATION, "sku": {"name": "Standard_B1ms", "tier": "Burstable"},
        "properties": {"version": "16", "administratorLogin": "marea", "administratorLoginPassword": PASSWORD, "storage": {"storageSizeGB": 32}, **more},
    }


def public_server():
    connect("resources").resource_groups.create_or_update(GROUP, {"location": LOCATION})
    client = connect("postgresql")
    servers = client.servers
    made = servers.begin_create_or_update(GROUP, "lc-public", server())
    equal((made.state, made.fully_qualified_domain_name), ("Ready", "lc-public.postgres.database.azure.com"))
    equal((made.storage.tier, made.backup.backup_retention_days, made.high_availability.mode), ("P4", 7, "Disabled"))
    assert PASSWORD not in str(made.as_dict()), "the password is returned"
    updated = servers.begin_update(GROUP, "lc-public", {"tags": {"a": "b"}, "properties": {"storage": {"storageSizeGB": 64}}})
    equal((updated.tags, updated.storage.storage_size_gb), ({"a": "b"}, 64))
    refuses(400, "InvalidParameterValue", servers.begin_update, GROUP, "lc-public", {"properties": {"storage": {"storageSizeGB": 32}}})
    refuses(400, "PasswordNotComplex", servers.begin_create_or_update, GROUP, "lc-weak", server(administratorLoginPassword="short"))
    refuses(400, "InvalidParameterValue", servers.begin_create_or_update, GROUP, "Bad_Name", server())
    refuses(400, "InvalidParameterValue", servers.begin_create_or_update, GROUP, "lc-version", server(version="9"))
    equal([s.name for s in servers.list_by_resource_group(GROUP)], ["lc-public"])
    assert "lc-public" in [s.name for s in servers.list_by_subscription()]
    equal(servers.get(GROUP, "LC-public").name, "lc-public")

    rules = client.firewall_rules
    rules.begin_create_or_update(GROUP, "lc-public", "office", {"properties": {"startIpAddress": "203.0.113.1", "endIpAddress": "203.0.113.9"}})
    equal(rules.get(GROUP, "lc-public", "office").end_ip_address, "203.0.113.9")
    equal([r.name for r in rules.list_by_server(GROUP, "lc-public")], ["office"])
    refuses(400, "InvalidParameterValue", rules.begin_create_or_update, GROUP, "lc-public", "bad", {"properties": {"startIpAddress": "203.0.113.9", "endIpAddress": "203.0.113.1"}})
    rules.begin_delete(GROUP, "lc-public", "office")


def databases_and_configurations():
    client = connect("postgresql")
    databases, settings = client.databases, client.configurations
    databases.begin_create(GROUP, "lc-public", "app", {"properties": {"charset": "UTF8", "collation": "en_US.utf8"}})
    equal(databases.get(GROUP, "lc-public", "app").collation, "en_US.utf8")
    assert {"app", "postgres", "azure_maintenance", "azure_sys"} <= {d.name for d in databases.list_by_server(GROUP, "lc-public")}
    refuses(400, "OperationNotAllowed", databases.begin_delete, GROUP, "lc-public", "postgres")
    databases.begin_delete(GROUP, "lc-public", "app")
    refuses(404, "ResourceNotFound", databases.get, GROUP, "lc-public", "app")
    equal(settings.get(GROUP, "lc-public", "max_connections").default_value, "50")
    settings.begin_put(GROUP, "lc-public", "log_min_duration_statement", {"properties": {"value": "500", "source": "user-override"}})
    changed = settings.begin_update(GROUP, "lc-public", "log_min_duration_statement", {"properties": {"value": "250", "source": "user-override"}})
    equal((changed.value, changed.source, changed.default_value), ("250", "user-override", "-1"))
    # A parameter that still has its default is changed by PATCH as well.
    equal(settings.begin_update(GROUP, "lc-public", "lock_timeout", {"properties": {"value": "100", "source": "user-override"}}).value, "100")
    assert len(settings.list_by_server(GROUP, "lc-public")) >= 20
    refuses(400, "InvalidParameterValue", settings.begin_put, GROUP, "lc-public", "log_min_duration_statement", {"properties": {"value": "soon"}})


def power():
    client = connect("postgresql")
    servers = client.servers
    servers.begin_stop(GROUP, "lc-public")
    equal(servers.get(GROUP, "lc-public").state, "Stopped")
    servers.begin_start(GROUP, "lc-public")
    servers.begin_restart(GROUP, "lc-public")
    equal(servers.get(GROUP, "lc-public").state, "Ready")
    refuses(501, "NotImplemented", servers.begin_restart, GROUP, "lc-public", {"restartWithFailover": True, "failoverMode": "PlannedFailover"})
    assert client.capabilities_by_location.list(LOCATION) and client.capabilities_by_server.list(GROUP, "lc-public")
    equal(client.replicas.list_by_server(GROUP, "lc-public"), [])
    kind = "Microsoft.DBforPostgreSQL/flexibleServers"
    equal(client.name_availability.check_globally({"name": "lc-public", "type": kind}).name_available, False)
    equal(client.name_availability.check_with_location(LOCATION, {"name": "lc-free", "type": kind}).name_available, True)
    assert client.private_dns_zone_suffix.get().endswith("postgres.database.azure.com")
    assert client.quota_usages.list(LOCATION)
    assert client.operations.list()


def private_server():
    network, dns, client = connect("network"), connect("privatedns"), connect("postgresql")
    delegation = [{"name": "pg", "properties": {"serviceName": "Microsoft.DBforPostgreSQL/flexibleServers"}}]
    network.virtual_networks.begin_create_or_update(GROUP, "v", {"location": LOCATION, "properties": {
        "addressSpace": {"addressPrefixes": ["10.4.0.0/16"]},
        "subnets": [{"name": "pg", "properties": {"addressPrefix": "10.4.0.0/28", "delegations": delegation}}, {"name": "plain", "properties": {"addressPrefix": "10.4.1.0/28"}}]}})
    zone = "lc.private.postgres.database.azure.com"
    dns.private_zones.begin_create_or_update(GROUP, zone, {"location": "global"})
    def placed(subnet):
        return server(network={"delegatedSubnetResourceId": f"{NETWORK}/virtualNetworks/v/subnets/{subnet}", "privateDnsZoneArmResourceId": f"{NETWORK}/privateDnsZones/{zone}"})
    refuses(400, "SubnetNotDelegated", client.servers.begin_create_or_update, GROUP, "lc-private", placed("plain"))
    made = client.servers.begin_create_or_update(GROUP, "lc-private", placed("pg"))
    equal(made.network.public_network_access, "Disabled")
    refuses(400, "InUseSubnetCannotBeDeleted", network.subnets.begin_delete, GROUP, "v", "pg")
    refuses(409, "CannotDeleteResource", dns.private_zones.begin_delete, GROUP, zone)
    refuses(400, "FirewallRulesNotAllowed", client.firewall_rules.begin_create_or_update, GROUP, "lc-private", "x", {"properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}})
    usage = client.virtual_network_subnet_usage.list(LOCATION, {"virtualNetworkArmResourceId": f"{NETWORK}/virtualNetworks/v"})
    assert {u.subnet_name: u.usage for u in usage.delegated_subnets_usage}["pg"] == 1
    client.servers.begin_delete(GROUP, "lc-private")
    client.servers.begin_delete(GROUP, "lc-public")
    equal(client.servers.list_by_resource_group(GROUP), [])
    connect("resources").resource_groups.begin_delete(GROUP)


LIFECYCLES = [public_server, databases_and_configurations, power, private_server]
