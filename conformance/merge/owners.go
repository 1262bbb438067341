package merge

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/kubernetes/scheme"
)

// vector is one call and what upstream made of it. Times of the call itself are written as NOW.
type vector struct {
	Op       string `json:"op"`
	Type     string `json:"type,omitempty"`
	Live     any    `json:"live,omitempty"`
	Input    any    `json:"in"`
	Manager  string `json:"manager,omitempty"`
	Force    bool   `json:"force,omitempty"`
	Sub      string `json:"sub,omitempty"`
	Want     any    `json:"want,omitempty"`
	Conflict string `json:"conflict,omitempty"`
	Error    string `json:"error,omitempty"`
}

// objects stands for the scheme of an API server with one version: it makes Go types of the built-in kinds, because
// ownership is compared on them, and leaves custom ones as they are.
type objects struct{}

func (objects) Convert(_, _, _ any) error { return nil }
func (objects) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	loose, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	typed, err := scheme.Scheme.New(loose.GroupVersionKind())
	if err != nil {
		return in, nil
	}
	return typed, runtime.DefaultUnstructuredConverter.FromUnstructured(loose.Object, typed)
}
func (objects) ConvertFieldLabel(_ schema.GroupVersionKind, _, _ string) (string, string, error) {
	return "", "", fmt.Errorf("not used")
}
func (objects) Default(runtime.Object) {}
func (objects) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(gvk)
	return object, nil
}

// stored is an object as the API server would hold it after decoding.
func stored(object map[string]any) (map[string]any, error) {
	typed, err := objects{}.ConvertToVersion(&unstructured.Unstructured{Object: copied(object)}, nil)
	if err != nil {
		return nil, err
	}
	return plain(typed), nil
}

func plain(object runtime.Object) map[string]any {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	result := map[string]any{}
	if err := json.Unmarshal(text, &result); err != nil {
		panic(err)
	}
	return integers(result).(map[string]any)
}

type kind struct {
	gvk      schema.GroupVersionKind
	model    string
	managers map[string]*managedfields.FieldManager
}

func newKind(converter managedfields.TypeConverter, gvk schema.GroupVersionKind, model string) (kind, error) {
	k := kind{gvk: gvk, model: model, managers: map[string]*managedfields.FieldManager{}}
	build := managedfields.NewDefaultFieldManager
	if model == widgetModel {
		build = managedfields.NewDefaultCRDFieldManager
	}
	for _, subresource := range []string{"", "status"} {
		manager, err := build(converter, objects{}, objects{}, objects{}, gvk, gvk.GroupVersion(), subresource, nil)
		if err != nil {
			return k, err
		}
		k.managers[subresource] = manager
	}
	return k, nil
}

func copied[T any](value T) T {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	object := &unstructured.Unstructured{}
	if _, isMap := any(value).(map[string]any); isMap {
		if err := json.Unmarshal(text, &object.Object); err != nil {
			panic(err)
		}
		return any(runtime.DeepCopyJSON(integers(object.Object).(map[string]any))).(T)
	}
	var other T
	if err := json.Unmarshal(text, &other); err != nil {
		panic(err)
	}
	return other
}

// integers restores what a trip through JSON made floats, as the API's decoder does.
func integers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = integers(item)
		}
	case []any:
		for at, item := range value {
			value[at] = integers(item)
		}
	case float64:
		if whole := int64(value); float64(whole) == value {
			return whole
		}
	}
	return value
}

// stamp replaces the times since the beginning of the run.
func stamp(object map[string]any, begin time.Time, text string) {
	metadata, _ := object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	for _, entry := range entries {
		entry := entry.(map[string]any)
		at, err := time.Parse(time.RFC3339, fmt.Sprint(entry["time"]))
		if err == nil && !at.Before(begin) {
			entry["time"] = text
		}
	}
}

