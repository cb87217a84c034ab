// Pictures of every page, to be looked at: dark and light, and as wide as a phone. Where they go is the argument. A host
// that `serve.mjs` runs already is named by RUNNING and PLACED.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { browser, prepare, Rig, TOKEN } from "./rig.mjs";

const out = process.argv[2];
mkdirSync(out, { recursive: true });
const rig = process.env.RUNNING ? { url: process.env.RUNNING, placed: process.env.PLACED } : await Rig.start();
if (rig.fill) await rig.fill();
const chrome = await browser();
const pages = {
    overview: "#/overview", projections: "#/projections", projection: "#/projections/aircraft", failed: "#/projections/hostile_catchup", plugins: "#/plugins", plugin: "#/plugins/carriers",
    letters: "#/letters", streams: "#/streams?aggregate=Aircraft", stream: "#/streams/Order/4711?v=1", graph: `#/graph/${rig.placed}`, models: "#/models/carriers",
};
for (const [name, scheme, width] of [["dark", "dark", 1280], ["light", "light", 1280], ["phone", "light", 390]]) {
    const context = await chrome.newContext({ colorScheme: scheme, viewport: { width, height: width === 390 ? 844 : 860 } });
    await context.addInitScript((token) => sessionStorage.setItem("eventfabric.token", token), TOKEN);
    const page = await context.newPage();
    page.on("pageerror", (error) => console.log(name, String(error)));
    page.on("console", (message) => message.type() === "error" && console.log(name, message.text()));
    await prepare(page);
    for (const [what, hash] of Object.entries(pages)) {
        await page.goto(`${rig.url}/ui/${hash}`);
        await page.waitForTimeout(900);
        if (what === "letters") { await page.locator("tbody button.link").first().click(); await page.waitForTimeout(500); }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) console.log(name, what, `is ${wide} px too wide`);
        await page.screenshot({ path: join(out, `${what}-${name}.png`), fullPage: true });
    }
    await context.close();
}
await chrome.close();
if (rig.halt) await rig.halt();
