//! One thing broken, for every rule at least once.

use serde_json::json;

use super::Fixture;

pub(super) struct Fault {
    pub(super) rule: &'static str,
    pub(super) break_it: fn(&mut Fixture),
    /// Part of the finding's line and field.
    pub(super) expected: &'static str,
}

macro_rules! fault {
    ($rule:literal, $expected:literal, $break_it:expr) => {
        Fault { rule: $rule, break_it: $break_it, expected: $expected }
    };
}

pub(super) const FAULTS: &[Fault] = &[
    fault!("hpa-bounds", "a minimum of 12 and a maximum of 10", |f| f.hpa()["minReplicas"] = json!(12)),
    fault!("hpa-scale-to-zero", "a minimum of 0 needs a metric", |f| f.hpa()["minReplicas"] = json!(0)),
    fault!("hpa-without-target", "scales Deployment wob, which no manifest has", |f| {
        f.hpa()["scaleTargetRef"]["name"] = json!("wob");
    }),
    fault!("hpa-duplicate", "as the HPA web does", |f| {
        let mut second = f.object("HorizontalPodAutoscaler", "web").clone();
        second["metadata"]["name"] = json!("web-memory");
        f.manifests.push(second);
    }),
    fault!("replicas-beside-hpa", "which the HPA web rules", |f| {
        f.object("Deployment", "web")["spec"]["replicas"] = json!(3);
    }),
    fault!("hpa-target-without-request", "requests no cpu, and the HPA web", |f| {
        f.container()["resources"] = json!({"requests": {"memory": "256Mi"}});
    }),
    fault!("hpa-target-without-request", "container sidecar requests no cpu", |f| {
        f.pod()["initContainers"] = json!([{"name": "sidecar", "image": "x:1", "restartPolicy": "Always",
            "resources": {"requests": {"memory": "1Mi"}}}]);
    }),
    fault!("hpa-container-unknown", "measures the container `app`", |f| {
        f.hpa()["metrics"].as_array_mut().unwrap().push(json!({"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "app", "target": {"type": "Utilization", "averageUtilization": 70}}}));
    }),
    fault!("hpa-target-beyond-limit", "more than all of the limit", |f| {
        f.hpa()["metrics"][0]["resource"]["target"]["averageUtilization"] = json!(250);
    }),
    fault!("hpa-start-up-counts-as-load", "no container has a readiness probe", |f| {
        f.container().as_object_mut().unwrap().remove("readinessProbe");
    }),
    fault!("hpa-start-up-counts-as-load", "the startup probe allows 600 s", |f| {
        f.container()["startupProbe"]["failureThreshold"] = json!(600);
    }),
    fault!("hpa-max-exceeds-pool", "of 16 replicas 15 fit on the 5 node(s) of web", |f| {
        f.hpa()["maxReplicas"] = json!(16);
        // Enough connections for them, so that only the nodes are too few.
        f.object("ConfigMap", "web")["data"]["POOL"] = json!("1");
    }),
    fault!("rollout-does-not-fit", "at 15 replicas an additional pod has no place", |f| {
        f.hpa()["maxReplicas"] = json!(15);
        f.object("ConfigMap", "web")["data"]["POOL"] = json!("1");
    }),
    fault!("workload-does-not-fit", "of 80 pods ", |f| f.object("Deployment", "edge")["spec"]["replicas"] = json!(80)),
    fault!("pod-exceeds-node", "one pod asks for 1800m", |f| {
        f.container()["resources"] = json!({"requests": {"cpu": "1800m", "memory": "1Gi"}});
    }),
    fault!("spread-unsatisfiable", "of 10 pods 5 have a place", |f| {
        f.pod()["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}});
        f.pod().as_object_mut().unwrap().remove("topologySpreadConstraints");
    }),
    fault!("spread-unsatisfiable", "topologySpreadConstraints", |f| {
        let constraint = &mut f.pod()["topologySpreadConstraints"][0];
        constraint["topologyKey"] = json!("topology.example/rack");
        constraint["whenUnsatisfiable"] = json!("DoNotSchedule");
    }),
    fault!("unknown-pool", "asks for the pool `wob`, which no template has; pools are `system`, `web`", |f| {
        f.pod()["nodeSelector"]["marea.dev/pool"] = json!("wob");
    }),
    fault!("untolerated-taint", "does not tolerate its taint `marea.dev/pool=web:NoSchedule`", |f| {
        f.pod()["tolerations"] = json!([]);
    }),
    fault!("pool-bounds", "a minimum of 6 is above the maximum of 5", |f| f.pool(1)["minCount"] = json!(6)),
    fault!(
        "pool-credits",
        "10 replicas of web at 70 % use 3500m, and without credits 4 × Standard_B2as_v2 sustain 3200m",
        |f| {
            f.pool(1)["vmSize"] = json!("Standard_B2as_v2");
            f.pool(1)["maxCount"] = json!(4);
        }
    ),
    fault!("system-pool-size", "fewer than 4 vCPUs", |f| f.pool(0)["vmSize"] = json!("Standard_D2s_v5")),
    fault!("system-pool-single-node", "has 1 node", |f| f.pool(0)["count"] = json!(1)),
    fault!("user-pool-size", "`Standard_B2ats_v2` has 2 vCPU and 1024 MiB", |f| f.add_pool("Standard_B2ats_v2")),
    fault!("vm-size-retires", "`Standard_B2s` retires on 2028-11-15", |f| f.add_pool("Standard_B2s")),
    fault!("vm-size-unknown", "the size `Standard_D4als_v66` is not known", |f| {
        f.pool(0)["vmSize"] = json!("Standard_D4als_v66");
    }),
    fault!("kubernetes-version", "1.33 is past its end", |f| {
        f.resource("managedClusters", "shop")["kubernetesVersion"] = json!("1.33");
    }),
    fault!("autoscaler-profile", "scan-interval", |f| {
        f.resource("managedClusters", "shop")["autoScalerProfile"]["scan-interval"] = json!("ten seconds");
    }),
    fault!("subnet-too-small", "3 usable addresses, and the maximum with its surge needs 6", |f| {
        f.resource("virtualNetworks", "cluster")["subnets"][1]["properties"]["addressPrefix"] = json!("10.0.1.0/29");
    }),
    fault!("pod-range-too-small", "has 4 blocks of /24", |f| {
        f.resource("managedClusters", "shop")["networkProfile"]["podCidr"] = json!("10.244.0.0/22");
    }),
    fault!("ranges-overlap", "the services' range 10.244.0.0/16 overlaps the pods' range", |f| {
        let profile = &mut f.resource("managedClusters", "shop")["networkProfile"];
        profile["serviceCidr"] = json!("10.244.0.0/16");
        profile["dnsServiceIP"] = json!("10.244.0.10");
    }),
    fault!("ranges-overlap", "is not inside the network", |f| {
        f.resource("virtualNetworks", "cluster")["subnets"][1]["properties"]["addressPrefix"] = json!("10.9.1.0/24");
    }),
    fault!("ranges-overlap", "the DNS service's 10.100.0.1", |f| {
        f.resource("managedClusters", "shop")["networkProfile"]["dnsServiceIP"] = json!("10.100.0.1");
    }),
    fault!("ranges-overlap", "overlaps 172.30.0.0/16, which AKS refuses", |f| {
        f.resource("managedClusters", "shop")["networkProfile"]["podCidr"] = json!("172.30.0.0/16");
    }),
    fault!("database-connections", "11 pods of web × 5 are 55 connections, and Standard_B1ms has 35", |f| {
        f.object("ConfigMap", "web")["data"]["POOL"] = json!("5");
    }),
    fault!("database-public", "is reachable from the internet", |f| {
        f.resource("flexibleServers", "db")["network"]["publicNetworkAccess"] = json!("Enabled");
    }),
    fault!("database-admits-others", "the rule web admits *", |f| {
        f.resource("networkSecurityGroups", "database")["securityRules"][0]["properties"]["sourceAddressPrefix"] =
            json!("*");
    }),
    fault!("budget-blocks-drains", "minAvailable: 2 of the least 2 pod(s)", |f| {
        f.object("PodDisruptionBudget", "web")["spec"] =
            json!({"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}});
    }),
    fault!("budget-blocks-drains", "maxUnavailable: 0%", |f| {
        f.object("PodDisruptionBudget", "web")["spec"]["maxUnavailable"] = json!("0%");
    }),
    fault!("budget-selects", "selects no workload's pods", |f| {
        f.object("PodDisruptionBudget", "web")["spec"]["selector"]["matchLabels"]["app"] = json!("wob");
    }),
    fault!("budget-selects", "as the budget web does", |f| {
        let mut second = f.object("PodDisruptionBudget", "web").clone();
        second["metadata"]["name"] = json!("web-again");
        f.manifests.push(second);
    }),
    fault!("requests-missing", "container edge requests no cpu", |f| {
        f.object("Deployment", "edge")["spec"]["template"]["spec"]["containers"][0]["resources"] =
            json!({"requests": {"memory": "64Mi"}});
    }),
    fault!("limit-below-request", "requests 256Mi of memory and is limited to 128Mi", |f| {
        f.container()["resources"]["limits"]["memory"] = json!("128Mi");
    }),
    fault!("readiness-missing", "the Service edge sends it requests", |f| {
        f.object("Deployment", "edge")["spec"]["template"]["spec"]["containers"][0]
            .as_object_mut()
            .unwrap()
            .remove("readinessProbe");
    }),
    fault!("probe-port", "probes the port `web`, which container web has not", |f| {
        f.container()["readinessProbe"]["httpGet"]["port"] = json!("web");
    }),
    fault!("grace-too-short", "sleeps 40 s of the 40 s", |f| {
        f.container()["lifecycle"]["preStop"]["sleep"]["seconds"] = json!(40);
    }),
    fault!("image-tag", "runs `registry.example/web:latest`", |f| {
        f.container()["image"] = json!("registry.example/web:latest");
    }),
    fault!("image-tag", "which names no version at spec.template.spec.containers[0].image", |f| {
        f.container()["image"] = json!("registry.example:5000/web");
    }),
    fault!("secret-in-plain-text", "has GREETING in plain text", |f| {
        f.container()["env"][2]["value"] = json!("postgres://web:hunter2@db.example/shop");
    }),
    fault!("secret-in-plain-text", "a ConfigMap is no place for `API_KEY`", |f| {
        f.object("ConfigMap", "web")["data"]["API_KEY"] = json!("abc");
    }),
    fault!("secret-in-plain-text", "a manifest holds the value of `password`", |f| {
        f.manifests.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"},
            "stringData": {"password": "hunter2"}}));
    }),
    fault!("privileged", "container web is privileged", |f| {
        f.container()["securityContext"] = json!({"privileged": true});
    }),
    fault!("privileged", "sets hostPID", |f| f.pod()["hostPID"] = json!(true)),
    fault!("host-path", "mounts /var/data of the node", |f| {
        f.pod()["volumes"][0] = json!({"name": "tmp", "hostPath": {"path": "/var/data"}});
    }),
    fault!("runs-as-root", "container web runs as user 0", |f| f.pod()["securityContext"] = json!({"runAsUser": 0})),
    fault!("runs-as-root", "may run as root", |f| f.pod()["securityContext"] = json!({})),
    fault!("selector-mismatch", "its selector does not match", |f| {
        f.object("Deployment", "web")["spec"]["selector"]["matchLabels"]["app"] = json!("wob");
    }),
    fault!("service-without-pods", "selects app=wob, which no workload of shop has", |f| {
        let mut service = f.object("Service", "web").clone();
        service["metadata"] = json!({"name": "other", "namespace": "shop"});
        service["spec"]["selector"]["app"] = json!("wob");
        f.manifests.push(service);
    }),
    fault!("service-port", "sends to the port `grpc`", |f| {
        f.object("Service", "web")["spec"]["ports"][0]["targetPort"] = json!("grpc");
    }),
    fault!("ingress-backend", "leads to the Service web, which has no port 8080", |f| {
        f.object("Ingress", "web")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"]["number"] =
            json!(8080);
    }),
    fault!("ingress-backend", "leads to the Service wob, which shop has not", |f| {
        f.object("Ingress", "web")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = json!("wob");
    }),
    fault!("ingress-class", "asks for the class `nginx`; declared are edge", |f| {
        f.object("Ingress", "web")["spec"]["ingressClassName"] = json!("nginx");
    }),
    fault!("network-policy-cuts-path", "cuts shop/web off from shop/edge on port 8080", |f| {
        f.object("NetworkPolicy", "web")["spec"]["ingress"][0]["from"].as_array_mut().unwrap().remove(0);
    }),
    fault!("network-policy-cuts-path", "which the ServiceMonitor web needs", |f| {
        f.object("NetworkPolicy", "web")["spec"]["ingress"][0]["from"].as_array_mut().unwrap().remove(1);
    }),
    fault!("network-policy-cuts-path", "off to the database on port 5432", |f| {
        f.object("NetworkPolicy", "web")["spec"]["egress"].as_array_mut().unwrap().remove(1);
    }),
    fault!("network-policy-cuts-dns", "lets shop/web connect, but not ask for names", |f| {
        f.object("NetworkPolicy", "web")["spec"]["egress"].as_array_mut().unwrap().remove(0);
    }),
    fault!("network-policy-selects", "selects no workload's pods of shop", |f| {
        let mut policy = f.object("NetworkPolicy", "web").clone();
        policy["metadata"]["name"] = json!("other");
        policy["spec"]["podSelector"]["matchLabels"]["app"] = json!("wob");
        f.manifests.push(policy);
    }),
    fault!("service-monitor", "scrapes the port `metrics`", |f| {
        f.object("ServiceMonitor", "web")["spec"]["endpoints"][0]["port"] = json!("metrics");
    }),
    fault!("service-monitor", "selects no Service of shop", |f| {
        f.object("ServiceMonitor", "web")["spec"]["selector"]["matchLabels"]["app"] = json!("wob");
    }),
    fault!("reference-missing", "refers to the ConfigMap wob, which shop has not", |f| {
        f.container()["env"][0]["valueFrom"]["configMapKeyRef"]["name"] = json!("wob");
    }),
    fault!("reference-missing", "refers to the key PORT of the ConfigMap web", |f| {
        f.container()["env"][0]["valueFrom"]["configMapKeyRef"]["key"] = json!("PORT");
    }),
    fault!("reference-missing", "refers to the ServiceAccount wob", |f| f.pod()["serviceAccountName"] = json!("wob")),
    fault!("namespace-missing", "the namespace `shup` is not declared; declared are shop", |f| {
        f.manifests
            .push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shup"}}));
    }),
    fault!("duplicate-object", "is declared a second time; it is also in shop.yaml", |f| {
        let again = f.object("ConfigMap", "web").clone();
        f.manifests.push(again);
    }),
    fault!("malformed-object", "`spec.ports[0].port`", |f| {
        f.manifests
            .push(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "odd", "namespace": "shop"},
            "spec": {"ports": [{"port": "eighty"}]}}));
    }),
    fault!("malformed-object", "`apiVersion` or `kind` is missing", |f| f
        .manifests
        .push(json!({"metadata": {"name": "x"}}))),
    fault!("malformed-object", "has no `metadata.name`", |f| {
        f.manifests.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop"}}));
    }),
    fault!("unknown-api-version", "`policy/v1beta1` is not served; PodDisruptionBudget is policy/v1", |f| {
        f.object("PodDisruptionBudget", "web")["apiVersion"] = json!("policy/v1beta1");
    }),
    fault!("unknown-api-version", "`Deploymnet` is no kind of `apps/v1`", |f| {
        f.manifests.push(
            json!({"apiVersion": "apps/v1", "kind": "Deploymnet", "metadata": {"name": "x", "namespace": "shop"}}),
        );
    }),
];
