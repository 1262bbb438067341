//! arm-client
