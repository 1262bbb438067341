package schedule

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

type vector struct {
	Seed int64   `json:"seed"`
	In   any     `json:"in"`
	Out  *Output `json:"out"`
}

// TestWriteVectors asks the genuine plugins about generated clusters and writes $VECTORS, gzipped JSON lines: first the
// versions and the coverage, then $COUNT vectors.
func TestWriteVectors(t *testing.T) {
	path := os.Getenv("VECTORS")
	if path == "" {
		t.Skip("VECTORS names no file")
	}
	count, err := strconv.ParseInt(os.Getenv("COUNT"), 10, 64)
	if err != nil {
		t.Fatalf("COUNT: %v", err)
	}
	metrics.Register()
	coverage := map[string]int{}
	var vectors []vector
	for seed := range count {
		scenario := Generate(seed)
		out, err := answer(scenario)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		cover(coverage, out)
		vectors = append(vectors, vector{Seed: seed, In: scenario, Out: out})
	}
	write(t, path, map[string]any{"kubernetes": "v1.36.3", "vectors": count, "coverage": coverage}, vectors)
}

// answer drives the scenario, and again where preemption may draw among nodes.
func answer(scenario any) (*Output, error) {
	text, err := json.Marshal(scenario)
	if err != nil {
		return nil, err
	}
	var first *Output
	for range 6 {
		in := &Input{}
		if err := json.Unmarshal(text, in); err != nil {
			return nil, err
		}
		out, err := Drive(in)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = out
		}
		for _, preemption := range out.Preemptions {
			known := false
			for _, other := range first.Preemptions {
				known = known || reflect.DeepEqual(other, preemption)
			}
			if !known {
				first.Preemptions = append(first.Preemptions, preemption)
			}
		}
		if len(first.Preemptions) == 0 {
			break
		}
	}
	return first, nil
}

// cover counts the rules that a vector exercises: reasons of filters, plugins whose scores differ between nodes,
// preemption.
func cover(coverage map[string]int, out *Output) {
	rules := map[string]bool{}
	for _, verdict := range out.Feasible {
		message, rejected := verdict.(string)
		if !rejected {
			continue
		}
		for _, reason := range strings.Split(message, ", ") {
			if at := strings.Index(reason, "\""); at >= 0 {
				reason = reason[:at] + "…"
			}
			rules["filter: "+reason] = true
		}
	}
	seen := map[string]int64{}
	for _, scores := range out.Scores {
		for plugin, score := range scores {
			if other, known := seen[plugin]; known && other != score {
				rules["score: "+plugin] = true
			}
			seen[plugin] = score
		}
	}
	if len(out.Preemptions) > 0 {
		rules["preemption"] = true
	}
	for rule := range rules {
		coverage[rule]++
	}
}

func write(t *testing.T, path string, header any, vectors []vector) {
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zipped, _ := gzip.NewWriterLevel(file, gzip.BestCompression)
	lines := json.NewEncoder(zipped)
	if err := lines.Encode(header); err != nil {
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
