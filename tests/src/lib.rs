//! What the tests share: guests, payloads, helpers.
