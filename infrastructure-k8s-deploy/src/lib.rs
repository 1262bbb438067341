//! infrastructure-k8s-deploy
