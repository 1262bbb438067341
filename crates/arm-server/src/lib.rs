//! ARM over HTTPS: storage, tokens, and the effects of `arm-engine`.
pub mod effects;
