// Draws the charts and the map of a page; what it draws is packed in the page itself.
"use strict";

const NONE = 65535; // the code of a node without a label
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8c8c8c"];
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "cross", "star"];
const PATHS = { // of the symbols above, in a box of 12
  "circle": "M6 1a5 5 0 1 0 .01 0z",
  "square": "M1.5 1.5h9v9h-9z",
  "triangle-up": "M6 1l5.5 9.5h-11z",
  "diamond": "M6 .5l5.5 5.5L6 11.5.5 6z",
  "cross": "M4.2 1h3.6v3.2H11v3.6H7.8V11H4.2V7.8H1V4.2h3.2z",
  "star": "M6 .5l1.6 3.6 3.9.4-2.9 2.6.8 3.9L6 9l-3.4 2 .8-3.9L.5 4.5l3.9-.4z",
};
const CONFIG = { displaylogo: false, responsive: true, displayModeBar: false };
const BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
const FOUND = 12; // nodes listed below the search

const byId = (name) => document.getElementById(name);

function bytes(text) {
  const raw = atob(text.trim());
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

async function unpacked(name) {
  const packed = new Blob([bytes(byId(name).textContent)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).text();
}

// plotly.js takes <b> and <a> for tags, and a user's text is to be shown as it is.
const literal = (text) =>
  text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function themed(layout) {
  const made = structuredClone(layout);
  const small = { size: 12, color: token("--ink") };
  Object.assign(made, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" });
  Object.assign(made, { font: small, uirevision: "kept", separators: ".\u2009" });
  made.margin ??= { l: 48, r: 12, t: 34, b: 42 };
  made.dragmode ??= matchMedia("(pointer: coarse)").matches ? false : "zoom";
  const bar = { color: token("--soft"), activecolor: token("--ink") };
  made.modebar = { ...bar, bgcolor: "rgba(0,0,0,0)" };
  made.hoverlabel = { align: "left", bgcolor: token("--panel"), bordercolor: token("--soft") };
  made.hoverlabel.font = { color: token("--ink") };
  if (made.title) Object.assign(made.title, { font: { size: 14 }, x: 0.01, xanchor: "left" });
  for (const key of Object.keys(made).filter((key) => /^[xy]axis/.test(key))) {
    const lines = { gridcolor: token("--line"), zerolinecolor: token("--line") };
    Object.assign(made[key], lines);
    if (made[key].title) Object.assign(made[key].title, { font: small, standoff: 6 });
  }
  return made;
}

async function drawCharts(charts) {
  for (const place of document.querySelectorAll("[data-chart]")) {
    const { data, layout } = charts[Number(place.dataset.chart)];
    place.textContent = "";
    await Plotly.newPlot(place, data, themed(layout), CONFIG);
    redrawn.push(() => Plotly.react(place, place.data, themed(layout)));
  }
}
const redrawn = []; // what to call when light and dark change

class NodeMap {
  constructor(nodes) {
    const numbers = (text, kind) => (text === undefined ? null : new kind(bytes(text).buffer));
    this.count = nodes.count;
    this.k = nodes.k;
    this.ids = nodes.ids;
    this.lower = nodes.ids.map((id) => id.toLowerCase());
    this.x = numbers(nodes.x, Float32Array);
    this.y = numbers(nodes.y, Float32Array);
    this.near = numbers(nodes.near, Uint16Array);
    this.cosine = numbers(nodes.cosine, Int16Array);
    this.degree = numbers(nodes.degree, Uint32Array);
    this.groups = {};
    for (const name of ["label", "cluster"]) {
      if (!nodes[name]) continue;
      this.groups[name] = { ...nodes[name], codes: numbers(nodes[name].codes, Uint16Array) };
    }
    this.only = null; // the group that is not dimmed
    this.chosen = null;
    this.size = Math.min(9, Math.max(3, 340 / Math.sqrt(this.count)));
  }

  async draw() {
    const canvas = document.createElement("canvas");
    const kind = canvas.getContext("webgl") ? "scattergl" : "scatter";
    const about = [...this.ids.keys()].map((i) => this.about(i).map(literal).join("<br>"));
    const points = { type: kind, mode: "markers", x: this.x, y: this.y, text: about };
    points.hovertemplate = "%{text}<extra></extra>";
    const lines = { type: "scatter", mode: "lines", x: [], y: [], hoverinfo: "skip" };
    const near = { type: "scatter", mode: "markers", x: [], y: [], hoverinfo: "skip" };
    const self = structuredClone(near);
    this.overlays(lines, near, self);
    const bare = { visible: false };
    const layout = { margin: { l: 4, r: 4, t: 4, b: 4 }, showlegend: false, dragmode: "pan" };
    Object.assign(layout, { hovermode: "closest", xaxis: bare });
    layout.yaxis = { ...bare, scaleanchor: "x" };
    this.layout = layout;
    this.plot = byId("map");
    this.plot.textContent = "";
    const config = { ...CONFIG, scrollZoom: true, displayModeBar: true };
    config.modeBarButtons = [BUTTONS]; // plotly.js has others that ask a server
    points.marker = this.markers();
    await Plotly.newPlot(this.plot, [points, lines, near, self], themed(layout), config);
    this.plot.on("plotly_click", (event) => {
      const point = event.points.find((point) => point.curveNumber === 0);
      if (point) this.select(point.pointIndex);
    });
    this.key();
    redrawn.push(() => {
      const [points, ...others] = this.plot.data;
      this.overlays(...others);
      Plotly.react(this.plot, [points, ...others], themed(layout));
    });
  }

  overlays(lines, near, self) {
    lines.line = { color: token("--soft"), width: 1 };
    const ring = { color: token("--ring"), width: 2 };
    near.marker = { symbol: "circle-open", size: this.size + 6, line: ring };
    near.marker.color = token("--ring");
    self.marker = { symbol: "x", size: this.size + 6, color: token("--ring") };
    self.marker.line = { color: token("--paper"), width: 1 };
  }

  // Lines of text: the id, then what else is known.
  about(i) {
    const lines = [this.ids[i]];
    for (const [name, { codes, names }] of Object.entries(this.groups)) {
      if (codes[i] === NONE) lines.push(`no ${name}`);
      else lines.push(name === "cluster" ? names[codes[i]] : `${name} ${names[codes[i]]}`);
    }
    if (this.degree) lines.push(`degree ${this.degree[i]}`);
    return lines;
  }

  look(code) {
    if (code === NONE) return { color: "rgba(140,140,140,0.45)", symbol: "circle" };
    const turn = Math.floor(code / PALETTE.length) % SYMBOLS.length;
    return { color: PALETTE[code % PALETTE.length], symbol: SYMBOLS[turn] };
  }

  markers() {
    const made = { size: this.size, line: { width: 0 }, opacity: 0.85 };
    const group = this.groups[byId("colour").value];
    if (!group) {
      made.color = Array.from(this.degree, (degree) => Math.log10(1 + degree));
      const top = Math.ceil(made.color.reduce((a, b) => Math.max(a, b), 0));
      const ticks = [0, 1, 2, 5, 10, 20, 50, 100, 1e3, 1e4, 1e5, 1e6].filter(
        (degree) => Math.log10(1 + degree) <= top,
      );
      const bar = { thickness: 12, len: 0.6, x: 1, xanchor: "right", title: { text: "degree" } };
      bar.tickvals = ticks.map((degree) => Math.log10(1 + degree));
      bar.ticktext = ticks.map(String);
      return Object.assign(made, { colorscale: "Cividis", showscale: true, colorbar: bar });
    }
    if (group.names.length > PALETTE.length) made.size = Math.max(this.size, 5); // tells shapes
    const looks = group.names.map((_, code) => this.look(code));
    const codes = Array.from(group.codes);
    made.color = codes.map((code) => (looks[code] ?? this.look(NONE)).color);
    made.symbol = codes.map((code) => (looks[code] ?? this.look(NONE)).symbol);
    if (this.only !== null) made.opacity = codes.map((code) => (code === this.only ? 0.95 : 0.06));
    return made;
  }

  recolour() {
    Plotly.restyle(this.plot, { marker: [this.markers()] }, [0]);
    this.key();
  }

  key() {
    const place = byId("key");
    place.replaceChildren();
    const group = this.groups[byId("colour").value];
    if (!group) return;
    const counts = new Map();
    for (const code of group.codes) counts.set(code, (counts.get(code) ?? 0) + 1);
    for (const code of [...group.names.keys(), NONE].filter((code) => counts.has(code))) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(swatch(this.look(code)), named(group, code), ` (${counts.get(code)})`);
      button.setAttribute("aria-pressed", String(this.only === code));
      button.addEventListener("click", () => {
        this.only = this.only === code ? null : code;
        this.recolour();
      });
      place.append(button);
    }
  }

  neighbours(i) {
    const from = i * this.k;
    return Array.from(this.near.subarray(from, from + this.k), (node, at) => {
      return { node, cosine: this.cosine[from + at] / 10000 };
    });
  }

  select(i) {
    this.chosen = i;
    const near = this.neighbours(i);
    const x = near.map(({ node }) => this.x[node]);
    const y = near.map(({ node }) => this.y[node]);
    const spokes = (ends, own) => ends.flatMap((end) => [this.spot(own, i), end, null]);
    const places = { x: [spokes(x, "x"), x, [this.x[i]]], y: [spokes(y, "y"), y, [this.y[i]]] };
    Plotly.restyle(this.plot, places, [1, 2, 3]);
    this.describe(i, near);
  }

  spot(axis, i) {
    return this[axis][i];
  }

  describe(i, near) {
    const [id, ...facts] = this.about(i);
    const head = document.createElement("h3");
    head.append("Node ", id);
    head.dataset.node = id;
    const line = document.createElement("p");
    line.append(facts.join(", "));
    const above = document.createElement("p");
    above.append(`Its ${near.length} nearest by cosine of the embedding:`);
    const list = document.createElement("ol");
    for (const { node, cosine } of near) {
      const item = document.createElement("li");
      const more = document.createElement("span");
      more.className = "soft";
      const label = this.groups.label ? `, ${this.about(node)[1]}` : "";
      more.append(` ${cosine.toFixed(3)}${label}`);
      item.append(this.button(node), more);
      list.append(item);
    }
    byId("side").replaceChildren(head, line, above, list);
  }

  button(node) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(this.ids[node]);
    button.dataset.near = this.ids[node];
    button.addEventListener("click", () => this.show(node));
    return button;
  }

  // Selects, and brings what lies outside the view back into it.
  show(i) {
    const { xaxis, yaxis } = this.plot._fullLayout;
    const within = (range, at) => Math.min(...range) <= at && at <= Math.max(...range);
    if (!within(xaxis.range, this.x[i]) || !within(yaxis.range, this.y[i])) {
      Plotly.relayout(this.plot, { "xaxis.autorange": true, "yaxis.autorange": true });
    }
    this.select(i);
  }

  // An id that is the text, then those that begin with it, then those that hold it.
  search(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    const ranks = [[], [], []];
    this.lower.forEach((id, i) => {
      const at = id.indexOf(wanted);
      if (at >= 0) ranks[id === wanted ? 0 : at === 0 ? 1 : 2].push(i);
    });
    return ranks.flat();
  }

  listen() {
    const find = byId("find");
    const found = byId("found");
    find.addEventListener("input", () => {
      const nodes = this.search(find.value);
      found.replaceChildren(...nodes.slice(0, FOUND).map((node) => this.button(node)));
      if (nodes.length > FOUND) found.append(` and ${nodes.length - FOUND} more`);
      if (!nodes.length && find.value.trim()) found.append("no such node on the map");
    });
    find.addEventListener("keydown", (event) => {
      const [first] = this.search(find.value);
      if (event.key === "Enter" && first !== undefined) this.show(first);
    });
    byId("colour").addEventListener("change", () => {
      this.only = null;
      this.recolour();
    });
  }
}

function named(group, code) {
  return code === NONE ? "none" : group.names[code];
}

function swatch({ color, symbol }) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("width", "12");
  svg.setAttribute("height", "12");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[symbol]);
  path.setAttribute("fill", color);
  svg.append(path);
  return svg;
}

async function main() {
  if (!("DecompressionStream" in window)) {
    throw new Error("this browser is too old to unpack the charts; the tables are complete");
  }
  const script = document.createElement("script");
  script.textContent = await unpacked("plotly");
  document.head.append(script);
  const { charts, nodes } = JSON.parse(await unpacked("payload"));
  await drawCharts(charts);
  if (nodes) {
    const map = new NodeMap(nodes);
    map.listen();
    await map.draw();
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => redrawn.forEach((again) => again()));
  document.body.dataset.ready = "yes";
}

main().catch((error) => {
  const trouble = byId("trouble");
  trouble.hidden = false;
  trouble.textContent = `Not drawn: ${error.message ?? error}`;
  console.error(error);
});
