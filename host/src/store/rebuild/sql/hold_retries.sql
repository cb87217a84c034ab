-- Waits for the retries that are on their way, and lets none begin until the transaction ends.
LOCK TABLE eventfabric.projection_retries, eventfabric.projection_parked IN EXCLUSIVE MODE
