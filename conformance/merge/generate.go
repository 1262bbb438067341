// Package merge drives the genuine patches and the genuine field manager over generated objects.
package merge

import (
	"fmt"
	"math/rand"
	"sort"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

// generator makes values of OpenAPI schemas. Its pools are small, so that lists share keys and fields collide.
type generator struct {
	*rand.Rand
	models map[string]*spec.Schema
}

var words = []string{"a", "b", "c", "web", "x<y>&z", ""}

func (g *generator) chance(percent int) bool { return g.Intn(100) < percent }

func pick[T any](g *generator, from []T) T { return from[g.Intn(len(from))] }

func (g *generator) resolve(s *spec.Schema) (*spec.Schema, string) {
	ref := s.Ref.String()
	if ref == "" && len(s.AllOf) == 1 {
		ref = s.AllOf[0].Ref.String()
	}
	if ref == "" {
		return s, ""
	}
	name := ref[len("#/components/schemas/"):]
	resolved, _ := g.resolve(g.models[name])
	return resolved, name
}

func (g *generator) value(s *spec.Schema, depth int) any {
	s, name := g.resolve(s)
	switch {
	case name == "io.k8s.apimachinery.pkg.api.resource.Quantity":
		return pick(g, []string{"1", "500m", "2Gi"})
	case name == "io.k8s.apimachinery.pkg.util.intstr.IntOrString" || s.Extensions["x-kubernetes-int-or-string"] == true:
		return pick(g, []any{int64(80), "http", "25%"})
	case s.Format == "date-time":
		return pick(g, []string{"2019-01-01T00:00:00Z", "2019-01-02T00:00:00Z"})
	case len(s.Type) == 0:
		return g.free(depth)
	}
	switch s.Type[0] {
	case "string":
		if s.Format == "byte" {
			return "YQ=="
		}
		return pick(g, words)
	case "integer":
		return int64(g.Intn(4))
	case "number":
		return pick(g, []any{int64(1), 1.5, 2.0})
	case "boolean":
		return g.chance(50)
	case "array":
		return g.list(s, depth)
	}
	return g.object(s, depth)
}

// free is a value of no type.
func (g *generator) free(depth int) any {
	if depth > 3 {
		return pick(g, words)
	}
	switch g.Intn(6) {
	case 0:
		return []any{pick(g, words), int64(g.Intn(3))}
	case 1, 2:
		m := map[string]any{}
		for range g.Intn(3) {
			m[pick(g, []string{"p", "q", "r"})] = g.free(depth + 1)
		}
		return m
	case 3:
		return int64(g.Intn(3))
	case 4:
		return nil
	}
	return pick(g, words)
}

func names(properties map[string]spec.Schema) []string {
	var names []string
	for name := range properties {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (g *generator) object(s *spec.Schema, depth int) any {
	m := map[string]any{}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		for range g.Intn(4) {
			m[pick(g, []string{"k1", "k2", "example.com/k3", "k.4"})] = g.value(s.AdditionalProperties.Schema, depth+1)
		}
		return m
	}
	if len(s.Properties) == 0 {
		if value, ok := g.free(depth).(map[string]any); ok {
			return value
		}
		return m
	}
	percent := 400 / len(s.Properties)
	if percent > 70 {
		percent = 70
	}
	if depth > 5 {
		percent /= 3
	}
	for _, name := range names(s.Properties) {
		member := s.Properties[name]
		if g.chance(percent) {
			m[name] = g.value(&member, depth+1)
		}
	}
	if s.Extensions["x-kubernetes-preserve-unknown-fields"] == true && g.chance(60) {
		m[pick(g, []string{"extra1", "extra2"})] = g.free(depth + 1)
	}
	return m
}

func stringsOf(extension any) []string {
	var found []string
	if list, ok := extension.([]any); ok {
		for _, item := range list {
			found = append(found, item.(string))
		}
	}
	return found
}

// identity is what must be unique in a list of the type, or nothing.
func (g *generator) identity(s *spec.Schema, item any) (string, bool) {
	switch s.Extensions["x-kubernetes-list-type"] {
	case "set":
		return fmt.Sprintf("%v", item), true
	case "map":
		element, _ := g.resolve(s.Items.Schema)
		var text string
		for _, key := range stringsOf(s.Extensions["x-kubernetes-list-map-keys"]) {
			value, ok := item.(map[string]any)[key]
			if !ok {
				value = element.Properties[key].Default
			}
			text += fmt.Sprintf("%v|", value)
		}
		return text, true
	}
	return "", false
}

func (g *generator) element(s *spec.Schema, depth int) any {
	item := g.value(s.Items.Schema, depth+1)
	keys := stringsOf(s.Extensions["x-kubernetes-list-map-keys"])
	element, _ := g.resolve(s.Items.Schema)
	for at, key := range keys {
		m := item.(map[string]any)
		member := element.Properties[key]
		// The first key is always there; the others are left to their defaults now and then.
		if at == 0 || g.chance(60) {
			m[key] = g.value(&member, depth+1)
		} else {
			delete(m, key)
		}
	}
	return item
}

func (g *generator) list(s *spec.Schema, depth int) any {
	items := []any{}
	seen := map[string]bool{}
	for range g.Intn(4) {
		item := g.element(s, depth)
		if id, unique := g.identity(s, item); unique {
			if seen[id] {
				continue
			}
			seen[id] = true
		}
		items = append(items, item)
	}
	return items
}

// mutate changes a value of a schema in place where it can, and returns it.
func (g *generator) mutate(value any, s *spec.Schema, depth int) any {
	whole := s
	s, _ = g.resolve(s)
	switch value := value.(type) {
	case map[string]any:
		return g.mutateMap(value, s, depth)
	case []any:
		if s.Items != nil && len(value) > 0 {
			return g.mutateList(value, s, depth)
		}
	}
	// A scalar is made anew under its own name: that it is a quantity is not in what the name resolves to.
	return g.value(whole, depth)
}

func (g *generator) member(s *spec.Schema, name string) *spec.Schema {
	if member, ok := s.Properties[name]; ok {
		return &member
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		return s.AdditionalProperties.Schema
	}
	return &spec.Schema{}
}

func (g *generator) mutateMap(m map[string]any, s *spec.Schema, depth int) any {
	var present []string
	for name := range m {
		present = append(present, name)
	}
	sort.Strings(present)
	if len(present) > 0 && g.chance(65) {
		name := pick(g, present)
		switch {
		case g.chance(25):
			delete(m, name)
		default:
			m[name] = g.mutate(m[name], g.member(s, name), depth+1)
		}
		return m
	}
	if added, ok := g.object(s, depth).(map[string]any); ok {
		for name, value := range added {
			if _, known := m[name]; !known || g.chance(30) {
				m[name] = value
			}
		}
	}
	return m
}

func (g *generator) mutateList(items []any, s *spec.Schema, depth int) any {
	at := g.Intn(len(items))
	switch g.Intn(5) {
	case 0:
		return append(items[:at:at], items[at+1:]...)
	case 1:
		g.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		return items
	case 2:
		item := g.element(s, depth)
		if id, unique := g.identity(s, item); unique {
			for _, other := range items {
				if known, _ := g.identity(s, other); known == id {
					return items
				}
			}
		}
		return append(items[:at:at], append([]any{item}, items[at:]...)...)
	}
	keys := stringsOf(s.Extensions["x-kubernetes-list-map-keys"])
	before, isMap := items[at].(map[string]any)
	if !isMap || len(keys) == 0 {
		return items
	}
	kept := map[string]any{}
	for _, key := range keys {
		if value, ok := before[key]; ok {
			kept[key] = value
		}
	}
	after, ok := g.mutate(before, s.Items.Schema, depth+1).(map[string]any)
	if !ok {
		return items
	}
	for _, key := range keys {
		delete(after, key)
	}
	for key, value := range kept {
		after[key] = value
	}
	items[at] = after
	return items
}
