// The dashboard in a browser, on a host with data: each page, and each action with what it has done.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { browser, loaded, pages, prepare, READER, Rig, SCRIPT, TOKEN, until } from "./rig.mjs";

let rig, chrome;
before(async () => { rig = await Rig.start(); await rig.fill(); chrome = await browser(); }, { timeout: 600_000 });
after(async () => { await chrome?.close(); await rig?.halt(); });

/** A page with a token, whose errors fail the test, unless they are wanted. */
async function open(hash, { token = TOKEN, quiet = false, size, ...more } = {}) {
    const context = await chrome.newContext({ viewport: size ?? { width: 1280, height: 860 }, ...more });
    if (token) await context.addInitScript((token) => sessionStorage.setItem("eventfabric.token", token), token);
    const page = await context.newPage();
    // What comes about does so sooner or later; a busy machine only takes longer.
    page.setDefaultTimeout(60_000);
    await prepare(page);
    page.wrong = [];
    page.on("pageerror", (error) => page.wrong.push(String(error)));
    page.on("console", (message) => message.type() === "error" && page.wrong.push(message.text()));
    page.done = async () => { if (!quiet) assert.deepEqual(page.wrong, []); await page.unrouteAll({ behavior: "ignoreErrors" }); await context.close(); };
    await page.goto(`${rig.url}/ui/${hash}`);
    return page;
}
const says = (page, text) => page.getByRole("status").getByText(text).waitFor();
const button = (page, name) => page.getByRole("button", { name, exact: true });
/** Answers the question that a button asks. */
async function answer(page, verb, fields = {}) {
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    for (const [label, value] of Object.entries(fields)) {
        const field = dialog.getByLabel(label);
        value === true ? await field.check() : await field.fill(value);
    }
    await dialog.getByRole("button", { name: verb, exact: true }).click();
    await dialog.waitFor({ state: "detached" });
}

test("a token is asked for, and a wrong one is refused", async () => {
    const page = await open("#/overview", { token: "", quiet: true });
    await page.getByLabel("Token").fill("wrong");
    await button(page, "Open").click();
    await page.getByText("does not know the token").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.getItem("eventfabric.token")), null);
    await page.getByLabel("Token").fill(TOKEN);
    await button(page, "Open").click();
    await page.getByRole("heading", { name: "What is wrong" }).waitFor();
    assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes("a-token")), false);
    await button(page, "Leave").click();
    await page.getByLabel("Token").waitFor();
    await page.done();
});

test("a token that only reads sees streams, and is told what it lacks", async () => {
    const page = await open("#/overview", { token: READER, quiet: true });
    await page.getByText("this needs a token with the scope `admin`").waitFor();
    await page.getByRole("link", { name: "Streams" }).first().click();
    await page.getByRole("link", { name: "Aircraft" }).click();
    await page.getByRole("link", { name: "N0EGMQ" }).waitFor();
    await page.done();
});

test("the overview begins with what is wrong, and what to do", async () => {
    const page = await open("");
    const wrong = page.locator("#wrong");
    await wrong.getByText("it was stopped by an error").waitFor();
    assert.match(await wrong.innerText(), /What to do deploy a version that works, or eventfabric projections resume hostile_catchup/);
    assert.match(await wrong.innerText(), /4 events were given up/);
    await page.getByRole("heading", { name: "Projections 6" }).waitFor();
    const rows = page.locator("main table").first().locator("tbody tr");
    assert.match(await rows.first().innerText(), /hostile_catchup\s+failed/);
    assert.equal(await rows.count(), 6);
    const { head } = await rig.api("/v1/overview");
    await page.getByText(head.toLocaleString("en"), { exact: true }).first().waitFor();
    await page.locator(".uplot canvas").nth(2).waitFor();
    // The hour before is there at once: what was imported shows in the chart of a page that was just opened.
    assert.match(await page.locator(".plot").first().getAttribute("aria-label"), /events \S+ now, [1-9]/);
    await page.done();
});

