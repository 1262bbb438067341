// Package hpa drives the genuine HorizontalController in virtual time over scripted loads.
package hpa

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	cmapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	emapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const (
	namespace = "default"
	name      = "web"
)

// Script is the input of `marea decide hpa`.
type Script struct {
	Spec             autoscalingv2.HorizontalPodAutoscalerSpec `json:"spec"`
	InitialReplicas  int32                                     `json:"initialReplicas"`
	PodRequest       map[string]string                         `json:"podRequest"`
	PodReadyDelay    float64                                   `json:"podReadyDelay"`
	Duration         float64                                   `json:"duration"`
	Sync             float64                                   `json:"sync"`
	DownscaleWindow  float64                                   `json:"downscaleWindow"`
	Tolerance        float64                                   `json:"tolerance"`
	CPUInit          float64                                   `json:"cpuInit"`
	InitialReadiness float64                                   `json:"initialReadiness"`
	Steps            []Step                                    `json:"steps"`
	Verbose          bool                                      `json:"verbose"`
}

// Step is one change of the scripted world.
type Step struct {
	T           float64                                    `json:"t"`
	TotalCPU    *float64                                   `json:"totalCPU,omitempty"`
	TotalMemory *float64                                   `json:"totalMemory,omitempty"`
	PodCPU      *float64                                   `json:"podCPU,omitempty"`
	PodMemory   *float64                                   `json:"podMemory,omitempty"`
	Drop        *bool                                      `json:"drop,omitempty"`
	Pods        map[string]PodOverride                     `json:"pods,omitempty"`
	Metrics     []autoscalingv2.MetricStatus               `json:"metrics,omitempty"`
	Spec        *autoscalingv2.HorizontalPodAutoscalerSpec `json:"spec,omitempty"`
}

// PodOverride replaces what the load says about one pod.
type PodOverride struct {
	CPU     *float64 `json:"cpu,omitempty"`
	Memory  *float64 `json:"memory,omitempty"`
	Ready   *bool    `json:"ready,omitempty"`
	Missing *bool    `json:"missing,omitempty"`
}

type usage struct {
	amount float64
	total  bool
}

type member struct {
	name             string
	started, readyAt time.Time
}

// world is the workload around the controller: its pods and what the metrics APIs say about them.
type world struct {
	mu          sync.Mutex
	script      *Script
	start       time.Time
	client      *fake.Clientset
	members     []*member
	created     int
	cpu, memory usage
	drop        bool
	overrides   map[string]PodOverride
	metrics     []autoscalingv2.MetricStatus
	containers  []string
	wake        chan struct{}
}

func seconds(s float64) time.Duration { return time.Duration(s*1000+0.5) * time.Millisecond }

func newWorld(script *Script, client *fake.Clientset) *world {
	w := &world{script: script, start: time.Now(), client: client, cpu: usage{0, true}, memory: usage{0, true},
		overrides: map[string]PodOverride{}, wake: make(chan struct{}, 1), containers: containerNames(script)}
	longAgo := w.start.Add(-24 * time.Hour)
	for range script.InitialReplicas {
		w.add(longAgo, longAgo)
	}
	return w
}

func containerNames(script *Script) []string {
	var names []string
	collect := func(spec *autoscalingv2.HorizontalPodAutoscalerSpec) {
		for _, m := range spec.Metrics {
			if m.ContainerResource == nil {
				continue
			}
			known := false
			for _, n := range names {
				known = known || n == m.ContainerResource.Container
			}
			if !known {
				names = append(names, m.ContainerResource.Container)
			}
		}
	}
	collect(&script.Spec)
	for _, s := range script.Steps {
		if s.Spec != nil {
			collect(s.Spec)
		}
	}
	if len(names) == 0 {
		names = []string{"main"}
	}
	return names
}

func (w *world) add(started, readyAt time.Time) {
	m := &member{name: fmt.Sprintf("%s-%d", name, w.created), started: started, readyAt: readyAt}
	w.created++
	w.members = append(w.members, m)
	if _, err := w.client.CoreV1().Pods(namespace).Create(context.Background(), w.pod(m, time.Now()), metav1.CreateOptions{}); err != nil {
		panic(err)
	}
}

func (w *world) isReady(m *member, now time.Time) bool {
	if o, ok := w.overrides[m.name]; ok && o.Ready != nil {
		return *o.Ready
	}
	return !m.readyAt.After(now)
}

