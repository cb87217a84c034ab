// A chart of the last hour.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { num } from "./parts";
import "uplot/dist/uPlot.min.css";

export type Series = { label: string; values: number[]; tone: 1 | 2 | 3 };
const HEIGHT = 110;
// There is no half an event.
const WHOLE = [1, 2, 5].flatMap((n) => Array.from({ length: 13 }, (_, power) => n * 10 ** power)).sort((a, b) => a - b);
const themed = new Set<() => void>();
export const themeChanged = () => themed.forEach((draw) => draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);

export function Chart({ title, at, series, show }: { title: string; at: number[]; series: Series[]; show: (value: number) => string }) {
    const box = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot>();
    const drawn = useRef(series);
    drawn.current = series;
    const [theme, setTheme] = useState(0);
    useEffect(() => { const draw = () => setTheme((n) => n + 1); themed.add(draw); return () => void themed.delete(draw); }, []);
    const names = series.map((one) => one.label).join();
    useEffect(() => {
        const own = getComputedStyle(document.documentElement);
        const color = (name: string) => own.getPropertyValue(name).trim();
        const grid = { stroke: color("--line"), width: 1 };
        const axis = { stroke: color("--faint"), grid, ticks: { ...grid, size: 3 }, font: "11px system-ui" };
        const two = (n: number) => String(n).padStart(2, "0");
        const made = new uPlot({
            width: box.current!.clientWidth || 300, height: HEIGHT, legend: { show: false },
            cursor: { y: false, points: { size: 5 } }, padding: [6, 6, 0, 0],
            scales: { y: { range: () => [0, Math.max(1, ...drawn.current.map((one) => one.values.reduce((a, b) => Math.max(a, b), 0))) * 1.08] } },
            axes: [{ ...axis, size: 22, space: 74, values: (_u, all, _axis, _space, step) => all.map((s) => { const d = new Date(s * 1000); return `${two(d.getHours())}:${two(d.getMinutes())}${step < 60 ? `:${two(d.getSeconds())}` : ""}`; }) },
                { ...axis, size: 54, space: 28, ...(show === num ? { incrs: WHOLE } : {}), values: (_u, all) => all.map((value) => show(value)) }],
            series: [{}, ...series.map((one) => ({ label: one.label, stroke: color(`--line${one.tone}`), width: 1.5, points: { show: false } }))],
        }, [at, ...series.map((one) => one.values)], box.current!);
        plot.current = made;
        const size = new ResizeObserver(() => made.setSize({ width: box.current!.clientWidth, height: HEIGHT }));
        size.observe(box.current!);
        return () => { size.disconnect(); made.destroy(); };
    }, [names, theme]);
    useEffect(() => { plot.current?.setData([at, ...series.map((one) => one.values)]); }, [at]);
    const last = (values: number[]) => values.length ? show(values[values.length - 1]) : "–";
    return <figure class="chart"><figcaption>{title}{series.map((one) => <span class={`key line${one.tone}`} key={one.label}>{one.label} <b>{last(one.values)}</b></span>)}</figcaption>
        <div ref={box} class="plot" role="img" aria-label={`${title}, the last hour: ${series.map((one) => `${one.label} ${last(one.values)} now, ${one.values.length ? show(Math.max(...one.values)) : "–"} at most`).join("; ")}`} /></figure>;
}
