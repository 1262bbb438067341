package hpa

import (
	"fmt"
	"math/rand"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// generator makes scripts that aim at the edges: ties, rounding, boundaries of windows and bounds.
type generator struct{ *rand.Rand }

// Generate makes the n-th script and says which rules it is aimed at.
func Generate(n int64) (*Script, []string) {
	g := generator{rand.New(rand.NewSource(n))}
	script := &Script{
		InitialReplicas:  int32(g.pick(0, 1, 1, 2, 2, 3, 5, 9)),
		PodRequest:       map[string]string{"cpu": g.text("100m", "250m", "500m", "1"), "memory": g.text("128Mi", "256Mi", "1Gi")},
		PodReadyDelay:    []float64{0.7, 3.3, 11.2, 44.6, 100.1}[g.Intn(5)],
		Duration:         []float64{200.5, 400.5, 900.5}[g.Intn(3)],
		Sync:             []float64{15, 15, 15, 10, 30}[g.Intn(5)],
		DownscaleWindow:  []float64{300, 300, 60, 90, 0}[g.Intn(5)],
		Tolerance:        []float64{0.1, 0.1, 0.1, 0.05, 0}[g.Intn(5)],
		CPUInit:          []float64{300, 300, 120, 0}[g.Intn(4)],
		InitialReadiness: []float64{30, 30, 10, 0}[g.Intn(4)],
		Verbose:          true,
	}
	var rules []string
	script.Spec, rules = g.spec()
	script.Steps = g.steps(script, &rules)
	return script, rules
}

func (g generator) pick(options ...int) int { return options[g.Intn(len(options))] }

func (g generator) text(options ...string) string { return options[g.Intn(len(options))] }

func (g generator) spec() (autoscalingv2.HorizontalPodAutoscalerSpec, []string) {
	var rules []string
	spec := autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
		MaxReplicas:    int32(g.pick(3, 5, 10, 10, 40)),
	}
	if g.Intn(5) > 0 {
		spec.MinReplicas = ptr.To(int32(g.pick(1, 2, 2, 3)))
	}
	for i, n := 0, g.pick(1, 1, 1, 2, 3); i < n; i++ {
		metric, rule := g.metric()
		spec.Metrics = append(spec.Metrics, metric)
		rules = append(rules, rule)
	}
	if len(spec.Metrics) > 1 {
		rules = append(rules, "several-metrics")
	}
	if g.Intn(2) == 0 {
		spec.Behavior = g.behavior(&rules)
	} else {
		rules = append(rules, "no-behavior")
	}
	return spec, rules
}

func (g generator) metric() (autoscalingv2.MetricSpec, string) {
	quantity := func(s string) *resource.Quantity { q := resource.MustParse(s); return &q }
	switch g.Intn(9) {
	case 0:
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: v1.ResourceMemory,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(g.pick(50, 80, 120)))}}}, "memory-utilization"
	case 1:
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: v1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity(g.text("100m", "333m", "1"))}}}, "cpu-average-value"
	case 2:
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ContainerResourceMetricSourceType, ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
			Name: v1.ResourceCPU, Container: g.text("app", "app", "sidecar"),
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(g.pick(30, 70)))}}}, "container-cpu"
	case 3:
		return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "rps"},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity(g.text("10", "100", "1500m"))}}}, "pods-metric"
	case 4:
		target := autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: quantity(g.text("100", "7"))}
		rule := "object-value"
		if g.Intn(2) == 0 {
			target = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity(g.text("20", "7"))}
			rule = "object-average"
		}
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
			DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Service", Name: "web"},
			Metric:          autoscalingv2.MetricIdentifier{Name: "hits"}, Target: target}}, rule
	case 5:
		metric := autoscalingv2.MetricIdentifier{Name: "queue"}
		if g.Intn(2) == 0 {
			metric.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"queue": "jobs"}}
		}
		target := autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: quantity(g.text("100", "30"))}
		rule := "external-value"
		if g.Intn(2) == 0 {
			target = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity(g.text("30", "11"))}
			rule = "external-average"
		}
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: metric, Target: target}}, rule
	default:
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: v1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(g.pick(30, 50, 70, 70, 100, 150)))}}}, "cpu-utilization"
	}
}

