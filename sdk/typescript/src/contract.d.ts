declare module 'eventfabric:projection/log@0.1.0' {
  export function write(level: import('./raw.js').LogLevel, message: string): void;
}
declare module 'eventfabric:projection/config@0.1.0' {
  export function get(key: string): string | undefined;
  export function all(): [string, string][];
}