test("no page has a barrier that a machine can find, light or dark, wide or narrow", async () => {
    const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    const looks = [["light", 1280], ["dark", 1280], ["light", 390]];
    for (const [colorScheme, width] of looks) for (const [what, hash] of Object.entries(pages(rig.placed))) {
        // The checker is no part of the page, and may do what the page may not.
        const page = await open(hash, { colorScheme, size: { width, height: 860 }, bypassCSP: true });
        await loaded(page);
        if (what === "letters") { await page.locator("tbody button.link").first().click(); await page.locator("#opened").waitFor(); }
        await page.evaluate(axe);
        const check = async (where) => {
            const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
            assert.deepEqual(violations.map((one) => [one.id, ...one.nodes.map((node) => `${node.html.slice(0, 200)} ${node.failureSummary}`)]), [], `${where}, ${colorScheme}, ${width} px`);
        };
        await check(what);
        if (what === "projection") { await button(page, "Reset").click(); await page.getByRole("dialog").waitFor(); await check("its dialog"); }
        await page.done();
    }
});

test("everything is reached with the tab key, and a question gives the focus back", async () => {
    for (const [what, hash] of Object.entries(pages(rig.placed))) {
        const page = await open(hash);
        await loaded(page);
        const all = 'a[href], button:not(:disabled), input, select, textarea, summary, [tabindex="0"]';
        const count = await page.evaluate((all) => {
            window.passed = new Set();
            addEventListener("focusin", (event) => window.passed.add(event.target));
            return document.querySelectorAll(all).length;
        }, all);
        // A field for a time has some stops of its own.
        for (let at = 0; at < count + 25; at++) await page.keyboard.press("Tab");
        const missed = await page.evaluate((all) => [...document.querySelectorAll(all)].filter((one) => one.checkVisibility() && !window.passed.has(one)).map((one) => one.outerHTML), all);
        assert.deepEqual(missed, [], what);
        await page.done();
    }
    const page = await open("#/projections/aircraft");
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    await button(page, "Rebuild").focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    for (let looks = 0; looks < 2; looks++) await page.waitForResponse("**/v1/overview");
    const dialog = page.locator("dialog:modal");
    assert.ok(await dialog.evaluate((dialog) => dialog.contains(document.activeElement)), "the question keeps it, whatever is drawn anew behind");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(await focused(), "Rebuild");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(await focused(), "Rebuild");
    // Answered from a field, and what was pressed is another button then.
    await button(page, "Pause").focus();
    await page.keyboard.press("Enter");
    await page.getByLabel("Why").fill("to look");
    await page.keyboard.press("Enter");
    await says(page, "aircraft is paused");
    await button(page, "Resume").waitFor();
    assert.equal(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)), true, "it is not lost");
    await button(page, "Resume").focus();
    await page.keyboard.press("Enter");
    await answer(page, "Resume");
    await says(page, "aircraft runs again");
    assert.match(await page.title(), /aircraft · Projections · EventFabric$/);
    await page.done();
    // Where what was pressed is gone, the page has it.
    const letters = await open("#/letters?projection=hostile_async");
    await letters.locator("tbody input").first().focus();
    await letters.keyboard.press("Space");
    await button(letters, "Purge").focus();
    await letters.keyboard.press("Enter");
    await answer(letters, "Leave it");
    assert.equal(await letters.evaluate(() => document.activeElement.textContent), "Purge");
    await button(letters, "Requeue").focus();
    await letters.keyboard.press("Enter");
    await answer(letters, "Requeue");
    await button(letters, "Requeue all found").waitFor();
    await until("the focus is in the page", () => letters.evaluate(() => document.querySelector("main").contains(document.activeElement)));
    await until("it is given up again", async () => (await rig.letters("?projection=hostile_async")).length === 4);
    await letters.done();
});

test("a projection is paused, resumed, rebuilt, reset and watched", async () => {
    const page = await open("#/projections/aircraft");
    await button(page, "Pause").click();
    await answer(page, "Pause", { "Who you are": "grace", "Why": "<b>to look</b>" });
    await says(page, "aircraft is paused");
    const { paused, state } = await rig.projection("aircraft");
    assert.deepEqual([state, paused.by, paused.reason], ["paused", "grace", "<b>to look</b>"]);
    await page.getByText("by grace: <b>to look</b>").waitFor();
    await button(page, "Resume").click();
    await answer(page, "Resume");
    assert.equal((await rig.projection("aircraft")).state, "running");

    const count = async () => (await rig.api("/v1/plugins/aircraft/rows", { sql: "SELECT count(*)::text AS n FROM aircraft" })).rows[0][0];
    const before = await count();
    await button(page, "Rebuild").click();
    await answer(page, "Rebuild", { Parts: "2", "Keep the old tables as aircraft__old": true });
    await says(page, "the rebuild has begun");
    await until("it is rebuilt", async () => (await rig.projection("aircraft")).rebuild === null, 120);
    assert.equal(await count(), before);

    await button(page, "Reset").click();
    await answer(page, "Reset", { "Go on with": "nonsense" }).catch(() => {});
    await page.getByRole("dialog").getByRole("alert").waitFor();
    await page.getByRole("dialog").getByLabel("Go on with").fill("beginning");
    await page.getByRole("dialog").getByLabel("Empty its tables").check();
    await page.getByRole("dialog").getByRole("button", { name: "Reset", exact: true }).click();
    await says(page, "aircraft goes on with: beginning");
    await until("it has caught up", async () => (await rig.projection("aircraft")).behind === 0, 120);
    assert.equal(await count(), before);
    page.wrong = page.wrong.filter((text) => !text.includes("422"));
    await page.done();
});

