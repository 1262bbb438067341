//! The composition root of the embedded cloud.

pub mod postgres;
