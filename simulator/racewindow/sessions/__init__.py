"""The domain: scenarios, the implementation protocol, histories and invariants."""