test("a projection shows what it costs, by type of event", async () => {
    const page = await open("#/projections/aircraft");
    const costs = page.locator("#costs");
    await costs.getByText("An event, in SQL").waitFor();
    const known = await rig.api("/v1/projections/aircraft/costs");
    const rows = costs.getByRole("table", { name: "What an event of each type costs" }).locator("tbody tr");
    await rows.first().waitFor();
    assert.ok(known.total.events > 1000 && known.types.length > 1, JSON.stringify(known));
    assert.equal(await rows.count(), known.types.length);
    assert.equal((await rows.locator("td:first-child").allInnerTexts()).sort().join(), known.types.map((one) => one.event_type).sort().join());
    // The bars are the shares of the time: together all of it.
    const shares = await rows.locator("svg").evaluateAll((all) => all.map((one) => parseInt(one.getAttribute("aria-label"), 10)));
    const whole = shares.reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(whole - 100) <= shares.length, `${shares}`);
    await page.done();
});

test("a plugin is dropped in, and rolled back", async () => {
    const page = await open("#/plugins");
    const first = (await rig.api("/v1/plugins/carriers")).version;
    await page.getByLabel("A component to deploy").setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("x") });
    await page.getByText("notes.txt is no component").waitFor();
    await page.getByLabel("A component to deploy").setInputFiles({ name: "bad.wasm", mimeType: "application/wasm", buffer: Buffer.from("no component") });
    await page.getByRole("dialog").getByRole("button", { name: "Deploy" }).click();
    await page.getByRole("dialog").getByRole("alert").waitFor();
    await button(page, "Leave it").click();
    // The same code as another version: a custom section at its end.
    const bytes = [...readFileSync(rig.component("carriers")), 0, 6, 4, ...Buffer.from("test"), 2];
    const drop = await page.evaluateHandle((bytes) => { const all = new DataTransfer(); all.items.add(new File([new Uint8Array(bytes)], "carriers.wasm", { type: "application/wasm" })); return all; }, bytes);
    await page.dispatchEvent(".drop", "drop", { dataTransfer: drop });
    await answer(page, "Deploy", { "Who you are": "grace" });
    await says(page, "is active: ");
    const { deployments } = await rig.api("/v1/plugins/carriers/deployments");
    assert.deepEqual([deployments[0].action, deployments[0].by, deployments[0].replaced], ["deploy", "grace", first]);
    await page.getByRole("link", { name: "carriers", exact: true }).click();
    await page.getByText("Canary on").first().click();
    await page.getByRole("table", { name: /events went well at once/ }).getByText("statements an event").waitFor();
    await page.getByText("all went well").first().waitFor();
    await button(page, "Compare rows").first().click();
    await page.getByText("Both make the same rows.").waitFor();
    for (const limit of ["limits.chain", "limits.request_time_total", "sandbox.max_relations"]) await page.getByRole("row", { name: limit }).waitFor();
    await page.getByText("INSERT INTO carriers").first().waitFor();
    await page.getByText("eventfabric:projection/sql").waitFor();
    await button(page, "Back to it").click();
    await answer(page, "Roll back", { "Who you are": "grace" });
    await says(page, "carriers was rolled back");
    assert.equal((await rig.api("/v1/plugins/carriers")).version, first);
    await page.getByText("Rolled back", { exact: true }).waitFor();
    page.wrong = page.wrong.filter((text) => !text.includes("422"));
    await page.done();
});

