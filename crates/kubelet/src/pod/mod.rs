//! One pod: its environment, volumes, containers, probes and status.

pub(crate) mod backoff;
pub(crate) mod container;
pub(crate) mod downward;
pub(crate) mod env;
pub(crate) mod expand;
pub(crate) mod grpc;
pub(crate) mod hooks;
pub(crate) mod http;
pub(crate) mod launch;
pub(crate) mod payload;
pub(crate) mod probes;
pub(crate) mod qos;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod tls;
pub(crate) mod volumes;
pub(crate) mod worker;