func (g generator) behavior(rules *[]string) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	side := func(direction string, windows ...int) *autoscalingv2.HPAScalingRules {
		if g.Intn(4) == 0 {
			return nil
		}
		out := &autoscalingv2.HPAScalingRules{}
		if g.Intn(2) == 0 {
			out.StabilizationWindowSeconds = ptr.To(int32(windows[g.Intn(len(windows))]))
			*rules = append(*rules, direction+"-window")
		}
		for i, n := 0, g.Intn(3); i < n; i++ {
			policy := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: int32(g.pick(1, 1, 2, 4)), PeriodSeconds: int32(g.pick(15, 30, 60, 90))}
			if g.Intn(2) == 0 {
				policy.Type, policy.Value = autoscalingv2.PercentScalingPolicy, int32(g.pick(10, 33, 50, 100, 200))
			}
			out.Policies = append(out.Policies, policy)
		}
		if len(out.Policies) > 0 {
			*rules = append(*rules, direction+"-policies")
		}
		if g.Intn(3) == 0 {
			choice := []autoscalingv2.ScalingPolicySelect{autoscalingv2.MinChangePolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.DisabledPolicySelect}[g.Intn(3)]
			out.SelectPolicy = &choice
			*rules = append(*rules, fmt.Sprintf("%s-select-%s", direction, choice))
		}
		if g.Intn(4) == 0 {
			out.Tolerance = ptr.To(resource.MustParse(g.text("0", "0.05", "0.3")))
			*rules = append(*rules, direction+"-tolerance")
		}
		return out
	}
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: side("up", 0, 15, 30, 60), ScaleDown: side("down", 0, 15, 60, 120, 300)}
}

func (g generator) steps(script *Script, rules *[]string) []Step {
	var steps []Step
	at := 0.0
	for i, n := 0, 1+g.Intn(6); i < n && at < script.Duration; i++ {
		step := Step{T: at}
		cpu, _ := resource.ParseQuantity(script.PodRequest["cpu"])
		request := float64(cpu.MilliValue())
		// Around the targets, where tolerance and rounding decide.
		factor := []float64{0, 0.05, 0.3, 0.5, 0.62, 0.63, 0.7, 0.769, 0.77, 0.771, 1, 1.1, 2, 4, 10}[g.Intn(15)]
		if g.Intn(2) == 0 {
			step.PodCPU = ptr.To(float64(int64(request * factor)))
		} else {
			step.TotalCPU = ptr.To(float64(int64(request * factor * float64(1+g.Intn(6)))))
		}
		if g.Intn(2) == 0 {
			step.PodMemory = ptr.To(float64(g.pick(0, 50, 102, 128, 205, 256, 800)))
		}
		if g.Intn(3) == 0 {
			step.TotalMemory, step.PodMemory = ptr.To(float64(g.pick(100, 512, 1000))), nil
		}
		step.Metrics = g.metrics()
		switch g.Intn(8) {
		case 0:
			step.Drop = ptr.To(true)
			*rules = append(*rules, "metrics-dropped")
		case 1:
			step.Pods = g.pods(rules)
		case 2:
			if i > 0 {
				spec := script.Spec.DeepCopy()
				spec.MaxReplicas = int32(g.pick(3, 4, 8, 20))
				*rules = append(*rules, "bounds-changed")
				step.Spec = spec
			}
		}
		if step.Drop == nil {
			step.Drop = ptr.To(false)
		}
		steps = append(steps, step)
		// Never at the same instant as a sync.
		at += float64(g.pick(15, 45, 60, 61, 90, 150, 300)) + 0.4
	}
	return steps
}

func (g generator) pods(rules *[]string) map[string]PodOverride {
	out := map[string]PodOverride{}
	for i, n := 0, 1+g.Intn(2); i < n; i++ {
		override := PodOverride{}
		switch g.Intn(3) {
		case 0:
			override.Missing = ptr.To(true)
			*rules = append(*rules, "pod-missing")
		case 1:
			override.Ready = ptr.To(false)
			*rules = append(*rules, "pod-unready")
		case 2:
			override.CPU = ptr.To(float64(g.pick(0, 77, 900)))
			*rules = append(*rules, "pod-outlier")
		}
		out[fmt.Sprintf("%s-%d", name, g.Intn(4))] = override
	}
	return out
}

func (g generator) metrics() []autoscalingv2.MetricStatus {
	quantity := func(options ...string) *resource.Quantity { q := resource.MustParse(g.text(options...)); return &q }
	metrics := []autoscalingv2.MetricStatus{
		{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricStatus{Metric: autoscalingv2.MetricIdentifier{Name: "rps"},
			Current: autoscalingv2.MetricValueStatus{AverageValue: quantity("0", "9", "11", "12", "1600m", "200")}}},
		{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricStatus{Metric: autoscalingv2.MetricIdentifier{Name: "hits"},
			DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Service", Name: "web"},
			Current:         autoscalingv2.MetricValueStatus{Value: quantity("0", "7", "63", "109", "111", "500")}}},
		{Type: autoscalingv2.ContainerResourceMetricSourceType, ContainerResource: &autoscalingv2.ContainerResourceMetricStatus{Name: v1.ResourceCPU, Container: "sidecar",
			Current: autoscalingv2.MetricValueStatus{AverageValue: quantity("0", "50m", "400m")}}},
	}
	if g.Intn(4) > 0 {
		metrics = append(metrics, autoscalingv2.MetricStatus{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricStatus{
			Metric: autoscalingv2.MetricIdentifier{Name: "queue"}, Current: autoscalingv2.MetricValueStatus{Value: quantity("0", "10", "99", "1000")}}})
	}
	return metrics
}
