// Pictures of every page, to be looked at: dark and light, and as wide as a phone. Where they go is the argument. A host
// that `serve.mjs` runs already is named by RUNNING and PLACED.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { browser, loaded, pages, prepare, Rig, TOKEN } from "./rig.mjs";

const out = process.argv[2];
mkdirSync(out, { recursive: true });
const rig = process.env.RUNNING ? { url: process.env.RUNNING, placed: process.env.PLACED } : await Rig.start();
if (rig.fill) await rig.fill();
const chrome = await browser();
for (const [name, scheme, width] of [["dark", "dark", 1280], ["light", "light", 1280], ["phone", "light", 390]]) {
    const context = await chrome.newContext({ colorScheme: scheme, viewport: { width, height: width === 390 ? 844 : 860 } });
    await context.addInitScript((token) => sessionStorage.setItem("eventfabric.token", token), TOKEN);
    for (const [what, hash] of [...Object.entries(pages(rig.placed)), ["question", "#/projections/aircraft"]]) {
        const page = await context.newPage();
        page.on("pageerror", (error) => console.log(name, what, String(error)));
        page.on("console", (message) => message.type() === "error" && console.log(name, what, message.text()));
        await prepare(page);
        await page.goto(`${rig.url}/ui/${hash}`);
        await loaded(page);
        if (what === "letters") { await page.locator("tbody button.link").first().click(); await page.locator("#opened").waitFor(); }
        if (what === "question") { await page.getByRole("button", { name: "Reset" }).click(); await page.getByRole("dialog").waitFor(); }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) console.log(name, what, `is ${wide} px too wide`);
        await page.screenshot({ path: join(out, `${what}-${name}.png`), fullPage: what !== "question" });
        await page.close();
    }
    await context.close();
}
await chrome.close();
if (rig.halt) await rig.halt();
