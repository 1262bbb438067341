// Package schedule asks the genuine scheduler's plugins, in its default profile, where a pod may go.
package schedule

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/dynamic-resource-allocation/resourceslice/tracker"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/backend/queue"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	"k8s.io/kubernetes/pkg/scheduler/util/assumecache"
)

// Input is what `marea decide schedule` reads.
type Input struct {
	Nodes                  []*v1.Node                      `json:"nodes"`
	Pods                   []*v1.Pod                       `json:"pods"`
	Pod                    *v1.Pod                         `json:"pod"`
	Services               []*v1.Service                   `json:"services"`
	ReplicaSets            []*appsv1.ReplicaSet            `json:"replicasets"`
	StatefulSets           []*appsv1.StatefulSet           `json:"statefulsets"`
	PersistentVolumeClaims []*v1.PersistentVolumeClaim     `json:"persistentvolumeclaims"`
	PersistentVolumes      []*v1.PersistentVolume          `json:"persistentvolumes"`
	StorageClasses         []*storagev1.StorageClass       `json:"storageclasses"`
	CSINodes               []*storagev1.CSINode            `json:"csinodes"`
	PDBs                   []*policyv1.PodDisruptionBudget `json:"pdbs"`
	Namespaces             []*v1.Namespace                 `json:"namespaces"`
}

// Preemption is a node and the pods that have to leave it, sorted by name.
type Preemption struct {
	Node    string   `json:"node"`
	Victims []string `json:"victims"`
}

// Output is what the plugins say. Feasible holds true or the message of the first filter that rejects the node.
type Output struct {
	Feasible map[string]any              `json:"feasible"`
	Scores   map[string]map[string]int64 `json:"scores"`
	Best     []string                    `json:"best"`
	Message  string                      `json:"message,omitempty"`
	// Upstream breaks ties between nodes at random, so there may be several answers.
	Preemptions []Preemption `json:"preemptions,omitempty"`
}

func objects(in *Input) []runtime.Object {
	all := []runtime.Object{in.Pod}
	add(&all, in.Nodes)
	add(&all, in.Pods)
	add(&all, in.Services)
	add(&all, in.ReplicaSets)
	add(&all, in.StatefulSets)
	add(&all, in.PersistentVolumeClaims)
	add(&all, in.PersistentVolumes)
	add(&all, in.StorageClasses)
	add(&all, in.CSINodes)
	add(&all, in.PDBs)
	add(&all, in.Namespaces)
	return all
}

func add[T runtime.Object](all *[]runtime.Object, more []T) {
	for _, object := range more {
		*all = append(*all, object)
	}
}

// victims records which pods the preemption deletes.
type victims struct {
	sync.Mutex
	names []string
}

func (v *victims) delete(action clienttesting.Action) (bool, runtime.Object, error) {
	deleted := action.(clienttesting.DeleteAction)
	v.Lock()
	defer v.Unlock()
	v.names = append(v.names, deleted.GetNamespace()+"/"+deleted.GetName())
	return true, nil, nil
}

// settled waits until the preemption, which deletes in the background, is through.
func (v *victims) settled() []string {
	last, quiet := -1, 0
	for step := 0; step < 400 && quiet < 8; step++ {
		time.Sleep(4 * time.Millisecond)
		v.Lock()
		count := len(v.names)
		v.Unlock()
		if count == last && (count > 0 || step > 40) {
			quiet++
		} else {
			quiet = 0
		}
		last = count
	}
	v.Lock()
	defer v.Unlock()
	sort.Strings(v.names)
	return append([]string{}, v.names...)
}

func newFramework(ctx context.Context, in *Input, client *fake.Clientset) (framework.Framework, *cache.Snapshot, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	var bound []*v1.Pod
	for _, pod := range in.Pods {
		if pod.Spec.NodeName != "" {
			bound = append(bound, pod)
		}
	}
	snapshot := cache.NewSnapshot(bound, in.Nodes)
	configuration, err := latest.Default()
	if err != nil {
		return nil, nil, err
	}
	logger := klog.FromContext(ctx)
	less := func(a, b fwk.QueuedPodInfo) bool { return a.GetPodInfo().GetPod().Name < b.GetPodInfo().GetPod().Name }
	pending := queue.NewTestQueueWithObjects(ctx, less, objects(in))
	claims := assumecache.NewAssumeCache(logger, factory.Resource().V1().ResourceClaims().Informer(), "ResourceClaim", "", nil)
	slices, err := tracker.StartTracker(ctx, tracker.Options{SliceInformer: factory.Resource().V1().ResourceSlices(), KubeClient: client})
	if err != nil {
		return nil, nil, err
	}
	profile, err := frameworkruntime.NewFramework(ctx, plugins.NewInTreeRegistry(), &configuration.Profiles[0],
		frameworkruntime.WithClientSet(client),
		frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithSnapshotSharedLister(snapshot),
		frameworkruntime.WithPodNominator(pending),
		frameworkruntime.WithPodActivator(pending),
		frameworkruntime.WithEventRecorder(&events.FakeRecorder{}),
		frameworkruntime.WithSharedDRAManager(dynamicresources.NewDRAManager(ctx, claims, slices, factory)),
		frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())),
		frameworkruntime.WithPodGroupManager(cache.New(ctx, nil, false)),
		frameworkruntime.WithMetricsRecorder(metrics.NewMetricsAsyncRecorder(1000, time.Second, ctx.Done())),
		frameworkruntime.WithWaitingPods(frameworkruntime.NewWaitingPodsMap()),
		frameworkruntime.WithPodsInPreBind(frameworkruntime.NewPodsInPreBindMap()),
	)
	if err != nil {
		return nil, nil, err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for _, pod := range in.Pods {
		if pod.Spec.NodeName == "" && pod.Status.NominatedNodeName != "" {
			pending.Add(ctx, pod)
		}
	}
	return profile, snapshot, nil
}

