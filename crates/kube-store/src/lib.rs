//! kube-store
