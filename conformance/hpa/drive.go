package hpa

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	core "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	metricsfake "k8s.io/metrics/pkg/client/clientset/versioned/fake"
	cmfake "k8s.io/metrics/pkg/client/custom_metrics/fake"
	emfake "k8s.io/metrics/pkg/client/external_metrics/fake"

	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
)

// Observation is the object's status as the controller wrote it, times in seconds from the start.
type Observation struct {
	T      float64        `json:"t"`
	Status map[string]any `json:"status"`
}

// defaulted fills in what the API server would before the controller sees the object.
func defaulted(spec autoscalingv2.HorizontalPodAutoscalerSpec) autoscalingv2.HorizontalPodAutoscalerSpec {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{Spec: *spec.DeepCopy()}
	defaults.SetDefaults_HorizontalPodAutoscaler(hpa)
	return hpa.Spec
}

func init() {
	// The controller reports every failed metric here; the vectors hold it already, and the default handlers sleep.
	utilruntime.ErrorHandlers = nil
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

// Drive runs the genuine controller over the script, in virtual time.
func Drive(t *testing.T, script *Script) (out []Observation, final int32) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: defaulted(script.Spec)}
		client := fake.NewClientset(hpa)
		w := newWorld(script, client)
		var observed sync.Mutex

		client.PrependReactor("update", "horizontalpodautoscalers", func(action core.Action) (bool, runtime.Object, error) {
			if action.GetSubresource() == "status" {
				object := action.(core.UpdateAction).GetObject().(*autoscalingv2.HorizontalPodAutoscaler)
				// The fake client holds its lock here, so the world's may not be taken.
				observed.Lock()
				out = append(out, Observation{T: time.Since(w.start).Seconds(), Status: relative(object.Status, w.start)})
				observed.Unlock()
			}
			return false, nil, nil
		})
		scales := &scalefake.FakeScaleClient{}
		scales.AddReactor("get", "deployments", func(core.Action) (bool, runtime.Object, error) { return true, w.scale(), nil })
		scales.AddReactor("update", "deployments", func(action core.Action) (bool, runtime.Object, error) {
			scale := action.(core.UpdateAction).GetObject().(*autoscalingv1.Scale)
			w.scaleTo(scale.Spec.Replicas)
			return true, scale, nil
		})
		resourceMetrics := &metricsfake.Clientset{}
		resourceMetrics.AddReactor("list", "pods", func(core.Action) (bool, runtime.Object, error) { return true, w.podMetrics(), nil })
		custom := &cmfake.FakeCustomMetricsClient{}
		custom.AddReactor("get", "*", func(action core.Action) (bool, runtime.Object, error) {
			get := action.(cmfake.GetForAction)
			if get.GetName() == "*" {
				return true, w.customPods(get.GetMetricName()), nil
			}
			return true, w.customObject(get.GetMetricName()), nil
		})
		external := &emfake.FakeExternalMetricsClient{}
		external.AddReactor("list", "*", func(action core.Action) (bool, runtime.Object, error) {
			return true, w.external(action.GetResource().Resource), nil
		})

		factory := informers.NewSharedInformerFactory(client, 0)
		controller := podautoscaler.NewHorizontalController(ctx, fake.NewClientset().CoreV1(), scales, client.AutoscalingV2(),
			testrestmapper.TestOnlyStaticRESTMapper(legacyscheme.Scheme),
			metrics.NewRESTMetricsClient(resourceMetrics.MetricsV1beta1(), custom, external),
			factory.Autoscaling().V2().HorizontalPodAutoscalers(), factory.Core().V1().Pods(),
			seconds(script.Sync), seconds(script.DownscaleWindow), script.Tolerance, seconds(script.CPUInit), seconds(script.InitialReadiness))
		factory.Start(ctx.Done())
		go w.run(ctx)
		go controller.Run(ctx, 1)
		synctest.Wait()
		time.Sleep(seconds(script.Duration) + time.Nanosecond)
		synctest.Wait()
		final = int32(len(w.members))
		cancel()
		factory.Shutdown()
		// Time has to pass for what still sleeps in a back-off to see the end.
		time.Sleep(time.Minute)
		synctest.Wait()
	})
	return out, final
}

// relative prints a status with its instants as seconds from the start, truncated as the API does.
func relative(status autoscalingv2.HorizontalPodAutoscalerStatus, start time.Time) map[string]any {
	since := func(at *metav1.Time) any {
		if at == nil || at.IsZero() {
			return nil
		}
		return int64(at.Truncate(time.Second).Sub(start.Truncate(time.Second)).Seconds())
	}
	raw, err := json.Marshal(status)
	if err != nil {
		panic(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	if status.LastScaleTime != nil {
		out["lastScaleTime"] = since(status.LastScaleTime)
	}
	if conditions, ok := out["conditions"].([]any); ok {
		for i := range conditions {
			conditions[i].(map[string]any)["lastTransitionTime"] = since(&status.Conditions[i].LastTransitionTime)
		}
	}
	return out
}
