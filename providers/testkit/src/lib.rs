//! Token minting, faulty issuers and the conformance suite that every provider kind passes.
