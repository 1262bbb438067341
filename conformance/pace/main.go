// Pace times the genuine scheduler: one process, its default profile, the fake client of client-go in the place of the
// API server. It reads {"nodes": [Node...], "replicasets": [ReplicaSet...], "pods": [Pod...]} from standard input and prints
// one JSON document when every pod is bound. Seconds are of CPU, of all its threads, so that a busy machine does not count.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

// deadline is for a cluster without room for all the pods: they would never all be bound.
const deadline = 10 * time.Minute

type cluster struct {
	Nodes       []*v1.Node           `json:"nodes"`
	ReplicaSets []*appsv1.ReplicaSet `json:"replicasets"`
	Pods        []*v1.Pod            `json:"pods"`
}

func (c *cluster) objects() []runtime.Object {
	var all []runtime.Object
	for _, node := range c.Nodes {
		all = append(all, node)
	}
	for _, set := range c.ReplicaSets {
		all = append(all, set)
	}
	for _, pod := range c.Pods {
		all = append(all, pod)
	}
	return all
}

func main() {
	klog.SetLogger(klog.Logger{})
	var in cluster
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Fprintf(os.Stderr, "pace: standard input: %v\n", err)
		os.Exit(2)
	}
	seconds, err := run(&in)
	if err != nil {
		fmt.Fprintf(os.Stderr, "pace: %v\n", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"kubernetes": "v1.36.3", "nodes": len(in.Nodes), "pods": len(in.Pods), "seconds": seconds,
		"pods_per_second": float64(len(in.Pods)) / seconds,
	})
}

// used answers the seconds of CPU that this process has taken.
func used() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// run answers the seconds of CPU from the start of the scheduler, whose caches are full, to the last binding.
func run(in *cluster) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	client := fake.NewClientset(in.objects()...)
	var bound atomic.Int64
	done := make(chan struct{})
	client.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "binding" {
			return false, nil, nil
		}
		// The scheduler has assumed the pod already, and goes on from there as it does where the API confirms late.
		if bound.Add(1) == int64(len(in.Pods)) {
			close(done)
		}
		return true, nil, nil
	})
	factory := scheduler.NewInformerFactory(client, 0)
	instance, err := scheduler.New(ctx, client, factory, nil, recorder, scheduler.WithPodInitialBackoffSeconds(1))
	if err != nil {
		return 0, err
	}
	start(ctx, factory)
	if err := instance.WaitForHandlersSync(ctx); err != nil {
		return 0, err
	}
	begun := used()
	go instance.Run(ctx)
	select {
	case <-done:
		return used() - begun, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%d of %d pods were bound within %s", bound.Load(), len(in.Pods), deadline)
	}
}

func start(ctx context.Context, factory informers.SharedInformerFactory) {
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
}

var recorder profile.RecorderFactory = func(string) events.EventRecorderLogger { return &events.FakeRecorder{} }
