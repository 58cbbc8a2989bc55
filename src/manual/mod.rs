//! The manual, for those who read the code and those who write beside it. How to run scopegate is in the README, every
//! key in `config/scopegate.yaml`.
//!
//! | page | says |
//! | --- | --- |
//! | [`architecture`] | how the house is built, the way of a request, and why it is so |
//! | [`threats`] | each attack, where it dies, and the test that shows it |
//! | [`providers`] | how to write a provider |
//! | [`dependencies`] | what scopegate is built of: the reason for each, licences, versions, advisories |

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("providers.md")]
pub mod providers {}

#[doc = include_str!("dependencies.md")]
pub mod dependencies {}
