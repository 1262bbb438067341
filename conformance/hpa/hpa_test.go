package hpa

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"sort"
	"strconv"
	"testing"
)

type vector struct {
	Seed         int64         `json:"seed"`
	Rules        []string      `json:"rules"`
	In           *Script       `json:"in"`
	Observations []Observation `json:"out"`
	Final        int32         `json:"final"`
}

// TestWriteVectors drives the genuine controller over generated scripts and writes $VECTORS, gzipped JSON lines: first
// the versions and the coverage, then $COUNT vectors.
func TestWriteVectors(t *testing.T) {
	path := os.Getenv("VECTORS")
	if path == "" {
		t.Skip("VECTORS names no file")
	}
	count, err := strconv.ParseInt(os.Getenv("COUNT"), 10, 64)
	if err != nil {
		t.Fatalf("COUNT: %v", err)
	}
	coverage := map[string]int{}
	var vectors []vector
	for seed := range count {
		script, rules := Generate(seed)
		sort.Strings(rules)
		for _, rule := range rules {
			coverage[rule]++
		}
		out, final := Drive(t, script)
		vectors = append(vectors, vector{Seed: seed, Rules: rules, In: script, Observations: out, Final: final})
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zipped, _ := gzip.NewWriterLevel(file, gzip.BestCompression)
	lines := json.NewEncoder(zipped)
	if err := lines.Encode(map[string]any{"kubernetes": "v1.36.3", "vectors": count, "coverage": coverage}); err != nil {
		t.Fatal(err)
	}
	for i := range vectors {
		if err := lines.Encode(&vectors[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
