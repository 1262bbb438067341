//! Deployment stacks: deployments that own what they deployed.

mod http;
mod run;
mod whatif;
