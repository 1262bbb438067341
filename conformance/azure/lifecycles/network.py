"""Virtual networks, subnets, peerings, security groups, public addresses, private DNS."""

from azure.core import MatchConditions
from harness import LOCATION, SCOPE, connect, equal, refuses

GROUP = "lc-network"
BASE = f"{SCOPE}/resourceGroups/{GROUP}/providers/Microsoft.Network"


def space(*prefixes, **more):
    return {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": list(prefixes)}, **more}}


def virtual_networks():
    connect("resources").resource_groups.create_or_update(GROUP, {"location": LOCATION})
    client = connect("network")
    networks, subnets = client.virtual_networks, client.subnets
    made = networks.begin_create_or_update(GROUP, "v", space("10.1.0.0/16", subnets=[{"name": "one", "properties": {"addressPrefix": "10.1.0.0/24"}}]))
    equal((made.provisioning_state, [s.name for s in made.subnets]), ("Succeeded", ["one"]))
    assert made.etag and made.resource_guid
    equal(networks.update_tags(GROUP, "v", {"tags": {"a": "b"}}).tags, {"a": "b"})
    equal([s.name for s in networks.get(GROUP, "V").subnets], ["one"])
    equal([n.name for n in networks.list(GROUP)], ["v"])
    assert "v" in [n.name for n in networks.list_all()]
    equal(networks.check_ip_address_availability(GROUP, "v", ip_address="10.1.0.9").available, True)
    equal(networks.check_ip_address_availability(GROUP, "v", ip_address="10.1.0.1").available, False)
    equal(len(networks.list_usage(GROUP, "v")), 1)

    subnets.begin_create_or_update(GROUP, "v", "two", {"properties": {"addressPrefix": "10.1.1.0/24"}})
    equal([s.name for s in subnets.list(GROUP, "v")], ["one", "two"])
    equal(subnets.get(GROUP, "v", "two").address_prefix, "10.1.1.0/24")
    refuses(400, "NetcfgSubnetRangesOverlap", subnets.begin_create_or_update, GROUP, "v", "bad", {"properties": {"addressPrefix": "10.1.1.128/25"}})
    refuses(400, "NetcfgInvalidSubnet", subnets.begin_create_or_update, GROUP, "v", "bad", {"properties": {"addressPrefix": "10.9.0.0/24"}})
    refuses(404, "ParentResourceNotFound", subnets.begin_create_or_update, GROUP, "none", "s", {"properties": {"addressPrefix": "10.9.0.0/24"}})
    refuses(404, "ResourceNotFound", networks.get, GROUP, "none")
    refuses(404, "ResourceGroupNotFound", networks.get, "lc-none", "v")
    subnets.begin_delete(GROUP, "v", "two")
    equal([s.name for s in subnets.list(GROUP, "v")], ["one"])


def peerings():
    client = connect("network")
    client.virtual_networks.begin_create_or_update(GROUP, "w", space("10.2.0.0/16"))
    peer = client.virtual_network_peerings
    there = {"properties": {"remoteVirtualNetwork": {"id": f"{BASE}/virtualNetworks/w"}, "allowVirtualNetworkAccess": True}}
    back = {"properties": {"remoteVirtualNetwork": {"id": f"{BASE}/virtualNetworks/v"}, "allowVirtualNetworkAccess": True}}
    equal(peer.begin_create_or_update(GROUP, "v", "to-w", there).peering_state, "Initiated")
    peer.begin_create_or_update(GROUP, "w", "to-v", back)
    equal(peer.get(GROUP, "v", "to-w").peering_state, "Connected")
    equal([p.name for p in peer.list(GROUP, "v")], ["to-w"])
    # Writing the network without its peerings or subnets in the body keeps what is not named.
    client.virtual_networks.begin_create_or_update(GROUP, "w", space("10.2.0.0/16"))
    equal(peer.get(GROUP, "v", "to-w").peering_state, "Connected")
    peer.begin_delete(GROUP, "w", "to-v")
    equal(peer.get(GROUP, "v", "to-w").peering_state, "Disconnected")
    peer.begin_delete(GROUP, "v", "to-w")
    client.virtual_networks.begin_delete(GROUP, "w")


def rule(priority, **more):
    return {"properties": {
        "priority": priority, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "80", **more}}


def security_groups():
    client = connect("network")
    groups, rules = client.network_security_groups, client.security_rules
    made = groups.begin_create_or_update(GROUP, "nsg", {"location": LOCATION, "properties": {"securityRules": [{"name": "http", **rule(100)}]}})
    equal(([r.name for r in made.security_rules], len(made.default_security_rules)), (["http"], 6))
    rules.begin_create_or_update(GROUP, "nsg", "https", rule(110, destinationPortRange="443"))
    equal([r.name for r in rules.list(GROUP, "nsg")], ["http", "https"])
    equal(rules.get(GROUP, "nsg", "https").priority, 110)
    refuses(400, "SecurityRuleConflict", rules.begin_create_or_update, GROUP, "nsg", "twin", rule(110))
    error = refuses(400, "SecurityRuleInvalidPriority", rules.begin_create_or_update, GROUP, "nsg", "low", rule(99))
    assert "100" in error.message and "4096" in error.message
    equal(groups.update_tags(GROUP, "nsg", {"tags": {"a": "b"}}).tags, {"a": "b"})
    equal(len(client.default_security_rules.list(GROUP, "nsg")), 6)
    equal(client.default_security_rules.get(GROUP, "nsg", "DenyAllInBound").priority, 65500)
    equal([g.name for g in groups.list(GROUP)], ["nsg"])
    assert "nsg" in [g.name for g in groups.list_all()]
    client.subnets.begin_create_or_update(GROUP, "v", "one", {"properties": {
        "addressPrefix": "10.1.0.0/24", "networkSecurityGroup": {"id": f"{BASE}/networkSecurityGroups/nsg"}}})
    equal([s.id.rsplit("/", 1)[1] for s in groups.get(GROUP, "nsg").subnets], ["one"])
    refuses(400, "InUseNetworkSecurityGroupCannotBeDeleted", groups.begin_delete, GROUP, "nsg")
    client.subnets.begin_create_or_update(GROUP, "v", "one", {"properties": {"addressPrefix": "10.1.0.0/24"}})
    rules.begin_delete(GROUP, "nsg", "https")
    groups.begin_delete(GROUP, "nsg")


def public_addresses():
    addresses = connect("network").public_ip_addresses
    made = addresses.begin_create_or_update(GROUP, "ip", {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
    equal((made.provisioning_state, made.idle_timeout_in_minutes, made.public_ip_address_version), ("Succeeded", 4, "IPv4"))
    assert made.ip_address
    again = addresses.begin_create_or_update(GROUP, "ip", {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": 10}})
    equal((again.ip_address, again.idle_timeout_in_minutes), (made.ip_address, 10))
    equal(addresses.update_tags(GROUP, "ip", {"tags": {"a": "b"}}).tags, {"a": "b"})
    equal(addresses.get(GROUP, "ip").name, "ip")
    equal([a.name for a in addresses.list(GROUP)], ["ip"])
    assert "ip" in [a.name for a in addresses.list_all()]
    addresses.begin_delete(GROUP, "ip")


def private_dns():
    client = connect("privatedns")
    zones, links, records = client.private_zones, client.virtual_network_links, client.record_sets
    zone = zones.begin_create_or_update(GROUP, "lc.example.com", {"location": "global"})
    equal((zone.location, zone.number_of_record_sets), ("global", 1))
    # The request is taken; its operation says that the condition does not hold.
    refuses(200, "PreconditionFailed", zones.begin_create_or_update, GROUP, "lc.example.com", {"location": "global"},
            match_condition=MatchConditions.IfMissing)
    equal(zones.begin_update(GROUP, "lc.example.com", {"tags": {"a": "b"}}).tags, {"a": "b"})
    equal(zones.get(GROUP, "lc.example.com").name, "lc.example.com")
    equal([z.name for z in zones.list_by_resource_group(GROUP)], ["lc.example.com"])
    assert "lc.example.com" in [z.name for z in zones.list()]

    network = {"location": "global", "properties": {"virtualNetwork": {"id": f"{BASE}/virtualNetworks/v"}, "registrationEnabled": False}}
    link = links.begin_create_or_update(GROUP, "lc.example.com", "l", network)
    equal((link.virtual_network_link_state, link.provisioning_state), ("Completed", "Succeeded"))
    equal(links.begin_update(GROUP, "lc.example.com", "l", {"tags": {"a": "b"}}).tags, {"a": "b"})
    equal(links.get(GROUP, "lc.example.com", "l").name, "l")
    equal([item.name for item in links.list(GROUP, "lc.example.com")], ["l"])
    refuses(409, "CannotDeleteResource", zones.begin_delete, GROUP, "lc.example.com")

    made = {
        "A": {"aRecords": [{"ipv4Address": "10.0.0.1"}]},
        "AAAA": {"aaaaRecords": [{"ipv6Address": "2001:db8::1"}]},
        "CNAME": {"cnameRecord": {"cname": "other.example.com"}},
        "MX": {"mxRecords": [{"preference": 10, "exchange": "mail.example.com"}]},
        "PTR": {"ptrRecords": [{"ptrdname": "host.example.com"}]},
        "SRV": {"srvRecords": [{"priority": 1, "weight": 2, "port": 3, "target": "srv.example.com"}]},
        "TXT": {"txtRecords": [{"value": ["hello"]}]},
    }
    for kind, properties in made.items():
        record = records.create_or_update(GROUP, "lc.example.com", kind, f"r-{kind.lower()}", {"properties": {"ttl": 60, **properties}})
        equal(record.fqdn, f"r-{kind.lower()}.lc.example.com.")
        equal(records.get(GROUP, "lc.example.com", kind, f"r-{kind.lower()}").ttl, 60)
    a = records.get(GROUP, "lc.example.com", "A", "r-a")
    changed = records.update(GROUP, "lc.example.com", "A", "r-a", {"properties": {"ttl": 120}}, etag=a.etag, match_condition=MatchConditions.IfNotModified)
    equal((changed.ttl, [r.ipv4_address for r in changed.a_records]), (120, ["10.0.0.1"]))
    refuses(412, "PreconditionFailed", records.update, GROUP, "lc.example.com", "A", "r-a", {"properties": {"ttl": 1}},
            etag=a.etag, match_condition=MatchConditions.IfNotModified)
    equal(records.get(GROUP, "lc.example.com", "SOA", "@").soa_record.minimum_ttl, 10)
    equal(len(records.list(GROUP, "lc.example.com")), 8)
    equal([r.name for r in records.list_by_type(GROUP, "lc.example.com", "TXT")], ["r-txt"])
    refuses(400, "BadRequest", records.create_or_update, GROUP, "lc.example.com", "A", "bad", {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0"}]}})
    refuses(400, "CannotAddRecordSetAsItConflictsWithAnExistingRecordSet", records.create_or_update, GROUP, "lc.example.com", "CNAME", "r-a",
            {"properties": {"ttl": 60, "cnameRecord": {"cname": "x.example.com"}}})
    for kind in made:
        records.delete(GROUP, "lc.example.com", kind, f"r-{kind.lower()}")
    links.begin_delete(GROUP, "lc.example.com", "l")
    zones.begin_delete(GROUP, "lc.example.com")
    equal(zones.list_by_resource_group(GROUP), [])
    connect("resources").resource_groups.begin_delete(GROUP)


LIFECYCLES = [virtual_networks, peerings, security_groups, public_addresses, private_dns]
