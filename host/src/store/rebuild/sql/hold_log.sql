-- Waits for the appends that are on their way, and lets none begin until the transaction ends.
LOCK TABLE eventfabric.events IN SHARE MODE
