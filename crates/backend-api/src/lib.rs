//! What the backend says over HTTP: its routes, its types and the OpenAPI document made of both.
//!
//! A crate of its own so that the console's client and the tests depend on the words and not on the server.
pub mod cluster;
pub mod database;
pub mod hpa;
pub mod openapi;
pub mod problem;
pub mod routes;
pub mod simulations;
pub mod stacks;
pub mod stream;
pub mod work;
