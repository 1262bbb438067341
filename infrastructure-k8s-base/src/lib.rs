//! infrastructure-k8s-base