test("dead letters are filtered, read, requeued and purged", async () => {
    const page = await open("#/letters?projection=hostile_async");
    const rows = page.locator("main table tbody tr");
    await rows.nth(3).waitFor();
    const before = await rig.letters();
    assert.equal(await rows.count(), before.length);
    const failed = rows.filter({ hasText: "23505" });
    await failed.getByRole("button").click();
    const opened = page.locator("#opened");
    await opened.getByText("INSERT INTO seen").first().waitFor();
    await opened.getByText('"do": "constraint"').waitFor();
    assert.match(await opened.innerText(), /SQLSTATE\s+23505/);
    await page.getByLabel("Class").selectOption("trap");
    await page.getByText("There are none.").waitFor();
    await page.getByLabel("Class").selectOption("");
    await rows.nth(3).waitFor();

    const chosen = before[0].id;
    await page.getByLabel(`Choose dead letter ${chosen}`).check();
    await button(page, "Requeue").click();
    await answer(page, "Requeue");
    await says(page, "1 went back to their projections");
    await until("it is tried again", async () => !(await rig.letters()).some((one) => one.id === chosen));
    const doomed = before[1].id;
    await page.getByLabel(`Choose dead letter ${doomed}`).check();
    await button(page, "Purge").click();
    await page.getByRole("dialog").getByRole("button", { name: "Leave it" }).click();
    assert.ok((await rig.letters()).some((one) => one.id === doomed), "nothing is done before it was said twice");
    await button(page, "Purge").click();
    await answer(page, "Delete for good");
    await says(page, "1 are gone");
    assert.ok(!(await rig.letters()).some((one) => one.id === doomed));
    await until("the requeued one has failed again", async () => (await rig.letters()).some((one) => one.position === before[0].position));
    await button(page, "Purge all found").click();
    await answer(page, "Delete for good");
    await page.getByText("There are none.").waitFor();
    assert.deepEqual(await rig.letters("?projection=hostile_async"), []);
    await page.done();
});

test("streams are found and walked, the log is followed, and causes lead to all effects", async () => {
    const page = await open("#/streams?aggregate=Aircraft");
    await page.getByLabel("How the id begins").fill("N1410");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => [...document.querySelectorAll("tbody td:first-child")].every((cell) => cell.textContent.startsWith("N1410")));
    await button(page, "Follow").click();
    await page.getByText("Waiting for the next event.").waitFor();
    await page.getByText("live", { exact: true }).waitFor();
    await rig.append("Order", "4712", [{ type: "OrderFollowed", payload: { of: "the log" } }]);
    await button(page, "OrderFollowed").click();
    await page.getByText('"of": "the log"').waitFor();
    await page.getByLabel("Go to").fill("Shipment/S-9");
    await page.keyboard.press("Enter");
    await button(page, "LabelPrinted").click();
    await page.getByRole("link", { name: "order-4711" }).waitFor();
    await page.locator("tr", { hasText: "LabelPrinted" }).getByRole("link", { name: "causes and effects" }).first().click();
    const node = (type) => page.locator("svg a", { hasText: type });
    for (const type of ["OrderPlaced", "PaymentRequested", "PaymentTaken", "StockReserved", "ShipmentPlanned", "LabelPrinted", "CustomerInformed"]) await node(type).waitFor();
    assert.equal(await page.locator("svg .edge").count(), 6);
    await node("OrderPlaced").click();
    await page.getByText('"customer": "Ada"').waitFor();
    await page.done();
});

test("read models show their tables, and SQL can only read", async () => {
    const page = await open("#/models/carriers");
    await page.getByRole("cell", { name: "UA", exact: true }).waitFor();
    const sql = page.getByLabel("A SELECT over the tables of carriers");
    await sql.fill("SELECT carrier, departed FROM carriers WHERE carrier = 'UA'");
    await page.keyboard.press("Control+Enter");
    await page.getByRole("heading", { name: "1 row" }).waitFor();
    await page.getByRole("cell", { name: "1064" }).waitFor();
    for (const refused of ["DELETE FROM carriers", "SELECT payload FROM eventfabric.events"]) {
        await sql.fill(refused);
        await button(page, "Run Ctrl Enter").click();
        await page.getByRole("alert").waitFor();
    }
    assert.equal((await rig.api("/v1/plugins/carriers/rows", { sql: "SELECT * FROM carriers" })).rows.length, 15);
    await page.goto(`${rig.url}/ui/#/models/aircraft`);
    await page.getByRole("heading", { name: "100 rows of more" }).waitFor();
    await button(page, "Next").click();
    await page.getByText("from row 101").waitFor();
    page.wrong = page.wrong.filter((text) => !text.includes("422"));
    await page.done();
});

