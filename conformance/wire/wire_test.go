// Package wire writes objects of every stable built-in kind in Kubernetes' protobuf and in JSON, as the genuine serializers
// have them.
package wire

import (
	"compress/gzip"
	"encoding/json"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
)

const perKind = 4

var stable = regexp.MustCompile(`^v\d+$`)

type vector struct {
	// Base64 of the whole body, with its magic number.
	Protobuf []byte          `json:"protobuf"`
	JSON     json.RawMessage `json:"json"`
}

// TestWriteVectors writes wire.jsonl.gz into $VECTORS, one object a line.
func TestWriteVectors(t *testing.T) {
	folder := os.Getenv("VECTORS")
	if folder == "" {
		t.Skip("VECTORS names no folder")
	}
	file, err := os.Create(filepath.Join(folder, "wire.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packed, _ := gzip.NewWriterLevel(file, gzip.BestCompression)
	defer packed.Close()
	lines := json.NewEncoder(packed)
	serializer := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	random := rand.New(rand.NewSource(1))
	for _, kind := range kinds() {
		for range perKind {
			object, err := scheme.Scheme.New(kind)
			if err != nil {
				t.Fatal(err)
			}
			fill(random, reflect.ValueOf(object).Elem(), 0)
			object.GetObjectKind().SetGroupVersionKind(kind)
			text, err := json.Marshal(object)
			if err != nil {
				t.Fatal(kind, err)
			}
			body, err := runtime.Encode(serializer, object)
			if err != nil {
				t.Fatal(kind, err)
			}
			if err := lines.Encode(vector{Protobuf: body, JSON: text}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Objects with metadata, not lists or options.
func kinds() []schema.GroupVersionKind {
	var found []schema.GroupVersionKind
	for kind, goType := range scheme.Scheme.AllKnownTypes() {
		_, hasMetadata := goType.FieldByName("ObjectMeta")
		if stable.MatchString(kind.Version) && hasMetadata {
			found = append(found, kind)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].String() < found[j].String() })
	return found
}

const letters = "abcdefghijklmnopqrstuvwxyz"

func word(random *rand.Rand) string {
	return letters[random.Intn(26):][:1] + letters[random.Intn(20):][:random.Intn(6)]
}

// fill puts something into most fields, and nothing, or something empty, into the others.
func fill(random *rand.Rand, value reflect.Value, depth int) {
	switch special := value.Addr().Interface().(type) {
	case *metav1.TypeMeta:
		return
	case *metav1.Time:
		*special = metav1.Unix(1_700_000_000+random.Int63n(100_000_000), 0)
		return
	case *metav1.MicroTime:
		*special = metav1.NewMicroTime(time.Unix(1_700_000_000+random.Int63n(100_000_000), 250_000_000))
		return
	case *metav1.FieldsV1:
		special.Raw = []byte(`{"f:spec":{}}`)
		return
	case *resource.Quantity:
		*special = resource.MustParse([]string{"0", "250m", "2", "1500m", "64Mi", "3Gi"}[random.Intn(6)])
		return
	case *intstr.IntOrString:
		*special = []intstr.IntOrString{intstr.FromInt32(random.Int31n(9000)), intstr.FromString("25%"), intstr.FromInt32(0)}[random.Intn(3)]
		return
	case *runtime.RawExtension:
		special.Raw = []byte(`{"a":1}`)
		return
	}
	switch value.Kind() {
	case reflect.String:
		if random.Intn(5) > 0 {
			value.SetString(word(random))
		}
	case reflect.Bool:
		value.SetBool(random.Intn(2) == 0)
	case reflect.Int32, reflect.Int64, reflect.Int:
		value.SetInt(random.Int63n(200) - 20)
	case reflect.Uint8:
		value.SetUint(uint64(random.Intn(256)))
	case reflect.Float64:
		value.SetFloat(float64(random.Intn(1000)) / 8)
	case reflect.Pointer:
		if random.Intn(3) > 0 && depth < 12 {
			value.Set(reflect.New(value.Type().Elem()))
			fill(random, value.Elem(), depth+1)
		}
	case reflect.Slice:
		if count := random.Intn(3); count > 0 && depth < 10 {
			value.Set(reflect.MakeSlice(value.Type(), count, count))
			for at := range count {
				fill(random, value.Index(at), depth+1)
			}
		}
	case reflect.Map:
		if count := random.Intn(3); count > 0 && depth < 10 {
			value.Set(reflect.MakeMap(value.Type()))
			for range count {
				key, inner := reflect.New(value.Type().Key()).Elem(), reflect.New(value.Type().Elem()).Elem()
				key.SetString(word(random))
				fill(random, inner, depth+1)
				value.SetMapIndex(key, inner)
			}
		}
	case reflect.Struct:
		for at := range value.NumField() {
			if value.Type().Field(at).IsExported() {
				fill(random, value.Field(at), depth+1)
			}
		}
	}
}
