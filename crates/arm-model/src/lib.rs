//! arm-model
