//! Whole simulations.

mod basics;
mod platforms;
mod queueing;
mod random_worlds;
mod scripts;
