//! Derive macros of the EventFabric SDK.
