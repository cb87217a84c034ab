import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import "./app.css";
import { api, getLink, lock, onLink, session, unlock } from "./api";
import { themeChanged } from "./chart";
import { GraphPage } from "./graph";
import { LettersPage } from "./letters";
import { ModelsPage } from "./models";
import { OverviewPage, useOverview, WithOverview } from "./overview";
import { Asking, clock, Empty, Sayings } from "./parts";
import { PluginPage, PluginsPage } from "./plugins";
import { ProjectionPage, ProjectionsPage } from "./projection";
import { StreamPage, StreamsPage } from "./streams";

const PAGES: [string, string, string][] = [["overview", "Overview", "o"], ["projections", "Projections", "p"], ["plugins", "Plugins", "l"], ["letters", "Dead letters", "d"], ["streams", "Streams", "s"], ["models", "Read models", "m"]];
const THEME = "eventfabric.theme";

function setTheme(theme: string) {
    if (theme === "auto") { delete document.documentElement.dataset.theme; localStorage.removeItem(THEME); }
    else { document.documentElement.dataset.theme = theme; localStorage.setItem(THEME, theme); }
    themeChanged();
}
setTheme(localStorage.getItem(THEME) ?? "auto");

function route() {
    const [path, given] = location.hash.replace(/^#\/?/, "").split("?");
    const parts = path.split("/").filter(Boolean).map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
    return { parts: parts.length ? parts : ["overview"], given: new URLSearchParams(given) };
}

function Page() {
    const { parts: [page, one, two], given } = route();
    switch (page) {
        case "overview": return <OverviewPage />;
        case "projections": return one ? <ProjectionPage key={one} name={one} /> : <ProjectionsPage />;
        case "plugins": return one ? <PluginPage key={one} name={one} /> : <PluginsPage />;
        case "letters": return <LettersPage given={given} />;
        case "streams": return one && two ? <StreamPage key={`${one}/${two}`} aggregate={one} id={two} given={given} /> : <StreamsPage given={given} />;
        case "graph": return <GraphPage id={one ?? null} given={given} />;
        case "models": return <ModelsPage name={one ?? null} />;
        default: return <Empty>There is no such page.</Empty>;
    }
}

function Login({ why }: { why: string }) {
    return <main class="login"><form onSubmit={(event) => { event.preventDefault(); const token = String(new FormData(event.currentTarget).get("token") ?? "").trim(); if (token) unlock(token); }}>
        <h1>EventFabric</h1>{why && <p class="trouble" role="alert">{why}</p>}
        <label><span>Token</span><input type="password" name="token" autoComplete="off" required autoFocus /></label>
        <p class="faint">One of <code>http.tokens</code> with the scopes <code>admin</code> and <code>read</code>, for all tenants. It is kept for this tab alone, until it is closed.</p>
        <menu><button type="submit" class="main">Open</button></menu></form></main>;
}

/** Whether the host answers, and what to do where it does not. */
function Banner() {
    const link = getLink();
    const [back, setBack] = useState(false);
    const was = useRef(link.state);
    const overview = useOverview();
    // Where nothing else asks regularly.
    const asks = link.state === "away" || Boolean(overview.error);
    useEffect(() => {
        if (was.current === "away" && link.state === "up") { setBack(true); const timer = setTimeout(() => setBack(false), 5000); was.current = link.state; return () => clearTimeout(timer); }
        was.current = link.state;
    }, [link.state]);
    useEffect(() => {
        if (!asks) return;
        const timer = setInterval(() => void api("/healthz").catch(() => {}), 2000);
        return () => clearInterval(timer);
    }, [asks]);
    const bad = overview.data && !overview.data.ready;
    const { parts: [page, ...rest] } = route();
    const name = [rest.join("/"), PAGES.find(([path]) => path === page)?.[1], "EventFabric"].filter(Boolean).join(" · ");
    useEffect(() => { document.title = `${link.state === "away" ? "✕ " : bad ? "! " : ""}${name}`; }, [link.state, bad, name]);
    if (link.state === "away") return <div class="banner bad" role="alert"><b>The host does not answer</b> since {clock(link.since)}. What is shown is as it was then. It is tried again every 2 s. If it stays away: is the process there, and what does its log say?</div>;
    if (back) return <div class="banner good" role="status">The host answers again.</div>;
    return null;
}

let help = () => {};
function Help() {
    const dialog = useRef<HTMLDialogElement>(null);
    help = () => dialog.current?.showModal();
    return <dialog ref={dialog} aria-label="Keys"><h2>Keys</h2><dl class="keys">{PAGES.map(([, name, key]) => <><dt><kbd>g</kbd> <kbd>{key}</kbd></dt><dd>{name}</dd></>)}<dt><kbd>/</kbd></dt><dd>Search</dd><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>Next and previous row; Enter opens it</dd><dt><kbd>t</kbd></dt><dd>Light or dark</dd><dt><kbd>?</kbd></dt><dd>This</dd></dl><menu><button type="button" class="main" onClick={() => dialog.current?.close()}>Close</button></menu></dialog>;
}

/** Moves among the first links or buttons of rows. */
function step(by: number) {
    const rows = [...document.querySelectorAll<HTMLElement>("main tbody tr:not(.inside)")].map((row) => row.querySelector<HTMLElement>("a, button")).filter((one): one is HTMLElement => one !== null);
    const at = rows.findIndex((one) => one.closest("tr")!.contains(document.activeElement));
    rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by))]?.focus();
}

