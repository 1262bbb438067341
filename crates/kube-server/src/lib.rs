//! kube-server