func (w *world) pod(m *member, now time.Time) *v1.Pod {
	status, transition := v1.ConditionFalse, m.started
	if w.isReady(m, now) {
		status = v1.ConditionTrue
	}
	if !m.readyAt.After(now) {
		transition = m.readyAt
	}
	requests := v1.ResourceList{}
	for k, q := range w.script.PodRequest {
		requests[v1.ResourceName(k)] = resource.MustParse(q)
	}
	var containers []v1.Container
	for _, c := range w.containers {
		containers = append(containers, v1.Container{Name: c, Resources: v1.ResourceRequirements{Requests: requests}})
	}
	started := metav1.NewTime(m.started.Truncate(time.Second))
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: m.name, Namespace: namespace, Labels: map[string]string{"app": name}},
		Spec:       v1.PodSpec{Containers: containers},
		Status: v1.PodStatus{Phase: v1.PodRunning, StartTime: &started, Conditions: []v1.PodCondition{{
			Type: v1.PodReady, Status: status, LastTransitionTime: metav1.NewTime(transition.Truncate(time.Second))}}},
	}
}

// refresh writes every pod's readiness as it is at now.
func (w *world) refresh(now time.Time) {
	for _, m := range w.members {
		if _, err := w.client.CoreV1().Pods(namespace).Update(context.Background(), w.pod(m, now), metav1.UpdateOptions{}); err != nil {
			panic(err)
		}
	}
}

