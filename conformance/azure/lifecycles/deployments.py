"""Deployments and deployment stacks."""

from harness import LOCATION, SCOPE, connect, equal, refuses

GROUP = "lc-deploy"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
AT_SUBSCRIPTION = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"


def template(*networks, **more):
    return {
        "$schema": SCHEMA, "contentVersion": "1.0.0.0", "parameters": {"secret": {"type": "securestring", "defaultValue": "hush-hush"}},
        "resources": [{
            "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2025-09-01", "name": name, "location": "[resourceGroup().location]",
            "properties": {"addressSpace": {"addressPrefixes": ["10.5.0.0/16"]}}} for name in networks],
        "outputs": {"first": {"type": "string", "value": "[resourceId('Microsoft.Network/virtualNetworks', '%s')]" % networks[0]}} if networks else {},
        **more,
    }


def deployment(*networks, mode="Incremental", **more):
    return {"properties": {"mode": mode, "template": template(*networks, **more), "parameters": {}}}


def in_group():
    connect("resources").resource_groups.create_or_update(GROUP, {"location": LOCATION})
    client = connect("deployments")
    deployments, operations = client.deployments, client.deployment_operations
    equal(deployments.check_existence(GROUP, "d"), False)
    valid = deployments.begin_validate(GROUP, "d", deployment("a", "b"))
    equal((valid.error, len(valid.properties.validated_resources)), (None, 2))
    equal(deployments.check_existence(GROUP, "d"), False, "validation makes nothing")
    planned = deployments.begin_what_if(GROUP, "d", deployment("a", "b"))
    equal(sorted((c.change_type, c.resource_id.rsplit("/", 1)[1]) for c in planned.changes), [("Create", "a"), ("Create", "b")])
    made = deployments.begin_create_or_update(GROUP, "d", deployment("a", "b"))
    equal((made.properties.provisioning_state, made.properties.mode, len(made.properties.output_resources)), ("Succeeded", "Incremental", 2))
    equal(made.properties.outputs["first"]["value"].rsplit("/", 1)[1], "a")
    assert "hush-hush" not in str(made.as_dict())
    equal(deployments.check_existence(GROUP, "d"), True)
    equal(deployments.get(GROUP, "d").name, "d")
    equal(sorted(o.properties.target_resource.resource_name for o in operations.list(GROUP, "d") if o.properties.target_resource), ["a", "b"])
    first = operations.list(GROUP, "d")[0]
    equal(operations.get(GROUP, "d", first.operation_id).operation_id, first.operation_id)
    assert deployments.export_template(GROUP, "d").template["resources"]
    unchanged = deployments.begin_what_if(GROUP, "d", deployment("a", "b"))
    equal({c.change_type for c in unchanged.changes}, {"NoChange"})
    complete = deployments.begin_what_if(GROUP, "d", deployment("a", mode="Complete"))
    equal(sorted((c.change_type, c.resource_id.rsplit("/", 1)[1]) for c in complete.changes), [("Delete", "b"), ("NoChange", "a")])
    deployments.begin_create_or_update(GROUP, "d", deployment("a", mode="Complete"))
    equal([r.name for r in connect("resources").resources.list_by_resource_group(GROUP)], ["a"])
    equal([d.name for d in deployments.list_by_resource_group(GROUP)], ["d"])
    refuses(409, "DeploymentCannotBeCancelled", deployments.cancel, GROUP, "d")
    deployments.begin_delete(GROUP, "d")
    refuses(404, "DeploymentNotFound", deployments.get, GROUP, "d")
    assert deployments.calculate_template_hash(template("a")).template_hash


