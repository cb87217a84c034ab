// The host's HTTP API: requests with the token of whoever looks, and whether the host answers at all.

/** A number that JavaScript would round, as it was written. */
export class Exact {
    constructor(readonly text: string) {}
    toString() { return this.text; }
}

/** What the host says when it refuses something (RFC 9457). */
export class Problem extends Error {
    constructor(readonly status: number, readonly code: string, readonly title: string, readonly detail: string) {
        super(detail || title);
    }
}

/** The host does not answer. */
export class Away extends Error {}

const TOKEN = "eventfabric.token";
const TENANT = "eventfabric.tenant";

export const session = {
    get token() { return sessionStorage.getItem(TOKEN) ?? ""; },
    set token(value: string) { value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN); },
    get tenant() { return sessionStorage.getItem(TENANT) || "default"; },
    set tenant(value: string) { sessionStorage.setItem(TENANT, value); },
    get by() { return localStorage.getItem("eventfabric.by") ?? ""; },
    set by(value: string) { localStorage.setItem("eventfabric.by", value); },
};

export type Link = { state: "up" } | { state: "away"; since: Date } | { state: "locked"; why: string };
let link: Link = { state: "up" };
const listeners = new Set<() => void>();
export const getLink = () => link;
export const onLink = (listener: () => void) => { listeners.add(listener); return () => void listeners.delete(listener); };
function setLink(next: Link) {
    if (next.state === link.state && next.state !== "locked") return;
    link = next;
    listeners.forEach((listener) => listener());
}
export const unlock = (token: string) => { session.token = token; setLink({ state: "up" }); };
export const lock = (why: string) => { session.token = ""; setLink({ state: "locked", why }); };

/** JSON, without rounding whole numbers beyond 2^53 or long decimals, where the browser can tell. */
export function parse(text: string, exact = false): any {
    if (!exact) return JSON.parse(text);
    return JSON.parse(text, function (_key: string, value: unknown, context?: { source?: string }) {
        const source = context?.source;
        if (typeof value !== "number" || !source) return value;
        const same = /^-?\d+$/.test(source) ? Number.isSafeInteger(value) : source.replace(/\D/g, "").length <= 15;
        return same ? value : new Exact(source);
    } as (key: string, value: unknown) => unknown);
}

/** The same back into text, for people. */
export function pretty(value: unknown, indent = ""): string {
    const inner = indent + "  ";
    if (value instanceof Exact) return value.text;
    if (Array.isArray(value)) {
        if (value.length === 0) return "[]";
        return "[\n" + value.map((one) => inner + pretty(one, inner)).join(",\n") + "\n" + indent + "]";
    }
    if (value && typeof value === "object") {
        const fields = Object.entries(value);
        if (fields.length === 0) return "{}";
        const line = ([name, one]: [string, unknown]) => `${inner}${JSON.stringify(name)}: ${pretty(one, inner)}`;
        return "{\n" + fields.map(line).join(",\n") + "\n" + indent + "}";
    }
    return JSON.stringify(value) ?? "null";
}

export type Ask = { method?: string; body?: unknown; bytes?: Blob; signal?: AbortSignal; headers?: Record<string, string>; exact?: boolean };

async function send(path: string, ask: Ask): Promise<Response> {
    const { token } = session;
    const headers: Record<string, string> = { ...ask.headers, "X-Tenant": session.tenant };
    if (token) headers.Authorization = `Bearer ${token}`;
    let body: BodyInit | undefined;
    if (ask.bytes) { body = ask.bytes; headers["Content-Type"] = "application/wasm"; }
    else if (ask.body !== undefined) { body = JSON.stringify(ask.body); headers["Content-Type"] = "application/json"; }
    let response: Response;
    try {
        response = await fetch(path, { method: ask.method ?? (body ? "POST" : "GET"), headers, body, signal: ask.signal, cache: "no-store", credentials: "omit", redirect: "error" });
    } catch (error) {
        if (ask.signal?.aborted) throw error;
        setLink({ state: "away", since: new Date() });
        throw new Away("the host does not answer");
    }
    if (response.ok) { if (link.state === "away") setLink({ state: "up" }); return response; }
    const text = await response.text();
    let problem: any = {};
    try { problem = JSON.parse(text); } catch { /* what is between here and the host speaks for itself */ }
    if (response.status === 502 || response.status === 504) {
        setLink({ state: "away", since: new Date() });
        throw new Away("the host does not answer");
    }
    if (link.state === "away") setLink({ state: "up" });
    // Unless another one was given meanwhile.
    if (response.status === 401 && token === session.token) lock(token ? "This host does not know the token." : "");
    throw new Problem(response.status, problem.code ?? "", problem.title ?? response.statusText, problem.detail ?? "");
}

/** Asks the API; what it answers. With `exact`, numbers of payloads are kept as they were written. */
export async function api<T = any>(path: string, ask: Ask = {}): Promise<T> {
    const response = await send(path, ask);
    const text = await response.text();
    return (text ? parse(text, ask.exact) : undefined) as T;
}

/** Server-sent events, with the token, which an EventSource could not send. Their text is handed on as it is: who shows
 *  the last few of many need not read the others. Ends with `signal`; comes back after it was cut, from where it was. */
export async function follow(path: string, take: (data: string) => void, signal: AbortSignal, state: (live: boolean) => void) {
    let last = "";
    while (!signal.aborted) {
        try {
            const response = await send(path, { signal, headers: last ? { "Last-Event-ID": last } : {} });
            state(true);
            const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
            let rest = "";
            for (;;) {
                const { done, value } = await reader.read();
                if (done) break;
                rest += value;
                const messages = rest.split("\n\n");
                rest = messages.pop()!;
                for (const message of messages) {
                    let data = "";
                    for (const row of message.split("\n")) {
                        if (row.startsWith("id:")) last = row.slice(3).trim();
                        if (row.startsWith("data:")) data += row.slice(5);
                    }
                    if (data) take(data);
                }
            }
        } catch (error) {
            if (error instanceof Problem && error.status < 500) { state(false); return; }
        }
        state(false);
        await new Promise((resolve) => setTimeout(resolve, 1000));
    }
}

export const seg = encodeURIComponent;
export const query = (values: Record<string, string | number | boolean | undefined | null>) => {
    const all = new URLSearchParams();
    for (const [name, value] of Object.entries(values)) if (value !== undefined && value !== null && value !== "") all.set(name, String(value));
    const text = all.toString();
    return text ? `?${text}` : "";
};