func (w *world) scaleTo(replicas int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.members) > int(replicas) {
		last := w.members[len(w.members)-1]
		w.members = w.members[:len(w.members)-1]
		if err := w.client.CoreV1().Pods(namespace).Delete(context.Background(), last.name, metav1.DeleteOptions{}); err != nil {
			panic(err)
		}
	}
	now := time.Now()
	for len(w.members) < int(replicas) {
		w.add(now, now.Add(seconds(w.script.PodReadyDelay)))
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run applies steps and readiness as time passes. It acts a nanosecond early, so that the controller's sync at the same
// instant always sees the change, as the format says.
func (w *world) run(ctx context.Context) {
	next := 0
	for {
		w.mu.Lock()
		now := time.Now().Add(time.Nanosecond)
		for next < len(w.script.Steps) && !w.start.Add(seconds(w.script.Steps[next].T)).After(now) {
			w.apply(&w.script.Steps[next])
			next++
		}
		w.refresh(now)
		wait := w.untilNext(next, now)
		w.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-w.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (w *world) untilNext(next int, now time.Time) time.Duration {
	wait := 24 * time.Hour
	consider := func(at time.Time) {
		if d := at.Sub(now); d > 0 && d < wait {
			wait = d
		}
	}
	if next < len(w.script.Steps) {
		consider(w.start.Add(seconds(w.script.Steps[next].T)))
	}
	for _, m := range w.members {
		consider(m.readyAt)
	}
	return wait
}

func (w *world) apply(s *Step) {
	set := func(u *usage, total, pod *float64) {
		if total != nil {
			*u = usage{*total, true}
		}
		if pod != nil {
			*u = usage{*pod, false}
		}
	}
	set(&w.cpu, s.TotalCPU, s.PodCPU)
	set(&w.memory, s.TotalMemory, s.PodMemory)
	if s.Drop != nil {
		w.drop = *s.Drop
	}
	for n, o := range s.Pods {
		w.overrides[n] = o
	}
	if s.Metrics != nil {
		w.metrics = s.Metrics
	}
	if s.Spec != nil {
		ctx := context.Background()
		hpa, err := w.client.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			panic(err)
		}
		hpa = hpa.DeepCopy()
		hpa.Spec = defaulted(*s.Spec)
		if _, err := w.client.AutoscalingV2().HorizontalPodAutoscalers(namespace).Update(ctx, hpa, metav1.UpdateOptions{}); err != nil {
			panic(err)
		}
	}
}

func (w *world) readyCount(now time.Time) int64 {
	n := int64(0)
	for _, m := range w.members {
		if w.isReady(m, now) {
			n++
		}
	}
	return n
}

func (w *world) measured(now time.Time) []*member {
	var out []*member
	for _, m := range w.members {
		o := w.overrides[m.name]
		if !m.readyAt.After(now) && !(o.Missing != nil && *o.Missing) {
			out = append(out, m)
		}
	}
	return out
}

// millis of a resource that one pod uses: cores for CPU, bytes for memory, times a thousand.
func (w *world) share(u usage, scale float64, now time.Time) int64 {
	if !u.total {
		return int64(u.amount * scale)
	}
	return int64(u.amount*scale) / max(w.readyCount(now), 1)
}

const mebi = 1048576000.0

func (w *world) podMetrics() *metricsapi.PodMetricsList {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	list := &metricsapi.PodMetricsList{}
	if w.drop {
		return list
	}
	cpu, memory := w.share(w.cpu, 1, now), w.share(w.memory, mebi, now)/1000
	for _, m := range w.measured(now) {
		o := w.overrides[m.name]
		podCPU, podMemory := cpu, memory
		if o.CPU != nil {
			podCPU = int64(*o.CPU)
		}
		if o.Memory != nil {
			podMemory = int64(*o.Memory*mebi) / 1000
		}
		pm := metricsapi.PodMetrics{ObjectMeta: metav1.ObjectMeta{Name: m.name, Namespace: namespace, Labels: map[string]string{"app": name}},
			Timestamp: metav1.NewTime(now.Truncate(time.Second)), Window: metav1.Duration{Duration: time.Minute}}
		for i, c := range w.containers {
			use := v1.ResourceList{v1.ResourceCPU: *resource.NewMilliQuantity(0, resource.DecimalSI), v1.ResourceMemory: *resource.NewQuantity(0, resource.BinarySI)}
			if i == 0 {
				use[v1.ResourceCPU] = *resource.NewMilliQuantity(podCPU, resource.DecimalSI)
				use[v1.ResourceMemory] = *resource.NewQuantity(podMemory, resource.BinarySI)
			}
			for _, s := range w.metrics {
				if s.ContainerResource != nil && s.ContainerResource.Container == c {
					use[s.ContainerResource.Name] = *average(s.ContainerResource.Current)
				}
			}
			pm.Containers = append(pm.Containers, metricsapi.ContainerMetrics{Name: c, Usage: use})
		}
		list.Items = append(list.Items, pm)
	}
	sort.Slice(list.Items, func(i, j int) bool { return list.Items[i].Name < list.Items[j].Name })
	return list
}

func average(current autoscalingv2.MetricValueStatus) *resource.Quantity {
	if current.AverageValue != nil {
		return current.AverageValue
	}
	if current.Value != nil {
		return current.Value
	}
	return resource.NewQuantity(0, resource.DecimalSI)
}

func (w *world) total(current autoscalingv2.MetricValueStatus, now time.Time) *resource.Quantity {
	if current.Value != nil {
		return current.Value
	}
	if current.AverageValue != nil {
		return resource.NewMilliQuantity(current.AverageValue.MilliValue()*int64(len(w.measured(now))), resource.DecimalSI)
	}
	return resource.NewQuantity(0, resource.DecimalSI)
}

func (w *world) customPods(metric string) *cmapi.MetricValueList {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	list := &cmapi.MetricValueList{}
	if w.drop {
		return list
	}
	window := int64(60)
	for _, s := range w.metrics {
		if s.Pods == nil || s.Pods.Metric.Name != metric {
			continue
		}
		for _, m := range w.measured(now) {
			list.Items = append(list.Items, cmapi.MetricValue{
				DescribedObject: v1.ObjectReference{Kind: "Pod", Name: m.name, Namespace: namespace},
				Metric:          cmapi.MetricIdentifier{Name: metric}, Timestamp: metav1.NewTime(now.Truncate(time.Second)),
				WindowSeconds: &window, Value: *average(s.Pods.Current)})
		}
	}
	return list
}

func (w *world) customObject(metric string) *cmapi.MetricValueList {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	list := &cmapi.MetricValueList{}
	for _, s := range w.metrics {
		if !w.drop && s.Object != nil && s.Object.Metric.Name == metric {
			list.Items = append(list.Items, cmapi.MetricValue{Metric: cmapi.MetricIdentifier{Name: metric},
				Timestamp: metav1.NewTime(now.Truncate(time.Second)), Value: *w.total(s.Object.Current, now)})
		}
	}
	return list
}

func (w *world) external(metric string) *emapi.ExternalMetricValueList {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	list := &emapi.ExternalMetricValueList{}
	for _, s := range w.metrics {
		if !w.drop && s.External != nil && s.External.Metric.Name == metric {
			list.Items = append(list.Items, emapi.ExternalMetricValue{MetricName: metric,
				Timestamp: metav1.NewTime(now.Truncate(time.Second)), Value: *w.total(s.External.Current, now)})
		}
	}
	return list
}

func (w *world) scale() *autoscalingv1.Scale {
	w.mu.Lock()
	defer w.mu.Unlock()
	replicas := int32(len(w.members))
	return &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:   autoscalingv1.ScaleSpec{Replicas: replicas},
		Status: autoscalingv1.ScaleStatus{Replicas: replicas, Selector: "app=" + name}}
}
