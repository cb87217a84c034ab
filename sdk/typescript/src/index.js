export { config } from './config.js';
export { Failure, fatal, poison, retry } from './failure.js';
export { log } from './log.js';
export { defineProjection } from './projection.js';
export { t } from './schema.js';
export { sql } from './sql.js';
export { table } from './table.js';
export { Timestamp } from './time.js';
export { Json, json } from './value.js';