// story is a life of one object under several writers.
func (g *generator) story(k kind) []vector {
	begin := time.Now().Add(-time.Minute).Truncate(time.Second)
	model := g.models[k.model]
	configs := map[string]map[string]any{}
	var live map[string]any
	var vectors []vector
	for step := range 4 + g.Intn(5) {
		v := vector{Op: "apply", Type: k.model, Manager: pick(g, []string{"ci", "ops", "kubectl", "controller"}), Force: g.chance(30)}
		current := &unstructured.Unstructured{Object: map[string]any{}}
		current.SetGroupVersionKind(k.gvk)
		if live != nil {
			v.Live = copied(live)
			current.Object = copied(live)
		}
		var input map[string]any
		if g.chance(60) {
			input = g.config(k, model, configs[v.Manager], live)
			configs[v.Manager] = copied(input)
		} else {
			v.Op, v.Force = "update", false
			if live != nil && g.chance(15) {
				v.Sub = "status"
			}
			input = g.changed(k, model, live)
			if k.model != widgetModel {
				var err error
				if input, err = stored(input); err != nil {
					continue
				}
			}
		}
		v.Input = copied(input)
		sent := &unstructured.Unstructured{Object: copied(input)}
		var result runtime.Object
		var err error
		if v.Op == "apply" {
			result, err = k.managers[v.Sub].Apply(current, sent, v.Manager, v.Force)
		} else {
			result, err = k.managers[v.Sub].Update(current, sent, v.Manager)
		}
		if err != nil && strings.Contains(err.Error(), "failed to convert") {
			// The object would not have decoded; a server refuses it before ownership matters.
			continue
		}
		switch {
		case apierrors.IsConflict(err):
			v.Conflict = err.Error()
		case err != nil:
			v.Error = err.Error()
		default:
			object := plain(result)
			live = copied(object)
			stamp(object, begin, "NOW")
			v.Want = object
			stamp(live, begin, fmt.Sprintf("2020-01-01T00:00:%02dZ", step))
			live["metadata"].(map[string]any)["uid"] = "u"
		}
		vectors = append(vectors, v)
	}
	return vectors
}

func (g *generator) base(k kind, model *spec3) map[string]any {
	object := map[string]any{}
	properties := (*model).Properties
	for _, part := range []string{"spec", "data"} {
		if member, ok := properties[part]; ok {
			object[part] = g.value(&member, 1)
		}
	}
	if member, ok := properties["status"]; ok && g.chance(20) {
		object["status"] = g.value(&member, 2)
	}
	metadata := map[string]any{"name": "n", "namespace": "ns"}
	labels := g.models[objectMeta].Properties["labels"]
	finalizers := g.models[objectMeta].Properties["finalizers"]
	if g.chance(60) {
		metadata["labels"] = g.value(&labels, 1)
	}
	if g.chance(30) {
		metadata["finalizers"] = g.value(&finalizers, 1)
	}
	if g.chance(15) {
		metadata["ownerReferences"] = []any{map[string]any{"uid": pick(g, words[:3]), "name": "o", "kind": "K", "apiVersion": "v1"}}
	}
	object["metadata"] = metadata
	object["apiVersion"] = k.gvk.GroupVersion().String()
	object["kind"] = k.gvk.Kind
	return object
}

func (g *generator) config(k kind, model *spec3, previous, live map[string]any) map[string]any {
	var config map[string]any
	switch {
	case previous != nil && g.chance(70):
		config = copied(previous)
		for range g.Intn(4) {
			g.change(config, model)
		}
	case live != nil && g.chance(60):
		// What is there already: shared ownership.
		config = copied(live)
		for range 1 + g.Intn(6) {
			g.change(config, model)
		}
		config["metadata"] = map[string]any{"name": "n", "namespace": "ns"}
	default:
		config = g.base(k, model)
	}
	if g.chance(3) {
		config["unknown"] = "field"
	}
	return config
}

func (g *generator) changed(k kind, model *spec3, live map[string]any) map[string]any {
	if live == nil {
		return g.base(k, model)
	}
	object := copied(live)
	for range g.Intn(4) {
		g.change(object, model)
	}
	metadata := object["metadata"].(map[string]any)
	switch g.Intn(20) {
	case 0:
		delete(metadata, "managedFields")
	case 1:
		metadata["managedFields"] = []any{}
	case 2:
		metadata["managedFields"] = []any{map[string]any{}}
	}
	if g.chance(8) {
		g.duplicate(object)
	}
	return object
}

// change mutates the part of an object that people write.
func (g *generator) change(object map[string]any, model *spec3) {
	part := pick(g, []string{"spec", "spec", "spec", "spec", "metadata", "status"})
	if part == "metadata" {
		metadata := object["metadata"].(map[string]any)
		field := pick(g, []string{"labels", "annotations", "finalizers"})
		member := g.models[objectMeta].Properties[field]
		if value, ok := metadata[field]; ok && g.chance(70) {
			metadata[field] = g.mutate(value, &member, 2)
		} else {
			metadata[field] = g.value(&member, 2)
		}
		return
	}
	member, ok := model.Properties[part]
	if !ok {
		return
	}
	if value, ok := object[part]; ok {
		object[part] = g.mutate(value, &member, 1)
	} else if part == "spec" {
		object[part] = g.value(&member, 1)
	}
}

// duplicate repeats an element of some list, which only writes other than apply may do.
func (g *generator) duplicate(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range sortedKeys(value) {
			if list, ok := value[name].([]any); ok && len(list) > 0 && name != "managedFields" && g.chance(50) {
				value[name] = append(list, runtime.DeepCopyJSONValue(list[g.Intn(len(list))]))
				return true
			}
			if name != "managedFields" && g.duplicate(value[name]) {
				return true
			}
		}
	case []any:
		for _, item := range value {
			if g.duplicate(item) {
				return true
			}
		}
	}
	return false
}
