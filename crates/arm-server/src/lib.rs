//! arm-server
