//! The backend against a real PostgreSQL; one program, so that what the tests share is compiled and linted once.
mod access;
mod http;
mod simulations;
mod support;