test("what events hold is text, and a script that gets in anyhow does not run", async () => {
    const page = await open("#/streams/Order/4711?v=1", { quiet: true });
    await page.getByText('"customer": "Ada"').waitFor();
    const shown = await page.locator("pre.json").first().innerText();
    assert.ok(shown.includes(JSON.stringify(SCRIPT)), shown);
    assert.match(shown, /"total_cents": 9007199254740993,?\n/, "no digit is lost");
    assert.equal(await page.locator("main img, main script").count(), 0);
    await rig.append(SCRIPT.slice(0, 40), SCRIPT.slice(0, 40), [{ type: SCRIPT.slice(0, 40), payload: { html: SCRIPT } }]);
    await page.goto(`${rig.url}/ui/#/streams?aggregate=${encodeURIComponent(SCRIPT.slice(0, 40))}`);
    await page.locator("td a", { hasText: "<img src=x" }).click();
    await page.getByRole("heading", { name: "<img src=x" }).waitFor();
    assert.equal(await page.locator("main img, main script").count(), 0);
    const tried = await page.evaluate(async () => {
        const refused = window.refused = [];
        addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
        try { document.body.innerHTML += "<img src=x onerror='window.pwned=3'>"; } catch { refused.push("innerHTML"); }
        const script = document.createElement("script");
        try { script.text = "window.pwned = 4"; } catch { refused.push("script.text"); }
        script.append("window.pwned = 5");
        try { document.body.append(script); } catch { refused.push("append"); }
        const image = document.createElement("img");
        try { image.setAttribute("onerror", "window.pwned = 6"); image.src = "data:,x"; document.body.append(image); } catch { refused.push("onerror"); }
        const style = document.createElement("style");
        style.append("body { display: none }");
        document.body.append(style);
        const sent = await fetch("http://localhost:1/").then(() => "sent", () => "refused");
        return { sent, hidden: getComputedStyle(document.body).display };
    });
    await page.waitForFunction((kinds) => kinds.every((kind) => window.refused.includes(kind)), ["require-trusted-types-for", "style-src-elem", "connect-src", "innerHTML", "onerror"]);
    assert.deepEqual([tried.sent, tried.hidden], ["refused", "block"]);
    assert.equal(await page.evaluate(() => window.pwned ?? null), null);
    // As if a page had it in it from the host on.
    await page.route("**/ui/", async (route) => {
        const answer = await route.fetch();
        await route.fulfill({ response: answer, body: `${await answer.text()}<script>window.pwned = 8</script><img src=x onerror="window.pwned = 9">` });
    });
    page.wrong.length = 0;
    await page.goto("about:blank");
    await page.goto(`${rig.url}/ui/#/overview`);
    await page.getByRole("heading", { name: "Hosts" }).waitFor();
    assert.equal(await page.evaluate(() => document.scripts.length), 2, "it is there");
    await until("both are refused", () => page.wrong.filter((text) => text.includes("script-src")).length >= 2);
    assert.equal(await page.evaluate(() => window.pwned ?? null), null);
    await page.done();
});

