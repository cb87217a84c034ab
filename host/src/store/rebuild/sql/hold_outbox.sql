-- Waits for the deliveries that are on their way, and lets none begin until the transaction ends; an
-- append waits, too. (A claim locks rows of the outbox, and with them takes ROW SHARE.)
LOCK TABLE eventfabric.outbox IN EXCLUSIVE MODE
