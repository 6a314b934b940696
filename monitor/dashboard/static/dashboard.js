// What the pages do beyond htmx: the theme switch, the light that says whether
// a page is live, the plot, and not taking away what somebody is reading.
"use strict";

const root = document.documentElement;

// The theme: the system's, or one of two.
const themes = ["auto", "light", "dark"];
const button = document.getElementById("theme");
const chosen = () => root.dataset.theme || "auto";
const nameTheme = () => { button.querySelector(".word").textContent = "Theme: " + chosen(); };
button.hidden = false;
nameTheme();
button.addEventListener("click", () => {
  const next = themes[(themes.indexOf(chosen()) + 1) % themes.length];
  if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
  try { localStorage.setItem("testbed-theme", next); } catch { /* it lasts as long as the page */ }
  nameTheme();
  plot.draw(true);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.draw(true));

// The light.
const light = document.getElementById("live");
const shine = (state, word) => {
  if (!light) return;
  light.dataset.state = state;
  light.querySelector(".word").textContent = word;
};
document.body.addEventListener("htmx:sseOpen", () => shine("on", "live"));
document.body.addEventListener("htmx:sseError", () => shine("off", "reconnecting"));

// What is open, or is being read, stays: the next change after it is closed
// brings the list up to date.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  const target = event.detail.target;
  const reading = target.matches(".hold") && target.querySelector("details[open]");
  if (reading) event.detail.shouldSwap = false;
  if (light && target.matches(".hold")) shine(reading ? "held" : "on", reading ? "held while open" : "live");
});

// A region that scrolls sideways stays where it was.
const scrolled = new Map();
document.body.addEventListener("htmx:beforeSwap", () => {
  for (const region of document.querySelectorAll(".scroll")) scrolled.set(region.getAttribute("aria-label"), region.scrollLeft);
});
document.body.addEventListener("htmx:afterSwap", () => {
  for (const region of document.querySelectorAll(".scroll")) region.scrollLeft = scrolled.get(region.getAttribute("aria-label")) || 0;
  plot.draw(false);
});

// The plot keeps its canvas and takes new data, which come with the page.
const plot = {
  chart: null,
  draw(anew) {
    const box = document.getElementById("plot");
    const source = document.getElementById("plotdata");
    if (!box || !source || typeof uPlot === "undefined") return;
    const data = JSON.parse(source.dataset.plot);
    if (this.chart && !anew) { this.chart.setData(data); return; }
    if (this.chart) this.chart.destroy();
    const css = getComputedStyle(root);
    const ink = css.getPropertyValue("--ink-dim").trim();
    const probe = (name) => {
      const span = document.createElement("span");
      span.className = "probe " + name;
      box.append(span);
      const colour = getComputedStyle(span).color;
      span.remove();
      return colour;
    };
    const axis = { stroke: probe("dim") || ink, grid: { stroke: probe("rule"), width: 1 }, ticks: { show: false }, font: "12px " + css.fontFamily };
    const paths = uPlot.paths.stepped({ align: 1 });
    this.chart = new uPlot({
      width: box.clientWidth, height: 190, padding: [10, 18, 0, 0],
      cursor: { y: false }, scales: { x: { time: false }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.15)] } },
      legend: { live: false },
      series: [
        { label: "seconds" },
        { label: "generated", stroke: probe("accent"), width: 2, fill: probe("wash"), paths, points: { show: false } },
        { label: "ready", stroke: probe("good"), width: 2, dash: [5, 4], paths, points: { show: false } },
      ],
      axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600], values: (_, ticks) => ticks.map((t) => t + " s") }, { ...axis, size: 44 }],
    }, data, box);
  },
};
plot.draw(true);
let resize;
addEventListener("resize", () => { clearTimeout(resize); resize = setTimeout(() => plot.draw(true), 100); });
