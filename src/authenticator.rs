//! Token → principal: the provider is chosen, the cache asked, revocations checked.
