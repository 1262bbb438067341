package merge

import (
	"compress/gzip"
	"encoding/json"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
)

// TestWriteVectors writes merge-*.jsonl.gz into $VECTORS: a header with the versions, then one call a line.
// $KUBERNETES is the folder of the module k8s.io/kubernetes.
func TestWriteVectors(t *testing.T) {
	folder, module := os.Getenv("VECTORS"), os.Getenv("KUBERNETES")
	if folder == "" || module == "" {
		t.Skip("VECTORS and KUBERNETES name no folders")
	}
	models, err := loadModels(module)
	if err != nil {
		t.Fatal(err)
	}
	if err := addWidget(models); err != nil {
		t.Fatal(err)
	}
	converter, err := managedfields.NewTypeConverter(models, false)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]kind{}
	for model, gvk := range map[string]schema.GroupVersionKind{
		widgetModel:                         {Group: "conformance.example.com", Version: "v1", Kind: "Widget"},
		"io.k8s.api.core.v1.Pod":            {Version: "v1", Kind: "Pod"},
		"io.k8s.api.core.v1.Service":        {Version: "v1", Kind: "Service"},
		"io.k8s.api.core.v1.ServiceAccount": {Version: "v1", Kind: "ServiceAccount"},
		"io.k8s.api.apps.v1.Deployment":     {Group: "apps", Version: "v1", Kind: "Deployment"},
	} {
		if kinds[model], err = newKind(converter, gvk, model); err != nil {
			t.Fatal(err)
		}
	}

	g := &generator{Rand: rand.New(rand.NewSource(1)), models: models}
	var custom, builtin, patches []vector
	for range 300 {
		custom = append(custom, g.story(kinds[widgetModel])...)
	}
	for range 60 {
		for _, model := range []string{"io.k8s.api.apps.v1.Deployment", "io.k8s.api.core.v1.Service", "io.k8s.api.core.v1.Pod"} {
			builtin = append(builtin, g.story(kinds[model])...)
		}
	}
	for range 1200 {
		if v, ok := g.strategic(kinds); ok {
			patches = append(patches, v)
		}
	}
	for range 600 {
		patches = append(patches, g.jsonPatch(), g.mergePatch())
	}
	var selectors []vector
	for range 1500 {
		selectors = append(selectors, g.labelSelector(), g.fieldSelector())
	}
	write(t, filepath.Join(folder, "merge-selectors.jsonl.gz"), selectors)
	write(t, filepath.Join(folder, "merge-custom.jsonl.gz"), custom)
	write(t, filepath.Join(folder, "merge-builtin.jsonl.gz"), builtin)
	write(t, filepath.Join(folder, "merge-patches.jsonl.gz"), patches)
}

func write(t *testing.T, path string, vectors []vector) {
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped, _ := gzip.NewWriterLevel(file, gzip.BestCompression)
	encoder := json.NewEncoder(zipped)
	header := map[string]any{
		"versions": map[string]string{
			"k8s.io/kubernetes":                    "v1.36.3",
			"k8s.io/apimachinery":                  "v0.36.3",
			"sigs.k8s.io/structured-merge-diff/v6": "v6.3.3",
			"gopkg.in/evanphx/json-patch.v4":       "v4.13.0",
		},
		"count":  len(vectors),
		"widget": json.RawMessage(widgetSchema),
	}
	if err := encoder.Encode(header); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if err := encoder.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d vectors", filepath.Base(path), len(vectors))
}
