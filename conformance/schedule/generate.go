package schedule

import (
	"fmt"
	"math/rand"
)

type object = map[string]any
type list = []any

// generator makes small, crowded clusters: few labels, zones, ports and claims, so that rules meet.
type generator struct {
	*rand.Rand
	nodes   []string
	volumes bool
}

func (g *generator) chance(probability float64) bool { return g.Float64() < probability }

func pick[T any](g *generator, choices ...T) T { return choices[g.Intn(len(choices))] }

func (g *generator) between(low, high int) int { return low + g.Intn(high-low+1) }

const (
	hostname = "kubernetes.io/hostname"
	zone     = "topology.kubernetes.io/zone"
)

// Generate makes the scenario of a seed.
func Generate(seed int64) any {
	g := &generator{Rand: rand.New(rand.NewSource(seed))}
	g.volumes = g.chance(0.2)
	count := g.between(1, 7)
	for i := range count {
		g.nodes = append(g.nodes, fmt.Sprintf("n%d", i))
	}
	scenario := object{"nodes": g.each(count, g.node), "namespaces": g.namespaces()}
	pods := g.each(pick(g, 0, 2, 5, 8, 14), func(i int) object { return g.pod(fmt.Sprintf("p%d", i), true) })
	if g.chance(0.08) {
		pods = append(pods, g.nominated())
	}
	scenario["pods"] = pods
	scenario["pod"] = g.incoming()
	g.owners(scenario)
	if g.volumes {
		g.storage(scenario)
	}
	return scenario
}

func (g *generator) each(count int, make func(int) object) list {
	all := list{}
	for i := range count {
		all = append(all, make(i))
	}
	return all
}

func (g *generator) node(i int) object {
	labels := object{hostname: g.nodes[i]}
	if g.chance(0.85) {
		labels[zone] = pick(g, "z1", "z2", "z3")
	}
	if g.chance(0.5) {
		labels["disk"] = pick(g, "ssd", "hdd")
	}
	if g.chance(0.3) {
		labels["gen"] = fmt.Sprint(g.between(1, 5))
	}
	amounts := object{
		"cpu": pick(g, "1", "2", "4", "1900m", "3"), "memory": pick(g, "2Gi", "4Gi", "8Gi", "5500Mi"),
		"pods": pick(g, "110", "110", "3", "2"), "ephemeral-storage": "20Gi",
	}
	if g.chance(0.2) {
		amounts["example.com/gpu"] = fmt.Sprint(g.between(1, 4))
	}
	if g.chance(0.05) {
		amounts["cpu"] = "0"
	}
	taints := list{}
	if g.chance(0.3) {
		effect := pick(g, "NoSchedule", "PreferNoSchedule", "NoExecute")
		taints = append(taints, object{"key": pick(g, "k1", "k2"), "value": pick(g, "a", "b"), "effect": effect})
	}
	if g.chance(0.1) {
		taints = append(taints, object{"key": "k3", "effect": pick(g, "PreferNoSchedule", "NoSchedule")})
	}
	images := list{}
	for _, image := range []struct {
		name string
		mib  int
	}{{"web:1", 300}, {"db:latest", 900}, {"big:2", 2500}} {
		if g.chance(0.4) {
			images = append(images, object{"names": list{image.name, image.name + "@sha256:x"}, "sizeBytes": image.mib << 20})
		}
	}
	spec := object{"taints": taints}
	if g.chance(0.1) {
		spec["unschedulable"] = true
	}
	status := object{"allocatable": amounts, "capacity": amounts, "images": images}
	return object{"metadata": object{"name": g.nodes[i], "labels": labels}, "spec": spec, "status": status}
}

func (g *generator) namespaces() list {
	all := list{
		object{"metadata": object{"name": "default", "labels": object{"team": "a"}}},
		object{"metadata": object{"name": "prod", "labels": object{"team": "b", "env": "prod"}}},
	}
	if g.chance(0.1) {
		return all[:1]
	}
	return all
}

func (g *generator) app() string { return pick(g, "web", "db", "api") }

// selector may be absent, which selects nothing, or empty, which selects everything.
func (g *generator) selector(holder object) {
	switch {
	case g.chance(0.1):
	case g.chance(0.1):
		holder["labelSelector"] = object{}
	case g.chance(0.7):
		holder["labelSelector"] = object{"matchLabels": object{"app": g.app()}}
	default:
		holder["labelSelector"] = object{"matchExpressions": list{pick(g,
			object{"key": "app", "operator": "In", "values": list{g.app(), g.app()}},
			object{"key": "app", "operator": "NotIn", "values": list{g.app()}},
			object{"key": "tier", "operator": "Exists"},
			object{"key": "tier", "operator": "DoesNotExist"},
		)}}
	}
}

func (g *generator) affinityTerm() object {
	term := object{"topologyKey": pick(g, hostname, zone, zone, "rack")}
	g.selector(term)
	if g.chance(0.2) {
		term["namespaces"] = pick(g, list{"default"}, list{"prod"}, list{"default", "prod"})
	}
	if g.chance(0.2) {
		term["namespaceSelector"] = pick(g, object{}, object{"matchLabels": object{"team": "b"}}, object{"matchLabels": object{"env": "x"}})
	}
	return term
}