function Shell() {
    const [, draw] = useState(0);
    const [theme, choose] = useState(document.documentElement.dataset.theme ?? "auto");
    const [tenant, setTenant] = useState(session.tenant);
    const main = useRef<HTMLElement>(null);
    const change = (next: string) => { choose(next); setTheme(next); };
    useEffect(() => {
        const moved = () => { draw((n) => n + 1); scrollTo(0, 0); main.current?.focus({ preventScroll: true }); };
        addEventListener("hashchange", moved);
        const forget = onLink(() => draw((n) => n + 1));
        return () => { removeEventListener("hashchange", moved); forget(); };
    }, []);
    useEffect(() => {
        let waiting = 0;
        const pressed = (event: KeyboardEvent) => {
            const target = event.target as HTMLElement;
            if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, textarea, select, dialog")) { if (event.key === "Escape") target.blur(); return; }
            if (Date.now() - waiting < 1500) {
                waiting = 0;
                const page = PAGES.find(([, , key]) => key === event.key);
                if (page) { location.hash = `#/${page[0]}`; event.preventDefault(); return; }
            }
            if (event.key === "g") waiting = Date.now();
            else if (event.key === "/") { const search = document.querySelector<HTMLElement>("[data-search]") ?? document.querySelector<HTMLElement>("main input[type=search]"); if (search) { search.focus(); event.preventDefault(); } }
            else if (event.key === "?") help();
            else if (event.key === "t") setTimeout(() => document.querySelector<HTMLButtonElement>("#theme")?.click());
            else if (event.key === "j") step(1);
            else if (event.key === "k") step(-1);
        };
        addEventListener("keydown", pressed);
        return () => removeEventListener("keydown", pressed);
    }, []);
    const { parts: [now] } = route();
    useEffect(() => document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [now]);
    const link = getLink();
    if (link.state === "locked") return <Login why={link.why} />;
    const { parts: [page, inside] } = route();
    // The pages of one thing say what it is themselves.
    const titled = (!inside || page === "models") && PAGES.find(([path]) => path === page);
    const dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    return <WithOverview>
        <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>To the page</a>
        <header class="top"><a class="brand" href="#/overview">EventFabric</a>
            <nav aria-label="Pages">{PAGES.map(([path, name, key]) => <a key={path} href={`#/${path}`} title={`g ${key}`} aria-current={page === path || (page === "graph" && path === "streams") ? "page" : undefined}>{name}</a>)}</nav>
            <div class="tools"><label title="Whose streams and dead letters">Tenant <input value={tenant} size={9} onInput={(event) => setTenant(event.currentTarget.value)} onChange={() => { session.tenant = tenant.trim() || "default"; location.reload(); }} /></label>
                <button id="theme" type="button" onClick={() => change(dark ? "light" : "dark")} aria-label={dark ? "Light colours" : "Dark colours"} title="t">{dark ? "Light" : "Dark"}</button><button type="button" onClick={() => help()} aria-label="Keys" title="?">?</button>
                {session.token && <button type="button" onClick={() => lock("")}>Leave</button>}</div></header>
        <Banner />
        <main ref={main} id="main" tabIndex={-1}>{titled && <h1 class="unseen">{titled[1]}</h1>}<Page /></main>
    </WithOverview>;
}

// What is open over the page is no part of what is drawn again and again: a dialog that is put back into its place is no
// longer modal.
render(<><Sayings /><Asking /><Help /></>, document.getElementById("over")!);
render(<Shell />, document.getElementById("app")!);
