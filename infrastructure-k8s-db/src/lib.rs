//! infrastructure-k8s-db