func (g *generator) podAffinity(probability float64) object {
	affinity := object{}
	if g.chance(probability) {
		affinity["requiredDuringSchedulingIgnoredDuringExecution"] = g.each(g.between(1, 2), func(int) object { return g.affinityTerm() })
	}
	if g.chance(probability) {
		affinity["preferredDuringSchedulingIgnoredDuringExecution"] = g.each(g.between(1, 2), func(int) object {
			return object{"weight": pick(g, 1, 10, 100), "podAffinityTerm": g.affinityTerm()}
		})
	}
	return affinity
}

func (g *generator) nodeTerm() object {
	term := object{}
	if g.chance(0.9) {
		term["matchExpressions"] = g.each(g.between(1, 2), func(int) object {
			return pick(g,
				object{"key": "disk", "operator": "In", "values": list{"ssd"}},
				object{"key": "disk", "operator": "NotIn", "values": list{"hdd"}},
				object{"key": "disk", "operator": "Exists"},
				object{"key": "disk", "operator": "DoesNotExist"},
				object{"key": "gen", "operator": "Gt", "values": list{"2"}},
				object{"key": "gen", "operator": "Lt", "values": list{"4"}},
				object{"key": zone, "operator": "In", "values": list{"z1", "z2"}},
			)
		})
	}
	if g.chance(0.1) {
		name := fmt.Sprintf("n%d", g.between(0, 7))
		term["matchFields"] = list{object{"key": "metadata.name", "operator": pick(g, "In", "NotIn"), "values": list{name}}}
	}
	return term
}

func (g *generator) nodeAffinity() object {
	affinity := object{}
	if g.chance(0.5) {
		terms := g.each(g.between(1, 2), func(int) object { return g.nodeTerm() })
		affinity["requiredDuringSchedulingIgnoredDuringExecution"] = object{"nodeSelectorTerms": terms}
	}
	if g.chance(0.6) {
		affinity["preferredDuringSchedulingIgnoredDuringExecution"] = g.each(g.between(1, 3), func(int) object {
			return object{"weight": g.between(1, 100), "preference": g.nodeTerm()}
		})
	}
	return affinity
}

func (g *generator) spread(int) object {
	constraint := object{
		"maxSkew": g.between(1, 3), "topologyKey": pick(g, hostname, zone),
		"whenUnsatisfiable": pick(g, "DoNotSchedule", "ScheduleAnyway"),
	}
	g.selector(constraint)
	if g.chance(0.15) && constraint["whenUnsatisfiable"] == "DoNotSchedule" {
		constraint["minDomains"] = g.between(1, 4)
	}
	if g.chance(0.2) {
		constraint["nodeAffinityPolicy"] = pick(g, "Honor", "Ignore")
	}
	if g.chance(0.2) {
		constraint["nodeTaintsPolicy"] = pick(g, "Honor", "Ignore")
	}
	if g.chance(0.1) {
		constraint["matchLabelKeys"] = list{"tier"}
	}
	return constraint
}

func (g *generator) container(i int) object {
	requests := object{}
	if g.chance(0.85) {
		requests["cpu"] = pick(g, "100m", "250m", "500m", "1", "1500m")
	}
	if g.chance(0.8) {
		requests["memory"] = pick(g, "64Mi", "256Mi", "1Gi", "2Gi")
	}
	if g.chance(0.05) {
		requests["ephemeral-storage"] = pick(g, "1Gi", "30Gi")
	}
	if g.chance(0.07) {
		requests["example.com/gpu"] = "1"
	}
	container := object{"name": fmt.Sprintf("c%d", i), "image": pick(g, "web:1", "db", "big:2", "other:1"), "resources": object{"requests": requests}}
	if g.chance(0.12) {
		port := object{"containerPort": 80, "hostPort": pick(g, 80, 443), "protocol": pick(g, "TCP", "UDP")}
		if g.chance(0.5) {
			port["hostIP"] = pick(g, "0.0.0.0", "10.0.0.1", "10.0.0.2")
		}
		container["ports"] = list{port}
	}
	return container
}