// Drive runs one scheduling cycle, as pkg/scheduler/schedule_one.go strings its parts together, over every node.
func Drive(in *Input) (*Output, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := fake.NewClientset(objects(in)...)
	evicted := &victims{}
	client.PrependReactor("delete", "pods", evicted.delete)
	profile, snapshot, err := newFramework(ctx, in, client)
	if err != nil {
		return nil, err
	}
	nodes, err := snapshot.NodeInfos().List()
	if err != nil {
		return nil, err
	}
	out := &Output{Feasible: map[string]any{}, Scores: map[string]map[string]int64{}, Best: []string{}}
	state := framework.NewCycleState()
	feasible, diagnosis := filter(ctx, profile, state, in.Pod, nodes, out)
	if len(feasible) > 0 {
		return out, score(ctx, profile, state, in.Pod, feasible, out)
	}
	result, status := profile.RunPostFilterPlugins(ctx, state, in.Pod, diagnosis.NodeToStatus)
	diagnosis.PostFilterMsg = status.Message()
	if result != nil && result.NominatingInfo != nil && result.NominatedNodeName != "" {
		out.Preemptions = []Preemption{{Node: result.NominatedNodeName, Victims: evicted.settled()}}
	}
	failure := &framework.FitError{Pod: in.Pod, NumAllNodes: len(nodes), Diagnosis: diagnosis}
	out.Message = failure.Error()
	return out, nil
}

func filter(ctx context.Context, profile framework.Framework, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo, out *Output) ([]fwk.NodeInfo, framework.Diagnosis) {
	diagnosis := framework.Diagnosis{NodeToStatus: framework.NewDefaultNodeToStatus()}
	restriction, status, restricting := profile.RunPreFilterPlugins(ctx, state, pod)
	if !status.IsSuccess() {
		diagnosis.NodeToStatus.SetAbsentNodesStatus(status)
		diagnosis.PreFilterMsg = status.Message()
		for _, node := range nodes {
			out.Feasible[node.Node().Name] = status.Message()
		}
		return nil, diagnosis
	}
	if !restriction.AllNodes() {
		reason := fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", sets.List(restricting))
		diagnosis.NodeToStatus.SetAbsentNodesStatus(fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason))
	}
	var feasible []fwk.NodeInfo
	for _, node := range nodes {
		name := node.Node().Name
		if !restriction.AllNodes() && !restriction.NodeNames.Has(name) {
			continue
		}
		if status := profile.RunFilterPluginsWithNominatedPods(ctx, state, pod, node); status.IsSuccess() {
			out.Feasible[name] = true
			feasible = append(feasible, node)
		} else {
			out.Feasible[name] = status.Message()
			diagnosis.NodeToStatus.Set(name, status)
		}
	}
	return feasible, diagnosis
}

func score(ctx context.Context, profile framework.Framework, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo, out *Output) error {
	if status := profile.RunPreScorePlugins(ctx, state, pod, nodes); !status.IsSuccess() {
		return status.AsError()
	}
	scores, status := profile.RunScorePlugins(ctx, state, pod, nodes)
	if !status.IsSuccess() {
		return status.AsError()
	}
	highest := scores[0].TotalScore
	for _, node := range scores {
		byPlugin := map[string]int64{"total": node.TotalScore}
		for _, plugin := range node.Scores {
			byPlugin[plugin.Name] = plugin.Score
		}
		out.Scores[node.Name] = byPlugin
		highest = max(highest, node.TotalScore)
	}
	for _, node := range scores {
		if node.TotalScore == highest {
			out.Best = append(out.Best, node.Name)
		}
	}
	sort.Strings(out.Best)
	return nil
}
