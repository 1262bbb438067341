package merge

import (
	"encoding/json"
	"os"
	"path/filepath"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

const (
	modelPrefix = "#/components/schemas/"
	objectMeta  = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
	widgetModel = "com.example.conformance.v1.Widget"
)

// loadModels reads the OpenAPI v3 documents of the module k8s.io/kubernetes.
func loadModels(module string) (map[string]*spec.Schema, error) {
	files, err := filepath.Glob(filepath.Join(module, "api/openapi-spec/v3/*.json"))
	if err != nil {
		return nil, err
	}
	models := map[string]*spec.Schema{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var document struct {
			Components struct {
				Schemas map[string]*spec.Schema `json:"schemas"`
			} `json:"components"`
		}
		if err := json.Unmarshal(text, &document); err != nil {
			return nil, err
		}
		for name, schema := range document.Components.Schemas {
			models[name] = schema
		}
	}
	return models, nil
}

// widgetSchema is a custom type with every kind of list and map, nested in each other.
const widgetSchema = `{
  "type": "object",
  "properties": {
    "spec": {
      "type": "object",
      "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer", "format": "int64"},
        "ratio": {"type": "number"},
        "flag": {"type": "boolean"},
        "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "frozen": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}},
        "inner": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "deep": {"type": "object", "properties": {"c": {"type": "string"}}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "half": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": {"type": "string"}}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "numbers": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
        "plain": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "ports": {
          "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
          "items": {"type": "object", "required": ["port"], "properties": {
            "port": {"type": "integer"},
            "protocol": {"type": "string", "default": "TCP"},
            "note": {"type": "string"}
          }}
        },
        "parts": {
          "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
          "items": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"},
            "size": {"type": "integer"},
            "options": {"type": "object", "additionalProperties": {"type": "object", "properties": {"v": {"type": "string"}}}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "parts": {
              "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
              "items": {"type": "object", "properties": {"id": {"type": "integer"}, "v": {"type": "string"}}}
            }
          }}
        }
      }
    },
    "status": {"type": "object", "properties": {"ready": {"type": "integer"}, "phase": {"type": "string"}}}
  }
}`

// addWidget adds the custom type as the API server publishes it: with the fields that every object has.
func addWidget(models map[string]*spec.Schema) error {
	widget := &spec.Schema{}
	if err := json.Unmarshal([]byte(widgetSchema), widget); err != nil {
		return err
	}
	widget.Properties["apiVersion"] = *spec.StringProperty()
	widget.Properties["kind"] = *spec.StringProperty()
	widget.Properties["metadata"] = *spec.RefSchema(modelPrefix + objectMeta)
	widget.AddExtension("x-kubernetes-group-version-kind", []any{
		map[string]any{"group": "conformance.example.com", "version": "v1", "kind": "Widget"},
	})
	models[widgetModel] = widget
	return nil
}
