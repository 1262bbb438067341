package schedule

import "fmt"

// storage adds classes, volumes, claims in every state, and CSI limits.
func (g *generator) storage(scenario object) {
	class := func(name, provisioner, mode string) object {
		return object{"metadata": object{"name": name}, "provisioner": provisioner, "volumeBindingMode": mode}
	}
	zonal := class("zonal", "disk.csi", "WaitForFirstConsumer")
	expression := object{"key": zone, "values": list{"z1"}}
	zonal["allowedTopologies"] = list{object{"matchLabelExpressions": list{expression}}}
	scenario["storageclasses"] = list{
		class("wait", "disk.csi", "WaitForFirstConsumer"), class("imm", "disk.csi", "Immediate"),
		class("local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"), zonal,
	}
	volumes := g.each(g.between(1, 4), g.volume)
	scenario["persistentvolumeclaims"] = g.each(4, func(i int) object { return g.claim(i, volumes) })
	scenario["persistentvolumes"] = volumes
	limits := list{}
	for _, node := range g.nodes {
		if g.chance(0.5) {
			driver := object{"name": "disk.csi", "nodeID": "x", "allocatable": object{"count": g.between(1, 2)}}
			limits = append(limits, object{"metadata": object{"name": node}, "spec": object{"drivers": list{driver}}})
		}
	}
	scenario["csinodes"] = limits
}

func (g *generator) volume(i int) object {
	spec := object{
		"capacity": object{"storage": pick(g, "1Gi", "5Gi")}, "accessModes": list{"ReadWriteOnce"},
		"storageClassName": pick(g, "local", "wait"), "csi": object{"driver": "disk.csi", "volumeHandle": fmt.Sprintf("h%d", i)},
	}
	if g.chance(0.6) {
		expression := object{"key": zone, "operator": "In", "values": list{pick(g, "z1", "z2", "z3")}}
		terms := list{object{"matchExpressions": list{expression}}}
		spec["nodeAffinity"] = object{"required": object{"nodeSelectorTerms": terms}}
	}
	labels := object{}
	if g.chance(0.3) {
		labels[zone] = pick(g, "z1", "z2", "z1__z2")
	}
	metadata := object{"name": fmt.Sprintf("pv%d", i), "labels": labels}
	return object{"metadata": metadata, "spec": spec, "status": object{"phase": "Available"}}
}

func (g *generator) claim(i int, volumes list) object {
	name, uid := fmt.Sprintf("c%d", i), fmt.Sprintf("cu%d", i)
	metadata := object{"name": name, "namespace": "default", "uid": uid}
	spec := object{
		"accessModes":      list{pick(g, "ReadWriteOnce", "ReadWriteOnce", "ReadWriteOncePod")},
		"storageClassName": pick(g, "wait", "imm", "local", "zonal"),
		"resources":        object{"requests": object{"storage": pick(g, "1Gi", "2Gi")}},
	}
	status := object{"phase": "Pending"}
	completed := object{"pv.kubernetes.io/bind-completed": "yes"}
	if g.chance(0.5) {
		volume := pick(g, volumes...).(object)
		bound := volume["spec"].(object)
		if _, taken := bound["claimRef"]; !taken {
			spec["volumeName"] = volume["metadata"].(object)["name"]
			metadata["annotations"], status["phase"] = completed, "Bound"
			bound["claimRef"] = object{"namespace": "default", "name": name, "uid": uid}
			volume["status"] = object{"phase": "Bound"}
		}
	} else if g.chance(0.1) {
		spec["volumeName"], metadata["annotations"] = "gone", completed
	}
	return object{"metadata": metadata, "spec": spec, "status": status}
}