test("keys, colours, a phone's width", async () => {
    const page = await open("#/overview");
    await page.getByRole("heading", { name: "Hosts" }).waitFor();
    for (const [key, hash] of [["p", "#/projections"], ["l", "#/plugins"], ["d", "#/letters"], ["s", "#/streams"], ["m", "#/models"], ["o", "#/overview"]]) {
        await page.keyboard.press("g");
        await page.keyboard.press(key);
        await page.waitForFunction((hash) => location.hash === hash, hash);
    }
    await page.locator("main tbody tr a").first().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    const first = await page.locator("main tbody tr a").first().innerText();
    assert.equal(await page.evaluate(() => document.activeElement.textContent), first);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: first }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.keyboard.press("t");
    await until("it is dark", async () => (await background()) !== light);
    await page.reload();
    assert.notEqual(await background(), light, "it stays so");
    await page.done();
    for (const hash of ["overview", "projections/board", "plugins/carriers", "letters", "streams", "streams/Order/4711", "models/carriers", `graph/${rig.placed}`]) {
        const phone = await open(`#/${hash}`, { size: { width: 375, height: 700 } });
        await phone.locator("main .panel, main .title").first().waitFor();
        await loaded(phone);
        assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${hash} is too wide`);
        // Everything that can be pressed or filled in has a name.
        const nameless = await phone.evaluate(() => [...document.querySelectorAll("button, a, input, select, textarea")].filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML));
        assert.deepEqual(nameless, []);
        await phone.done();
    }
});

test("a stopped projection runs again once it is resumed over its event, and nothing says otherwise", async () => {
    const night = await open("#/overview");
    await night.locator("#wrong").getByRole("link", { name: "hostile_catchup" }).first().waitFor();
    const page = await open("#/projections/hostile_catchup");
    await page.getByText("Stopped by an error.").waitFor();
    await button(page, "Reset").click();
    await answer(page, "Reset", { "Go on with": "now" });
    await says(page, "hostile_catchup goes on with: now, once it is resumed");
    assert.equal((await rig.projection("hostile_catchup")).state, "failed");
    await button(page, "Resume").click();
    await answer(page, "Resume");
    await says(page, "hostile_catchup runs again");
    assert.equal((await rig.projection("hostile_catchup")).state, "running");
    await page.getByText("Stopped by an error.").waitFor({ state: "detached" });
    await page.done();
    // What was found before is not repeated: the host and the page look again once something has changed.
    await until("the overview no longer names it", async () => !(await night.locator("#wrong").innerText()).includes("hostile_catchup"));
    assert.match(await night.locator("tr", { hasText: "hostile_catchup" }).innerText(), /running/);
    await night.done();
});

test("a hundred projections and thousands of rows stay few elements", async () => {
    const page = await open("#/overview", { quiet: true });
    const one = (await rig.api("/v1/overview")).projections[0];
    await page.route("**/v1/overview", async (route) => {
        const answer = await route.fetch();
        const body = await answer.json();
        body.projections = Array.from({ length: 500 }, (_, n) => ({ ...one, name: `projection_${n}`, behind: n }));
        await route.fulfill({ response: answer, json: body });
    });
    await page.getByRole("heading", { name: "Projections 500" }).waitFor();
    assert.ok(await page.evaluate(() => document.querySelectorAll("*").length) < 2500);
    assert.equal(await page.locator("main table").first().locator("tbody tr").count(), 50);
    await page.getByLabel("Filter projections").fill("projection_42");
    await page.getByRole("link", { name: "projection_420" }).waitFor();
    await page.done();

    const names = Array.from({ length: 100 }, (_, n) => `plugin_${n}`);
    const { plugins } = await rig.api("/v1/plugins");
    const many = async (page) => page.route("**/v1/plugins", (route) => route.fulfill({ json: { plugins: [plugins[0], ...names.map((name) => ({ ...plugins[0], name }))] } }));
    const list = await open("", { quiet: true });
    await many(list);
    await list.goto(`${rig.url}/ui/#/plugins`);
    await list.getByRole("heading", { name: "Plugins 101" }).waitFor();
    assert.equal(await list.locator("main tbody tr").count(), 50);
    await list.done();
    // On a phone, a hundred names leave room for what was chosen.
    const models = await open("", { quiet: true, size: { width: 390, height: 844 } });
    await many(models);
    await models.goto(`${rig.url}/ui/#/models`);
    await models.getByRole("link", { name: "plugin_99" }).waitFor();
    await models.getByRole("heading", { name: "Tables of " }).waitFor();
    assert.ok(await models.evaluate(() => document.querySelector(".kinds").getBoundingClientRect().height) < 200);
    await models.getByLabel("Filter plugins").fill("_42");
    assert.deepEqual(await models.locator(".kinds a").allInnerTexts(), ["plugin_42"]);
    await models.done();
});

test("a host that goes away and returns is said so, and the page goes on by itself", async () => {
    const page = await open("#/overview", { quiet: true });
    await page.getByRole("heading", { name: "Hosts" }).waitFor();
    await page.evaluate(() => { window.same = true; });
    await rig.halt();
    await page.getByRole("alert").getByText("The host does not answer").waitFor();
    assert.equal(await page.getByRole("heading", { name: "Hosts" }).count(), 1, "what was seen stays");
    await rig.run();
    await page.getByText("The host answers again.").waitFor();
    await page.getByRole("alert").waitFor({ state: "detached" });
    await page.getByText(/Looked at (just now|\d+ s ago)/).waitFor();
    assert.equal(await page.evaluate(() => window.same), true, "without loading the page anew");
    await page.done();
});
