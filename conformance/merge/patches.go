package merge

import (
	"encoding/json"
	"fmt"
	"sort"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

type spec3 = spec.Schema

func sortedKeys(m map[string]any) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func encoded(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

func decoded(text []byte) any {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		panic(err)
	}
	return integers(value)
}

func (v *vector) finish(result []byte, err error) {
	if err != nil {
		v.Error = err.Error()
		return
	}
	v.Want = decoded(result)
}

var patched = []struct {
	model string
	form  any
}{
	{"io.k8s.api.core.v1.Pod", corev1.Pod{}},
	{"io.k8s.api.apps.v1.Deployment", appsv1.Deployment{}},
	{"io.k8s.api.core.v1.Service", corev1.Service{}},
	{"io.k8s.api.core.v1.ServiceAccount", corev1.ServiceAccount{}},
}

// strategic is a strategic merge patch, made by upstream from two objects or written with arbitrary directives.
func (g *generator) strategic(kinds map[string]kind) (v vector, ok bool) {
	// Upstream panics on some malformed patches; those have no right answer.
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	target := pick(g, patched)
	model := g.models[target.model]
	k := kinds[target.model]
	live := g.base(k, model)
	g.denull(live)
	v = vector{Op: "strategic", Type: target.model, Live: copied(live)}
	after := copied(live)
	for range 1 + g.Intn(5) {
		g.change(after, model)
	}
	g.denull(after)
	var patch []byte
	var err error
	switch g.Intn(4) {
	case 0, 1:
		patch, err = strategicpatch.CreateTwoWayMergePatch(encoded(live), encoded(after), target.form)
	case 2:
		var meta strategicpatch.PatchMetaFromStruct
		if meta, err = strategicpatch.NewPatchMetaFromStruct(target.form); err == nil {
			original := g.base(k, model)
			g.denull(original)
			patch, err = strategicpatch.CreateThreeWayMergePatch(encoded(original), encoded(after), encoded(live), meta, true)
		}
	default:
		written := g.base(k, model)
		g.directives(written, 0)
		patch = encoded(written)
	}
	if err != nil {
		return v, false
	}
	v.Input = decoded(patch)
	result, err := strategicpatch.StrategicMergePatch(encoded(live), patch, target.form)
	v.finish(result, err)
	// Upstream goes through a patch in the random order of a Go map; some patches mean different things in each.
	for range 20 {
		again, _ := strategicpatch.StrategicMergePatch(encoded(live), patch, target.form)
		if string(again) != string(result) {
			return v, false
		}
	}
	return v, true
}

// denull removes nulls, which no stored object has.
func (g *generator) denull(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, item := range value {
			if item == nil {
				delete(value, name)
			} else {
				g.denull(item)
			}
		}
	case []any:
		for _, item := range value {
			g.denull(item)
		}
	}
}

// directives strews directives over a patch, right ones and wrong ones.
func (g *generator) directives(value any, depth int) {
	m, ok := value.(map[string]any)
	if !ok {
		return
	}
	for _, name := range sortedKeys(m) {
		switch item := m[name].(type) {
		case map[string]any:
			g.directives(item, depth+1)
		case []any:
			for _, element := range item {
				g.directives(element, depth+1)
				if element, ok := element.(map[string]any); ok && g.chance(12) {
					element["$patch"] = pick(g, []string{"delete", "delete", "replace", "merge", "odd"})
				}
			}
			if g.chance(10) {
				m["$setElementOrder/"+name] = decoded(encoded(item))
			}
			if len(item) > 0 && g.chance(10) {
				if _, scalar := item[0].(string); scalar {
					m["$deleteFromPrimitiveList/"+name] = []any{item[0]}
				}
			}
		}
		if g.chance(6) {
			m[name] = nil
		}
	}
	if depth > 0 && g.chance(4) {
		m["$patch"] = pick(g, []string{"delete", "replace", "odd"})
	}
	if depth > 0 && g.chance(4) {
		keep := []any{}
		for _, name := range sortedKeys(m) {
			if g.chance(90) && name[0] != '$' {
				keep = append(keep, name)
			}
		}
		m["$retainKeys"] = keep
	}
}

func (g *generator) document() map[string]any {
	m := map[string]any{}
	for range 1 + g.Intn(4) {
		m[pick(g, []string{"a", "b", "c", "d/e", "f~g"})] = g.free(0)
	}
	return m
}

func (g *generator) mergePatch() vector {
	live, patch := g.document(), g.document()
	v := vector{Op: "merge", Live: live, Input: patch}
	v.finish(jsonpatch.MergePatch(encoded(live), encoded(patch)))
	return v
}

func (g *generator) jsonPatch() vector {
	live := g.document()
	operations := []any{}
	for range 1 + g.Intn(3) {
		operation := map[string]any{"op": pick(g, []string{"add", "remove", "replace", "move", "copy", "test"}), "path": g.pointer(live)}
		switch operation["op"] {
		case "add", "replace", "test":
			operation["value"] = g.free(1)
		case "move", "copy":
			operation["from"] = g.pointer(live)
		}
		operations = append(operations, operation)
	}
	v := vector{Op: "json", Live: live, Input: operations}
	patch, err := jsonpatch.DecodePatch(encoded(operations))
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.finish(patch.Apply(encoded(live)))
	return v
}

// pointer leads somewhere in the document, or just past it.
func (g *generator) pointer(value any) string {
	switch value := value.(type) {
	case map[string]any:
		name := pick(g, []string{"a", "b", "p", "q", "d~1e", "f~0g"})
		if keys := sortedKeys(value); len(keys) > 0 && g.chance(85) {
			key := pick(g, keys)
			if g.chance(50) {
				return "/" + escape(key) + g.pointer(value[key])
			}
			return "/" + escape(key)
		}
		return "/" + name
	case []any:
		return fmt.Sprintf("/%v", pick(g, []any{0, 1, 2, 3, -1, -2, "-", "x"}))
	}
	return ""
}

func escape(key string) string {
	text := ""
	for _, c := range key {
		switch c {
		case '~':
			text += "~0"
		case '/':
			text += "~1"
		default:
			text += string(c)
		}
	}
	return text
}
