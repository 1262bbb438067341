//! arm-engine
