//! Every period and default of the controllers in one place, with upstream's values.

use decide::nodes::Profile;
use units::Millis;

/// Settings of the controllers. `Config::default()` has the defaults of kube-controller-manager 1.36.
#[derive(Clone, Debug)]
pub struct Config {
    /// Every object is visited at least this often, although nothing changed. At least 30 s, so that an idle cloud idles.
    pub resync: Millis,
    /// Between two looks at a HorizontalPodAutoscaler (`--horizontal-pod-autoscaler-sync-period`).
    pub hpa_sync: Millis,
    /// Tolerance, windows and readiness delays of the HPA.
    pub hpa: decide::hpa::Settings,
    /// What AKS calls `autoScalerProfile`, at the start; replaceable at run time.
    pub autoscaler: Profile,
    pub nodes: NodeLifecycle,
    /// Finished pods beyond this many are deleted (`--terminated-pod-gc-threshold`).
    pub terminated_pods: usize,
    /// The flight recorder's files together, in bytes. At least 1 MiB.
    pub journal_bytes: u64,
    /// Decisions kept in memory for `explain.marea.dev`.
    pub journal_ring: usize,
    /// The cluster's CA certificate in PEM, which every namespace's `kube-root-ca.crt` carries.
    pub root_ca_pem: String,
    /// Seeds the scheduler's choice among equally good nodes.
    pub seed: u64,
}

/// How fast a silent node is given up.
#[derive(Clone, Copy, Debug)]
pub struct NodeLifecycle {
    /// Without a renewed lease for so long, a node's conditions become Unknown (`--node-monitor-grace-period`).
    pub grace: Millis,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            resync: Millis::from_secs(300),
            hpa_sync: Millis::from_secs(15),
            hpa: decide::hpa::Settings::default(),
            autoscaler: Profile::default(),
            nodes: NodeLifecycle { grace: Millis::from_secs(50) },
            terminated_pods: 12_500,
            journal_bytes: 64 << 20,
            journal_ring: 4096,
            root_ca_pem: String::new(),
            seed: 0,
        }
    }
}