def refused_templates():
    deployments = connect("deployments").deployments
    def fails(code, **broken):
        refuses(400, code, deployments.begin_create_or_update, GROUP, "bad", {"properties": {"mode": "Incremental", "template": {**template(), **broken}}})
    network = template("x")["resources"][0]
    fails("InvalidTemplate", resources=[{**network, "name": "[nothing('x')]"}])
    fails("InvalidTemplate", resources=[{**network, "name": "[parameters('x')]"}])
    fails("InvalidTemplate", resources=[{**network, "name": "[concat('a']"}])
    fails("InvalidTemplate", resources=[{**network, "name": "a", "dependsOn": ["b"]}, {**network, "name": "b", "dependsOn": ["a"]}])
    fails("InvalidTemplate", resources=[network, network])
    fails("InvalidTemplate", resources=[{"name": "x"}])
    refuses(400, "InvalidTemplateDeployment", deployments.begin_validate, GROUP, "bad", {"properties": {"mode": "Incremental", "template": template(
        resources=[{**network, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/99"]}}}])}})
    refuses(404, "ResourceGroupNotFound", deployments.begin_create_or_update, "lc-none", "d", deployment("a"))
    equal([d.name for d in deployments.list_by_resource_group(GROUP) if d.name == "bad"], [])


def at_subscription():
    client = connect("deployments")
    deployments, operations = client.deployments, client.deployment_operations
    body = {"location": LOCATION, "properties": {"mode": "Incremental", "parameters": {}, "template": {
        "$schema": AT_SUBSCRIPTION, "contentVersion": "1.0.0.0",
        "resources": [{"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01", "name": "lc-sub", "location": LOCATION}]}}}
    equal(deployments.begin_validate_at_subscription_scope("sub", body).error, None)
    equal([c.change_type for c in deployments.begin_what_if_at_subscription_scope("sub", body).changes], ["Create"])
    made = deployments.begin_create_or_update_at_subscription_scope("sub", body)
    equal((made.location, made.properties.provisioning_state), (LOCATION, "Succeeded"))
    equal(deployments.check_existence_at_subscription_scope("sub"), True)
    equal(deployments.get_at_subscription_scope("sub").name, "sub")
    assert "sub" in [d.name for d in deployments.list_at_subscription_scope()]
    found = operations.list_at_subscription_scope("sub")
    operations.get_at_subscription_scope("sub", found[0].operation_id)
    assert deployments.export_template_at_subscription_scope("sub").template
    refuses(409, "DeploymentCannotBeCancelled", deployments.cancel_at_subscription_scope, "sub")
    refuses(400, "LocationRequired", deployments.begin_create_or_update_at_subscription_scope, "nowhere", {"properties": body["properties"]})
    deployments.begin_delete_at_subscription_scope("sub")
    # The same through the methods that take any scope.
    equal(deployments.begin_validate_at_scope(SCOPE, "any", body).error, None)
    deployments.begin_create_or_update_at_scope(SCOPE, "any", body)
    equal(deployments.check_existence_at_scope(SCOPE, "any"), True)
    deployments.get_at_scope(SCOPE, "any")
    assert "any" in [d.name for d in deployments.list_at_scope(SCOPE)]
    operations.get_at_scope(SCOPE, "any", operations.list_at_scope(SCOPE, "any")[0].operation_id)
    deployments.export_template_at_scope(SCOPE, "any")
    refuses(409, "DeploymentCannotBeCancelled", deployments.cancel_at_scope, SCOPE, "any")
    deployments.begin_delete_at_scope(SCOPE, "any")
    connect("resources").resource_groups.begin_delete("lc-sub")


def cancelled():
    """Deployments that wait for a slow cluster are cancelled while they run."""
    client = connect("deployments")
    deployments = client.deployments
    def slow(name):
        cluster = {"type": "Microsoft.ContainerService/managedClusters", "apiVersion": "2026-05-01", "name": name, "location": LOCATION,
                   "identity": {"type": "SystemAssigned"},
                   "properties": {"dnsPrefix": "x", "agentPoolProfiles": [{"name": "s", "mode": "System", "count": 1, "vmSize": "Standard_B2s"}]}}
        return template(resources=[cluster])
    def running(name):
        return {"properties": {"mode": "Incremental", "template": slow(name)}}
    started = client.raw("deployments").begin_create_or_update(GROUP, "long", running("slow-one"))
    refuses(409, "DeploymentActive", deployments.begin_create_or_update, GROUP, "long", running("slow-one"))
    refuses(409, "DeploymentActive", deployments.begin_delete, GROUP, "long")
    deployments.cancel(GROUP, "long")
    equal(deployments.get(GROUP, "long").properties.provisioning_state, "Canceled")
    assert started is not None
    inner = {"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "nested", "resourceGroup": GROUP,
             "properties": {"mode": "Incremental", "expressionEvaluationOptions": {"scope": "Inner"}, "template": slow("slow-two")}}
    body = {"location": LOCATION, "properties": {"mode": "Incremental", "template": {
        "$schema": AT_SUBSCRIPTION, "contentVersion": "1.0.0.0", "resources": [inner]}}}
    client.raw("deployments").begin_create_or_update_at_subscription_scope("long", body)
    deployments.cancel_at_subscription_scope("long")
    equal(deployments.get(GROUP, "nested").properties.provisioning_state, "Canceled")
    client.raw("deployments").begin_create_or_update_at_scope(SCOPE, "longer", {**body, "location": LOCATION})
    deployments.cancel_at_scope(SCOPE, "longer")
    clusters = connect("containerservice")
    pool = {"properties": {"mode": "User", "count": 1, "vmSize": "Standard_B2s"}}
    clusters.raw("agent_pools").begin_create_or_update(GROUP, "slow-one", "work", pool)
    clusters.agent_pools.begin_abort_latest_operation(GROUP, "slow-one", "work")
    clusters.raw("managed_clusters").begin_create_or_update(GROUP, "slow-two", {"location": LOCATION, "tags": {"again": "1"}, "identity": {"type": "SystemAssigned"},
        "properties": {"dnsPrefix": "x", "agentPoolProfiles": [{"name": "s", "mode": "System", "count": 1, "vmSize": "Standard_B2s"}]}})
    refuses(409, "OperationNotAllowed", clusters.managed_clusters.begin_stop, GROUP, "slow-two")
    clusters.managed_clusters.begin_abort_latest_operation(GROUP, "slow-two")
    for name in ("slow-one", "slow-two"):
        clusters.managed_clusters.begin_delete(GROUP, name)


def stack(resources, scope_schema, action="delete", **more):
    return {"location": LOCATION, "properties": {
        "template": {"$schema": scope_schema, "contentVersion": "1.0.0.0", "resources": resources, "outputs": {"answer": {"type": "int", "value": 42}}},
        "actionOnUnmanage": {"resources": action, "resourceGroups": action}, "denySettings": {"mode": "none"}, **more}}


def network(name):
    return template(name)["resources"][0]


def stacks_in_group():
    client = connect("stacks")
    stacks, what_ifs = client.deployment_stacks, client.deployment_stacks_what_if_results_at_resource_group
    equal(stacks.begin_validate_stack_at_resource_group(GROUP, "s", stack([network("s1")], SCHEMA)).error, None)
    made = stacks.begin_create_or_update_at_resource_group(GROUP, "s", stack([network("s1"), network("s2")], SCHEMA))
    equal((made.properties.provisioning_state.lower(), len(made.properties.resources), made.properties.outputs["answer"]["value"]), ("succeeded", 2, 42))
    equal({r.status for r in made.properties.resources}, {"managed"})
    equal(stacks.get_at_resource_group(GROUP, "s").name, "s")
    equal([s.name for s in stacks.list_at_resource_group(GROUP)], ["s"])
    assert stacks.export_template_at_resource_group(GROUP, "s").template
    planned = what_ifs.begin_create_or_update(GROUP, "w", {"location": LOCATION, "properties": {
        **stack([network("s1")], SCHEMA)["properties"], "deploymentStackResourceId": f"{SCOPE}/resourceGroups/{GROUP}/providers/Microsoft.Resources/deploymentStacks/s", "retentionInterval": "P1D"}})
    assert planned.properties.provisioning_state.lower() == "succeeded"
    changes = what_ifs.begin_what_if(GROUP, "w").properties.changes.resource_changes
    equal(sorted((c.change_type, c.id.rsplit("/", 1)[1]) for c in changes), [("delete", "s2"), ("noChange", "s1")])
    what_ifs.get(GROUP, "w")
    equal([w.name for w in what_ifs.list(GROUP)], ["w"])
    what_ifs.delete(GROUP, "w")
    fewer = stacks.begin_create_or_update_at_resource_group(GROUP, "s", stack([network("s1")], SCHEMA))
    equal([r.id.rsplit("/", 1)[1] for r in fewer.properties.deleted_resources], ["s2"])
    # Deny settings bind everybody but the stack.
    denied = stack([network("s1")], SCHEMA, denySettings={"mode": "denyWriteAndDelete", "applyToChildScopes": True})
    stacks.begin_create_or_update_at_resource_group(GROUP, "s", denied)
    plain = connect("network").virtual_networks
    refuses(403, "DenyAssignmentAuthorizationFailed", plain.begin_delete, GROUP, "s1")
    denials = connect("authorization").deny_assignments
    denial = denials.list()[0]
    equal(denials.get(denial.scope, denial.name).name, denial.name)
    equal(denials.get_by_id(denial.id).name, denial.name)
    refuses(403, "DenyAssignmentAuthorizationFailed", plain.begin_create_or_update, GROUP, "s1", {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.6.0.0/16"]}}})
    # Detached: the stack goes, the network stays.
    stacks.begin_delete_at_resource_group(GROUP, "s", unmanage_action_resources="detach")
    equal(plain.get(GROUP, "s1").name, "s1")
    refuses(404, "DeploymentStackResourceNotFound", stacks.get_at_resource_group, GROUP, "s")


def stacks_at_subscription():
    client = connect("stacks")
    stacks, what_ifs = client.deployment_stacks, client.deployment_stacks_what_if_results_at_subscription
    group = {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01", "name": "lc-stack", "location": LOCATION}
    inner = {"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "inner", "resourceGroup": "lc-stack",
             "dependsOn": ["[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'lc-stack')]"],
             "properties": {"mode": "Incremental", "expressionEvaluationOptions": {"scope": "Inner"}, "template": template("v")}}
    body = stack([group, inner], AT_SUBSCRIPTION)
    stacks.begin_validate_stack_at_subscription("s", body)
    what = {"location": LOCATION, "properties": {**body["properties"], "deploymentStackResourceId": f"{SCOPE}/providers/Microsoft.Resources/deploymentStacks/s", "retentionInterval": "P1D"}}
    what_ifs.begin_create_or_update("w", what)
    changes = what_ifs.begin_what_if("w").properties.changes.resource_changes
    equal({c.change_type for c in changes}, {"create"})
    what_ifs.get("w")
    assert "w" in [w.name for w in what_ifs.list()]
    what_ifs.delete("w")
    made = stacks.begin_create_or_update_at_subscription("s", body)
    equal(sorted(r.id.rsplit("/", 1)[1] for r in made.properties.resources), ["lc-stack", "v"])
    stacks.get_at_subscription("s")
    assert "s" in [s.name for s in stacks.list_at_subscription()]
    stacks.export_template_at_subscription("s")
    stacks.begin_delete_at_subscription("s", unmanage_action_resources="delete", unmanage_action_resource_groups="delete")
    equal(connect("resources").resource_groups.check_existence("lc-stack"), False)
    connect("resources").resource_groups.begin_delete(GROUP)


LIFECYCLES = [in_group, refused_templates, at_subscription, cancelled, stacks_in_group, stacks_at_subscription]