func (g *generator) toleration(int) object {
	return pick(g,
		object{"key": "k1", "operator": "Exists"},
		object{"key": "k1", "operator": "Equal", "value": "a", "effect": "NoSchedule"},
		object{"operator": "Exists"},
		object{"key": "k2", "value": "b"},
		object{"key": "k1", "value": "a", "effect": "PreferNoSchedule"},
		object{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"},
	)
}

func (g *generator) pod(name string, bound bool) object {
	namespace := pick(g, "default", "default", "prod")
	labels := object{"app": g.app()}
	owner := labels["app"]
	if g.chance(0.4) {
		labels["tier"] = pick(g, "x", "y")
	}
	if g.chance(0.05) {
		labels = object{}
	}
	spec := object{"containers": g.each(pick(g, 1, 1, 2), g.container), "priority": pick(g, 0, 0, 10, 100, -5)}
	if g.chance(0.1) {
		first := g.container(9)
		if g.chance(0.5) {
			first["restartPolicy"] = "Always"
		}
		spec["initContainers"] = list{first}
	}
	if g.chance(0.05) {
		spec["overhead"] = object{"cpu": "100m", "memory": "50Mi"}
	}
	if g.chance(0.4) {
		spec["tolerations"] = g.each(g.between(1, 2), g.toleration)
	}
	g.affinity(spec, bound)
	if g.volumes && namespace == "default" && g.chance(0.6) {
		last := 3
		if g.chance(0.1) {
			last = 4
		}
		spec["volumes"] = g.each(pick(g, 1, 1, 2), func(i int) object {
			claim := object{"claimName": fmt.Sprintf("c%d", g.between(0, last))}
			return object{"name": fmt.Sprintf("v%d", i), "persistentVolumeClaim": claim}
		})
	}
	if g.chance(0.04) {
		disk := object{"name": "gce", "gcePersistentDisk": object{"pdName": "d1", "readOnly": g.chance(0.5)}}
		volumes, _ := spec["volumes"].(list)
		spec["volumes"] = append(volumes, disk)
	}
	metadata := object{"name": name, "namespace": namespace, "uid": "u-" + name, "labels": labels}
	if g.chance(0.4) {
		kind := pick(g, "ReplicaSet", "StatefulSet")
		metadata["ownerReferences"] = list{object{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "o", "controller": true}}
	}
	status := object{}
	if bound {
		spec["nodeName"] = pick(g, g.nodes...)
		status = object{"phase": "Running", "startTime": fmt.Sprintf("2026-11-2%dT10:0%d:00Z", g.between(0, 3), g.between(0, 9))}
		if g.chance(0.06) {
			metadata["deletionTimestamp"], metadata["finalizers"] = "2026-11-23T10:00:00Z", list{"x/y"}
		}
	}
	return object{"metadata": metadata, "spec": spec, "status": status}
}

func (g *generator) affinity(spec object, bound bool) {
	affinity := object{}
	if g.chance(0.25) {
		affinity["podAffinity"] = g.podAffinity(0.5)
	}
	if g.chance(0.3) {
		affinity["podAntiAffinity"] = g.podAffinity(0.5)
	}
	if !bound {
		if g.chance(0.3) {
			affinity["nodeAffinity"] = g.nodeAffinity()
		}
		if g.chance(0.15) {
			spec["nodeSelector"] = object{"disk": pick(g, "ssd", "nvme")}
		}
		if g.chance(0.4) {
			spec["topologySpreadConstraints"] = g.each(g.between(1, 2), g.spread)
		}
		if g.chance(0.1) {
			spec["preemptionPolicy"] = "Never"
		}
	}
	spec["affinity"] = affinity
}

// incoming is the pod to schedule, often important or large, so that preemption is looked at.
func (g *generator) incoming() object {
	pod := g.pod("new", false)
	spec := pod["spec"].(object)
	if g.chance(0.35) {
		spec["priority"] = pick(g, 50, 1000)
	}
	if g.chance(0.25) {
		first := spec["containers"].(list)[0].(object)
		first["resources"].(object)["requests"].(object)["cpu"] = pick(g, "1", "2", "3")
	}
	return pod
}

// nominated is a pod for which preemption made room before.
func (g *generator) nominated() object {
	pod := g.pod("nom", false)
	spec := pod["spec"].(object)
	delete(spec, "volumes")
	spec["priority"] = pick(g, 0, 100, 2000)
	pod["status"] = object{"nominatedNodeName": pick(g, g.nodes...)}
	return pod
}

func (g *generator) owners(scenario object) {
	scenario["services"] = g.each(g.between(0, 2), func(i int) object {
		metadata := object{"name": fmt.Sprintf("s%d", i), "namespace": pick(g, "default", "prod")}
		return object{"metadata": metadata, "spec": object{"selector": object{"app": g.app()}}}
	})
	sets := func(probability float64) list {
		all := list{}
		for _, app := range []string{"web", "db", "api"} {
			if g.chance(probability) {
				spec := object{"selector": object{"matchLabels": object{"app": app}}}
				all = append(all, object{"metadata": object{"name": app, "namespace": "default"}, "spec": spec})
			}
		}
		return all
	}
	scenario["replicasets"] = sets(0.7)
	scenario["statefulsets"] = sets(0.5)
	scenario["pdbs"] = g.each(g.between(0, 2), func(i int) object {
		metadata := object{"name": fmt.Sprintf("b%d", i), "namespace": pick(g, "default", "prod")}
		selector := pick(g, object{"matchLabels": object{"app": g.app()}}, object{})
		status := object{"disruptionsAllowed": g.between(0, 2), "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
		return object{"metadata": metadata, "spec": object{"selector": selector}, "status": status}
	})
}
