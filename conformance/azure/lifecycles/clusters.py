"""Managed clusters and agent pools."""

import base64

from azure.core import MatchConditions
from harness import LOCATION, SCOPE, connect, equal, refuses

GROUP = "lc-clusters"
SUBNET = f"{SCOPE}/resourceGroups/{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/nodes"


def body(**more):
    return {
        "location": LOCATION, "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": "lc", "kubernetesVersion": "1.35",
            "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay"},
            "agentPoolProfiles": [{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_B2s", "vnetSubnetID": SUBNET}],
            **more,
        },
    }


def clusters():
    connect("resources").resource_groups.create_or_update(GROUP, {"location": LOCATION})
    network = connect("network")
    network.virtual_networks.begin_create_or_update(GROUP, "v", {"location": LOCATION, "properties": {
        "addressSpace": {"addressPrefixes": ["10.3.0.0/16"]}, "subnets": [{"name": "nodes", "properties": {"addressPrefix": "10.3.0.0/24"}}]}})
    clusters = connect("containerservice").managed_clusters
    made = clusters.begin_create_or_update(GROUP, "c", body())
    equal((made.provisioning_state, made.power_state.code, made.node_resource_group), ("Succeeded", "Running", f"MC_{GROUP}_c_{LOCATION}"))
    equal((made.network_profile.pod_cidr, made.network_profile.service_cidr, made.network_profile.dns_service_ip), ("10.244.0.0/16", "10.0.0.0/16", "10.0.0.10"))
    equal((made.sku.name, made.sku.tier, made.current_kubernetes_version[:4]), ("Base", "Free", "1.35"))
    assert made.identity.principal_id and made.fqdn and made.e_tag
    pool = made.agent_pool_profiles[0]
    equal((pool.count, pool.max_pods, pool.os_disk_size_gb, pool.os_sku, pool.provisioning_state), (1, 250, 128, "Ubuntu", "Succeeded"))

    equal(clusters.begin_update_tags(GROUP, "c", {"tags": {"a": "b"}}).tags, {"a": "b"})
    equal(clusters.get(GROUP, "C").tags, {"a": "b"})
    equal([c.name for c in clusters.list_by_resource_group(GROUP)], ["c"])
    assert "c" in [c.name for c in clusters.list()]
    for kind, name in (("admin", "clusterAdmin"), ("user", "clusterUser"), ("monitoring_user", "clusterMonitoringUser")):
        found = getattr(clusters, f"list_cluster_{kind}_credentials")(GROUP, "c").kubeconfigs[0]
        equal(found.name, name)
        text = found.value if isinstance(found.value, (bytes, bytearray)) else base64.b64decode(found.value)
        assert b"apiVersion" in bytes(text), text
    assert clusters.get_access_profile(GROUP, "c", "clusterUser").kube_config
    profile = clusters.get_upgrade_profile(GROUP, "c")
    equal([u.kubernetes_version[:4] for u in profile.control_plane_profile.upgrades], ["1.36"])
    assert "1.36" in [v.version for v in clusters.list_kubernetes_versions(LOCATION).values_property]
    clusters.list_outbound_network_dependencies_endpoints(GROUP, "c")

    own = connect("msi").system_assigned_identities.get_by_scope(made.id)
    equal(own.principal_id, made.identity.principal_id)

    stale = made.e_tag
    fresh = clusters.get(GROUP, "c").e_tag
    assert stale != fresh
    refuses(412, "PreconditionFailed", clusters.begin_create_or_update, GROUP, "c", body(), etag=stale, match_condition=MatchConditions.IfNotModified)
    refuses(400, "InUseSubnetCannotBeDeleted", network.subnets.begin_delete, GROUP, "v", "nodes")
    refuses(400, "K8sVersionNotSupported", clusters.begin_create_or_update, GROUP, "old", body(kubernetesVersion="1.20.0"))
    refuses(404, "ResourceNotFound", clusters.get, GROUP, "none")
    upgraded = clusters.begin_create_or_update(GROUP, "c", body(kubernetesVersion="1.36"))
    equal(upgraded.current_kubernetes_version[:4], "1.36")


