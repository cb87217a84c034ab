//! Integration tests of EventFabric.
