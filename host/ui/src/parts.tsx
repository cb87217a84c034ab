// What the pages are made of.
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Away, getLink, onLink, pretty, Problem } from "./api";

// ---- words for numbers and times

const whole = new Intl.NumberFormat("en");
export const num = (value: number | null | undefined) => value === null || value === undefined ? "–" : whole.format(value);
export const rate = (value: number | null | undefined) =>
    value === null || value === undefined ? "–" : value >= 100 ? whole.format(Math.round(value)) : value === 0 ? "0" : value < 0.1 ? "<0.1" : value.toFixed(1);
export function span(seconds: number | null | undefined): string {
    if (seconds === null || seconds === undefined) return "–";
    if (seconds < 1) return seconds === 0 ? "0 s" : `${Math.round(seconds * 1000)} ms`;
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
    return `${whole.format(Math.round(seconds / 86400))} d`;
}
export function micros(us: number): string {
    if (us >= 1e6) return `${(us / 1e6).toFixed(1)} s`;
    if (us >= 1000) return `${(us / 1000).toFixed(1)} ms`;
    return `${us.toFixed(us >= 10 ? 0 : 1)} µs`;
}
export function bytes(value: number): string {
    if (value < 1024) return `${value} B`;
    if (value < 1024 ** 2) return `${(value / 1024).toFixed(1)} KiB`;
    if (value < 1024 ** 3) return `${(value / 1024 ** 2).toFixed(1)} MiB`;
    return `${(value / 1024 ** 3).toFixed(1)} GiB`;
}
export const short = (version: string | null | undefined) => version ? version.slice(0, 12) : "–";
const pad = (n: number) => String(n).padStart(2, "0");
export function clock(text: string | Date): string {
    const at = new Date(text);
    const day = at.toDateString() === new Date().toDateString() ? "" : `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} `;
    return `${day}${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}
export const Time = ({ at }: { at: string }) => <time dateTime={at} title={at}>{clock(at)}</time>;
export const Ago = ({ at }: { at: string }) => {
    const seconds = (Date.now() - +new Date(at)) / 1000;
    return <time dateTime={at} title={at}>{seconds < 1 ? "just now" : `${span(seconds)} ago`}</time>;
};
/** At most two lines; the whole is in the title. */
export const Clamp = ({ children, class: more }: { children: string; class?: string }) => <div class={`clamp ${more ?? ""}`} title={children}>{children}</div>;
/** Text with commands between backticks. */
export const Words = ({ of }: { of: string }) => <>{of.split("`").map((part, at) => at % 2 ? <code key={at}>{part}</code> : part)}</>;
/** A statement without the indentation that its program gave it. */
export function Sql({ of }: { of: string }) {
    const lines = of.replace(/^\s*\n|\s+$/g, "").split("\n");
    const indents = lines.filter((line, at) => line.trim() && (at > 0 || /^\s/.test(line))).map((line) => line.length - line.trimStart().length);
    const least = Math.min(...indents, 80);
    return <pre class="sql" tabIndex={0}>{lines.map((line) => line.slice(0, least).trim() ? line : line.slice(least)).join("\n")}</pre>;
}

// ---- asking

/** Questions that were not answered yet, apart from those that are asked again and again: until then the page is busy,
 *  which screen readers are told. An answer often leads to the next question, so that it is over a moment later. */
let unanswered = 0;
let over = 0;
function waits(more: 1 | -1) {
    unanswered += more;
    clearTimeout(over);
    const busy = (is: boolean) => document.getElementById("main")?.setAttribute("aria-busy", String(is));
    if (unanswered) busy(true);
    else over = window.setTimeout(() => busy(false), 100);
}

export type Loaded<T> = { data?: T; error?: Error; loading: boolean; reload: () => void };

/** Asks again when `key` changes, when the host is back, and every so many milliseconds while the page is seen. */
export function useLoad<T>(key: string | null, ask: (signal: AbortSignal) => Promise<T>, every = 0): Loaded<T> {
    const [state, set] = useState<{ key: string | null; data?: T; error?: Error }>({ key: null });
    const [turn, again] = useState(0);
    const asking = useRef(ask);
    asking.current = ask;
    const reload = useCallback(() => again((n) => n + 1), []);
    useEffect(() => {
        if (key === null) return;
        const stop = new AbortController();
        let timer = 0;
        let waiting = true;
        waits(1);
        const answered = () => { if (waiting) waits(-1); waiting = false; };
        const once = async () => {
            let pause = every;
            try {
                const data = await asking.current(stop.signal);
                if (!stop.signal.aborted) set({ key, data });
            } catch (error) {
                if (stop.signal.aborted) return;
                // What this token may not do, it may not do in a moment either.
                if (error instanceof Away || (error instanceof Problem && error.status === 403)) pause = 0;
                set((old) => ({ key, data: old.key === key ? old.data : undefined, error: error as Error }));
            }
            answered();
            if (pause) timer = window.setTimeout(next, pause);
        };
        const next = () => { document.hidden ? (timer = window.setTimeout(next, 1000)) : void once(); };
        void once();
        return () => { stop.abort(); clearTimeout(timer); answered(); };
    }, [key, every, turn]);
    useEffect(() => {
        let before = getLink().state;
        return onLink(() => { const now = getLink().state; if (now === "up" && before !== "up") reload(); before = now; });
    }, [reload]);
    const current = state.key === key;
    return { data: current ? state.data : undefined, error: current ? state.error : undefined, loading: key !== null && !current, reload };
}

/** What could not be loaded, in words. */
export function Trouble({ error }: { error?: Error }) {
    if (!error || error instanceof Away) return null;
    if (error instanceof Problem) return <p class="trouble" role="alert"><b>{error.title}.</b> {error.detail}</p>;
    return <p class="trouble" role="alert">{String(error.message || error)}</p>;
}

// ---- small things

export const STATES: Record<string, string> = {
    running: "good", active: "good", ready: "good", up: "good", paused: "quiet", waiting: "quiet", retired: "quiet", note: "quiet",
    failed: "bad", failing: "bad", problem: "bad", "rolled back": "warn", warning: "warn", behind: "warn", rebuilding: "warn",
};
export const State = ({ of, title }: { of: string; title?: string }) => <span class={`state ${STATES[of] ?? "quiet"}`} title={title}>{of}</span>;
export const Json = ({ of }: { of: unknown }) => <pre class="json" tabIndex={0}>{pretty(of)}</pre>;
export const Empty = ({ children }: { children: ComponentChildren }) => <p class="empty">{children}</p>;
export function Panel({ title, aside, children, id }: { title: ComponentChildren; aside?: ComponentChildren; children: ComponentChildren; id?: string }) {
    return <section class="panel" id={id}><header><h2>{title}</h2>{aside && <div class="aside">{aside}</div>}</header>{children}</section>;
}
export function Fact({ name, children, tone }: { name: string; children: ComponentChildren; tone?: string }) {
    return <div class={`fact ${tone ?? ""}`}><dt>{name}</dt><dd>{children}</dd></div>;
}

/** A line without axes, for a cell of a table. */
export function Spark({ values, label }: { values: number[]; label: string }) {
    if (values.length < 2) return <span class="faint">–</span>;
    const most = Math.max(...values, 1);
    const x = (at: number) => (at / (values.length - 1)) * 98 + 1;
    const y = (value: number) => 19 - (value / most) * 17;
    return <svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label={`${label}: most ${num(most)}, now ${num(values[values.length - 1])}`}>
        <polyline points={values.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ")} /></svg>;
}

/** Rows, some at a time: no page has more than a few hundred of them. */
export function usePage<T>(all: T[], size = 50) {
    const [at, go] = useState(0);
    const pages = Math.max(1, Math.ceil(all.length / size));
    const page = Math.min(at, pages - 1);
    const controls = pages > 1 && <div class="pages" role="group" aria-label="Which rows">
        <button type="button" disabled={page === 0} onClick={() => go(page - 1)}>Previous</button>
        <span>{num(page * size + 1)}–{num(Math.min(all.length, (page + 1) * size))} of {num(all.length)}</span>
        <button type="button" disabled={page === pages - 1} onClick={() => go(page + 1)}>Next</button></div>;
    return { rows: all.slice(page * size, (page + 1) * size), controls };
}

/** Names to choose one of; many of them can be narrowed down. */
export function Kinds({ all, chosen, to, what }: { all: string[]; chosen: string | null; to: (one: string) => string; what: string }) {
    const [filter, setFilter] = useState("");
    return <>{all.length > 12 && <input type="search" aria-label={`Filter ${what}`} placeholder={`${num(all.length)} ${what}`} value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />}
        <ul class="kinds">{all.filter((one) => one.includes(filter)).map((one) => <li key={one}><a href={to(one)} aria-current={one === chosen ? "true" : undefined}>{one}</a></li>)}</ul></>;
}

// ---- asking back, and telling what came of it

type Said = { text: string; bad: boolean; id: number };
let said: Said[] = [];
const hearers = new Set<(all: Said[]) => void>();
const tell = () => hearers.forEach((hear) => hear(said));
export function say(text: string, bad = false) {
    const id = Date.now() + Math.random();
    said = [...said.slice(-3), { text, bad, id }];
    tell();
    if (!bad) setTimeout(() => { said = said.filter((one) => one.id !== id); tell(); }, 6000);
}
export function Sayings() {
    const [all, set] = useState(said);
    useEffect(() => { hearers.add(set); return () => void hearers.delete(set); }, []);
    return <div class="sayings" role="status" aria-live="polite">{all.map((one) => <div class={one.bad ? "bad" : ""} key={one.id}>{one.text}
        <button type="button" aria-label="Close" onClick={() => { said = said.filter((other) => other.id !== one.id); tell(); }}>×</button></div>)}</div>;
}

export type Field = { name: string; label: string; kind?: "text" | "number" | "check" | "choice"; value?: string; choices?: [string, string][]; hint?: string; required?: boolean };
type Question = { title: string; text: ComponentChildren; verb: string; danger?: boolean; fields?: Field[]; act: (values: Record<string, string>) => Promise<string | void>; done?: () => void };
let ask: ((question: Question | null) => void) | null = null;
/** Asks before something is done, does it, and says what came of it. */
export const confirm = (question: Question) => ask?.(question);

export function Asking() {
    const [question, set] = useState<Question | null>(null);
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState<Error>();
    const dialog = useRef<HTMLDialogElement>(null);
    ask = (next) => { setError(undefined); set(next); };
    useEffect(() => { if (question && !dialog.current?.open) dialog.current?.showModal(); }, [question]);
    if (!question) return null;
    // The browser gives the focus back to what was pressed; where that is gone, the page has it.
    const left = () => { set(null); setTimeout(() => { if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true }); }); };
    const close = () => { dialog.current?.close(); left(); };
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.target as HTMLFormElement);
        const values: Record<string, string> = {};
        for (const field of question.fields ?? []) values[field.name] = String(form.get(field.name) ?? "");
        setBusy(true);
        try {
            const text = await question.act(values);
            close();
            say(text || `${question.title}: done`);
            question.done?.();
        } catch (error) { setError(error as Error); }
        setBusy(false);
    };
    return <dialog ref={dialog} onClose={left} aria-labelledby="asked">
        <form onSubmit={submit}>
            <h2 id="asked">{question.title}</h2>
            <div class="why">{question.text}</div>
            {(question.fields ?? []).map((field) => <label key={field.name} class={field.kind === "check" ? "check" : ""}>
                {field.kind === "check" ? <><input type="checkbox" name={field.name} value="true" /> {field.label}</>
                    : <><span>{field.label}</span>{field.kind === "choice"
                        ? <select name={field.name}>{field.choices!.map(([value, text]) => <option value={value} key={value}>{text}</option>)}</select>
                        : <input type={field.kind ?? "text"} name={field.name} value={field.value ?? ""} required={field.required} autoComplete="off" />}</>}
                {field.hint && <small>{field.hint}</small>}</label>)}
            <Trouble error={error} />
            {error instanceof Away && <p class="trouble">The host does not answer.</p>}
            <menu><button type="button" onClick={close}>Leave it</button>
                <button type="submit" class={question.danger ? "danger" : "main"} disabled={busy}>{busy ? "…" : question.verb}</button></menu>
        </form></dialog>;
}