def agent_pools():
    client = connect("containerservice")
    pools = client.agent_pools
    made = pools.begin_create_or_update(GROUP, "c", "work", {"properties": {"mode": "User", "count": 2, "vmSize": "Standard_B2s", "vnetSubnetID": SUBNET}})
    equal((made.count, made.mode, made.provisioning_state, made.power_state.code), (2, "User", "Succeeded", "Running"))
    assert made.e_tag
    made.count = 3
    equal(pools.begin_create_or_update(GROUP, "c", "work", made).count, 3)
    scaled = pools.get(GROUP, "c", "work")
    scaled.enable_auto_scaling, scaled.min_count, scaled.max_count = True, 1, 5
    scaled = pools.begin_create_or_update(GROUP, "c", "work", scaled)
    equal((scaled.enable_auto_scaling, scaled.min_count, scaled.max_count, scaled.count), (True, 1, 5, 3))
    equal(sorted(p.name for p in pools.list(GROUP, "c")), ["system", "work"])
    equal(sorted(p.name for p in client.managed_clusters.get(GROUP, "c").agent_pool_profiles), ["system", "work"])
    equal(pools.get_upgrade_profile(GROUP, "c", "work").os_type, "Linux")
    assert pools.get_available_agent_pool_versions(GROUP, "c").agent_pool_versions
    pools.begin_upgrade_node_image_version(GROUP, "c", "work")
    spec = {"properties": {"mode": "User", "count": 1, "vmSize": "Standard_B2s"}}
    refuses(400, "InvalidParameter", pools.begin_create_or_update, GROUP, "c", "Bad_Name", spec)
    refuses(400, "InvalidParameter", pools.begin_create_or_update, GROUP, "c", "neg", {"properties": {**spec["properties"], "count": -5}})
    refuses(400, "VMSizeNotSupported", pools.begin_create_or_update, GROUP, "c", "size", {"properties": {**spec["properties"], "vmSize": "Standard_Nope"}})
    refuses(400, "ErrCode_InsufficientVCPUQuota", pools.begin_create_or_update, GROUP, "c", "many", {"properties": {**spec["properties"], "count": 400}})
    refuses(400, "OperationNotAllowed", pools.begin_delete, GROUP, "c", "system")
    refuses(409, "OperationNotAllowed", pools.begin_abort_latest_operation, GROUP, "c", "work")
    pools.begin_delete(GROUP, "c", "work")
    equal([p.name for p in pools.list(GROUP, "c")], ["system"])


def maintenance():
    windows = connect("containerservice").maintenance_configurations
    config = {"properties": {"timeInWeek": [{"day": "Monday", "hourSlots": [1, 2]}]}}
    windows.create_or_update(GROUP, "c", "default", config)
    equal(windows.get(GROUP, "c", "default").time_in_week[0].day, "Monday")
    equal([w.name for w in windows.list_by_managed_cluster(GROUP, "c")], ["default"])
    refuses(400, "InvalidParameter", windows.create_or_update, GROUP, "c", "whenever", config)
    windows.delete(GROUP, "c", "default")


def stop_and_start():
    client = connect("containerservice")
    clusters = client.managed_clusters
    clusters.begin_stop(GROUP, "c")
    stopped = clusters.get(GROUP, "c")
    equal((stopped.power_state.code, stopped.provisioning_state, stopped.agent_pool_profiles[0].power_state.code), ("Stopped", "Succeeded", "Stopped"))
    refuses(409, "OperationNotAllowed", client.agent_pools.begin_create_or_update, GROUP, "c", "late", {"properties": {"mode": "User", "count": 1, "vmSize": "Standard_B2s"}})
    clusters.begin_start(GROUP, "c")
    equal(clusters.get(GROUP, "c").power_state.code, "Running")
    assert client.operations.list()
    clusters.begin_delete(GROUP, "c")
    equal(clusters.list_by_resource_group(GROUP), [])
    connect("resources").resource_groups.begin_delete(GROUP)


LIFECYCLES = [clusters, agent_pools, maintenance, stop_and_start]
