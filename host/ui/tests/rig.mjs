// A host with data, and a browser. `cargo xtask ui-test` says where things are:
// EVENTFABRIC (the program), POSTGRES (a folder for a private PostgreSQL), PLUGINS (components), CHROMIUM. With UI_FROM
// the dashboard's files come from that folder, with the headers of the host: to try what no host was built with yet.
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const { EVENTFABRIC, POSTGRES, PLUGINS, CHROMIUM, UI_FROM } = process.env;
const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../../..");
export const TOKEN = "a-token-for-the-dashboard";
export const READER = "a-token-that-reads-alone";
export const SCRIPT = `<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>`;

async function freePort() {
    const server = createServer();
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}

/** Waits until something is so; says what for where it is not. */
export async function until(what, holds, seconds = 60) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        const value = await holds();
        if (value) return value;
        if (Date.now() > end) throw new Error(`it did not come about: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}

export class Rig {
    static async start() {
        const rig = new Rig();
        rig.folder = dirname(POSTGRES);
        mkdirSync(rig.folder, { recursive: true });
        rig.port = await freePort();
        rig.url = `http://127.0.0.1:${rig.port}`;
        rig.settings = join(rig.folder, "eventfabric.toml");
        writeFileSync(rig.settings, `
[http]
new_tenants = true
[[http.tokens]]
name = "dashboard"
token = "${TOKEN}"
scopes = ["append", "read", "admin", "metrics"]
[[http.tokens]]
name = "reader"
token = "${READER}"
scopes = ["read"]
# What goes wrong concerns what comes after the flights alone, and is given up soon.
[projection.hostile_async]
start = "now"
[projection.hostile_catchup]
start = "now"
[runner.async]
max_attempts = 2
backoff = { base = "50ms", cap = "200ms" }
`);
        await rig.run();
        return rig;
    }

    common() { return [`--embedded=${POSTGRES}`, "--config", this.settings]; }

    /** Runs the host, and waits until it answers. */
    async run() {
        const log = openSync(join(this.folder, "host.log"), "a");
        this.host = spawn(EVENTFABRIC, [...this.common(), "run", "--http", `127.0.0.1:${this.port}`], { stdio: ["ignore", log, log] });
        this.gone = new Promise((resolve) => this.host.on("exit", resolve));
        await until("the host answers", async () => {
            if (this.host.exitCode !== null) throw new Error(`the host ended: see ${join(this.folder, "host.log")}`);
            return fetch(`${this.url}/healthz`).then((answer) => answer.ok, () => false);
        }, 180);
    }

    async halt() { this.host.kill("SIGTERM"); await this.gone; }

    async cli(...args) {
        const { stdout } = await promisify(execFile)(EVENTFABRIC, [...this.common(), "--log", "warn", ...args], { maxBuffer: 64 << 20 });
        return stdout;
    }

    async api(path, body, more = {}) {
        const answer = await fetch(this.url + path, {
            method: body === undefined ? "GET" : "POST",
            headers: { Authorization: `Bearer ${TOKEN}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...more.headers },
            body: body === undefined ? undefined : body instanceof Uint8Array ? body : JSON.stringify(body),
        });
        const text = await answer.text();
        if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
        return text ? JSON.parse(text) : undefined;
    }

    component(name) { return join(PLUGINS, `${name}.wasm`); }
    deploy(name) { return this.api("/v1/plugins?by=ada", readFileSync(this.component(name)), { headers: { "Content-Type": "application/wasm" } }); }
    append(aggregate, id, events) { return this.api(`/v1/streams/${aggregate}/${id}/events`, { events }); }
    projection(name) { return this.api(`/v1/projections/${name}`); }
    letters(query = "") { return this.api(`/v1/dead-letters${query}`).then((page) => page.dead_letters); }

    /** The demo's week of flights, an order whose events cause one another, and what goes wrong. */
    async fill() {
        for (const name of ["board", "carriers", "aircraft", "notifications"]) await this.deploy(name);
        await this.cli("import", join(ROOT, "tests/data/flights-2013-01-week1.ndjson.gz"));
        const order = JSON.stringify({ events: [{ type: "OrderPlaced", correlation_id: "order-4711", payload: { customer: "Ada", total_cents: 0, note: SCRIPT } }] });
        // More than JavaScript's numbers hold.
        const exact = new TextEncoder().encode(order.replace('"total_cents":0', '"total_cents":9007199254740993'));
        const placed = (await this.api("/v1/streams/Order/4711/events", exact)).events[0];
        const effect = (type, cause) => ({ type, correlation_id: "order-4711", causation_id: cause, payload: { of: "order 4711" } });
        const paid = (await this.append("Payment", "P-1", [effect("PaymentRequested", placed.event_id)])).events[0];
        const reserved = (await this.append("Stock", "sku-7", [effect("StockReserved", placed.event_id)])).events[0];
        const taken = (await this.append("Payment", "P-1", [effect("PaymentTaken", paid.event_id)])).events[0];
        await this.append("Shipment", "S-9", [effect("ShipmentPlanned", reserved.event_id), effect("LabelPrinted", taken.event_id), effect("CustomerInformed", taken.event_id)]);
        this.placed = placed.event_id;
        for (const name of ["hostile_async", "hostile_catchup"]) await this.deploy(name);
        await this.append("Deed", "1", [{ type: "Deed", payload: { do: "ok" } }]);
        await until("the flights are handled", async () => (await this.projection("board")).behind === 0, 240);
        for (const [n, deed] of ["poison", "constraint", "poison", "poison"].entries()) await this.append("Deed", `${10 + n}`, [{ type: "Deed", payload: { do: deed, note: SCRIPT } }]);
        await until("there are dead letters", async () => (await this.letters("?projection=hostile_async")).length >= 4, 240);
        await until("a projection has stopped", async () => (await this.projection("hostile_catchup")).state === "failed", 240);
    }
}

export async function browser() { return chromium.launch({ executablePath: CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] }); }

const TYPES = { js: "text/javascript", css: "text/css", html: "text/html", svg: "image/svg+xml" };
export async function prepare(page) {
    if (UI_FROM) await page.route("**/ui/**", async (route) => {
        const file = new URL(route.request().url()).pathname.slice(4) || "index.html";
        if (!existsSync(join(UI_FROM, file))) return route.continue();
        const answer = await route.fetch();
        await route.fulfill({ status: 200, headers: { ...answer.headers(), "content-type": TYPES[file.split(".").pop()] }, body: readFileSync(join(UI_FROM, file)) });
    });
}

/** Waits until all that a page asks for at first is answered and shown. */
export const loaded = (page) => page.locator('main[aria-busy="false"]').waitFor();

/** Every page, with something on it. */
export const pages = (placed) => ({
    overview: "#/overview", projections: "#/projections", projection: "#/projections/aircraft", failed: "#/projections/hostile_catchup", plugins: "#/plugins", plugin: "#/plugins/carriers",
    letters: "#/letters", streams: "#/streams?aggregate=Aircraft", stream: "#/streams/Order/4711?v=1", graph: `#/graph/${placed}`, models: "#/models/carriers",
});

/** What an earlier run has left. */
export const clean = () => rmSync(POSTGRES, { recursive: true, force: true });
