#include "eventfabric.h"

// Writes a value of every kind, reads it, writes and shows what was read.
void written(ef_tx *tx, const ef_event *event);
