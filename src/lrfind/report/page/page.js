"use strict";
(() => {
  const root = document.documentElement;

  // ---- The table of arms: a click or a key on a heading sorts by it. ----

  const table = document.getElementById("arms");
  const compare = {
    text: (a, b) => a.localeCompare(b, undefined, { numeric: true }),
    number: (a, b) => Number(a) - Number(b),
  };

  function sortBy(heading, kind) {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    const column = [...heading.parentNode.children].indexOf(heading);
    const key = (row) => row.children[column].dataset.sort;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      if (!key(a) || !key(b)) return !key(a) - !key(b);  // what has no value comes last, either way
      return (descending ? -1 : 1) * compare[kind](key(a), key(b));
    });
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    table.tBodies[0].append(...rows);
    document.getElementById("sorted").textContent =
      `Sorted by ${heading.firstElementChild.ariaLabel}, ${descending ? "descending" : "ascending"}.`;
  }

  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sortBy(button.parentNode, button.dataset.kind));
  }

  // ---- The charts: everything is drawn anew whenever the arms shown, the colours or the width change. ----

  const source = document.getElementById("chart-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const arms = new Map(data.arms.map((arm) => [arm.name, arm]));
  const hidden = new Set();
  const narrow = matchMedia("(max-width: 40rem)");
  const coarse = matchMedia("(pointer: coarse)");
  const PRINTED = 660;  // pixels: what an A4 or Letter page holds between its margins

  const token = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const armColour = (name) => token(`--arm-${arms.get(name).colour}`);
  const fade = (hex, alpha) => hex + Math.round(255 * alpha).toString(16).padStart(2, "0");
  const shown = (item) => !hidden.has(item.arm);
  const short = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name);
  // Plotly reads a little HTML in its labels; a name is only ever text.
  const text = (name) => short(name).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function axis(title, values, isLog, top = null, floor = null) {
    const grid = { gridcolor: token("--grid"), linecolor: token("--line"), zeroline: false, automargin: true };
    const made = { ...grid, title: { text: text(title), standoff: 10, font: { size: 13 } }, type: isLog ? "log" : "linear" };
    made.autorangeoptions = { ...(top !== null && { clipmax: top }), ...(floor !== null && { clipmin: floor }) };
    const known = values.filter((value) => value > 0);
    if (!isLog || !known.length) return made;
    const least = Math.max(Math.min(...known), floor ?? 0), greatest = Math.min(Math.max(...known), top ?? Infinity);
    made.title.text += " (log)";
    if (greatest / least > 300) {
      return { ...made, dtick: greatest / least > 1e6 && narrow.matches ? 2 : 1, exponentformat: "power", tickfont: { size: 11 } };
    }
    const parts = greatest / least < 6 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : [1, 2, 3, 5];
    const ticks = [];
    for (let power = Math.floor(Math.log10(least)); power <= Math.log10(greatest); power++) {
      ticks.push(...parts.map((part) => Number((part * 10 ** power).toPrecision(2))));
    }
    return { ...made, tickvals: ticks, ticktext: ticks.map(String) };
  }

  function layout(more) {
    const ink = token("--soft");
    return {
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow.matches ? 12 : 13, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 8, r: 12, t: 10, b: 8 },
      showlegend: false,
      dragmode: coarse.matches ? false : "zoom",
      hoverlabel: {
        bgcolor: token("--card"), bordercolor: token("--line"), font: { color: token("--ink") }, namelength: -1,
      },
      ...(root.classList.contains("printing") ? { width: PRINTED, autosize: false } : { autosize: true }),
      ...more,
    };
  }

  /* The outline of a band, forth along its top and back along its bottom, broken where a value is missing. */
  function outline(series) {
    const x = [], y = [];
    let start = 0;
    for (let end = 0; end <= series.x.length; end++) {
      if (end < series.x.length && series.low[end] !== null) continue;
      const steps = series.x.slice(start, end);
      if (steps.length) {
        x.push(...steps, ...steps.toReversed(), null);
        y.push(...series.high.slice(start, end), ...series.low.slice(start, end).toReversed(), null);
      }
      start = end + 1;
    }
    return { x, y };
  }

  const drawers = {
    lines(chart) {
      // The best arm is drawn last, over the others; dashed lines lie under all that are solid.
      const rank = (series) => (series.dashed ? 0 : 1) + (arms.get(series.arm).best ? 0.5 : 0);
      const visible = chart.series.filter(shown).sort((a, b) => rank(a) - rank(b));
      const bands = visible.filter((series) => series.low).map((series) => ({
        ...outline(series), fill: "toself", fillcolor: fade(armColour(series.arm), 0.18), line: { width: 0 },
        mode: "lines", hoverinfo: "skip",
      }));
      const lines = visible.map((series) => ({
        x: series.x, y: series.y, name: text(series.dashed ? `${series.arm}, ${series.metric}` : series.arm),
        mode: series.dots || series.x.length === 1 ? "markers" : "lines", connectgaps: false,
        line: {
          color: armColour(series.arm), dash: series.dashed ? "dot" : "solid",
          width: series.dashed ? 1.25 : arms.get(series.arm).best ? 3.5 : 2,
        },
        marker: { color: armColour(series.arm), size: series.dots ? 5 : 8 },
        hovertemplate: "%{y:.4~g}", ...(series.dashed ? { hoverinfo: "skip", hovertemplate: undefined } : {}),
      }));
      const values = visible.flatMap((series) => series.y);
      const last = Math.max(...chart.series.flatMap((series) => series.x));
      const isUnified = !narrow.matches && !visible.some((series) => series.dots);
      return [[...bands, ...lines], layout({
        hovermode: isUnified ? "x unified" : "closest",
        xaxis: { ...axis("optimizer steps", [], false), hoverformat: ",d", range: [0, 1.01 * last] },
        yaxis: axis(chart.y, values, chart.log, chart.top, chart.floor),
      })];
    },

    finals(chart) {
      const marks = chart.marks.filter(shown);
      const traces = [], notes = [];
      marks.forEach((mark, place) => {
        const colour = armColour(mark.arm), name = text(mark.arm);
        const label = { x: 0, xref: "paper", xanchor: "left", y: place, yshift: 17, showarrow: false };
        notes.push({ ...label, text: arms.get(mark.arm).best ? `<b>${name}</b>` : name, font: { color: token("--ink") } });
        const lost = mark.seeds.filter((value) => value === null).length;
        const beyond = chart.top !== null && mark.mean > chart.top ? `${mark.mean.toPrecision(3)}, beyond the chart` : "";
        const said = lost ? `not finite in ${lost} of ${mark.seeds.length}` : beyond;
        if (said) notes.push({ ...label, x: 1, xanchor: "right", text: said });
        if (mark.mean === null || beyond) return;
        traces.push({
          x: mark.seeds, y: mark.seeds.map(() => place + 0.24), name, mode: "markers", hovertemplate: "a seed: %{x:.4~g}",
          marker: { color: fade(colour, 0.7), size: 5 }, visible: mark.seeds.length > 1,
        }, {
          x: [mark.mean], y: [place], name, mode: "markers", hovertemplate: "mean: %{x:.4~g}",
          marker: { color: colour, size: 13, line: { color: token("--card"), width: 2 } },
          error_x: {
            type: "data", symmetric: false, array: [mark.high - mark.mean], arrayminus: [mark.mean - mark.low],
            color: colour, thickness: 2.5, width: 5, visible: mark.high > mark.low,
          },
        });
      });
      const values = marks.flatMap((mark) => [mark.low, mark.high, ...mark.seeds]);
      return [traces, layout({
        height: 70 + 46 * marks.length,
        hovermode: "closest",
        annotations: notes,
        xaxis: axis(chart.x, values, chart.log, chart.top),
        yaxis: { range: [marks.length - 0.55, -0.75], visible: false, fixedrange: true },
      })];
    },

    finding(chart) {
      const colour = (place) => (place ? token(`--arm-${1 + (place % 11)}`) : token("--ink"));
      const points = chart.curves.map((curve, place) => ({
        x: curve.x, y: curve.y, mode: "markers", hovertemplate: "rate %{x:.3~g}<br>loss %{y:.4~g}<extra></extra>",
        marker: { size: place ? 4 : 5, color: place ? colour(place) : token("--points"), opacity: place ? 0.55 : 1 },
      }));
      const trends = chart.curves.map((curve, place) => ({
        x: curve.x, y: curve.smooth, mode: "lines", line: { color: colour(place), width: place ? 1.25 : 2.5 },
        hoverinfo: "skip",
      })).reverse();
      const upright = { yref: "paper", y0: 0, y1: 1 };
      const [low, high] = chart.range;
      const rates = chart.curves.flatMap((curve) => curve.x);
      const accent = { color: token("--accent"), width: 2.5 };
      const ends = { mode: "lines+markers", yaxis: "y2", line: { ...accent, width: 1.5 }, hoverinfo: "skip" };
      const interval = {
        ...ends, x: chart.interval, y: [0.9, 0.9], marker: { symbol: "line-ns-open", size: 9, color: accent.color },
      };
      return [[...points, ...trends, interval], layout({
        yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
        hovermode: "closest",
        xaxis: axis("learning rate", rates, true),
        yaxis: { ...axis("training loss", [], false), range: chart.ends },
        shapes: [
          { ...upright, type: "rect", layer: "below", x0: low, x1: high, fillcolor: fade(token("--arm-1"), 0.14), line: { width: 0 } },
          { ...upright, type: "line", x0: chart.lr, x1: chart.lr, line: accent },
        ],
        annotations: [{
          x: Math.log10(chart.lr), y: 1, yref: "paper", xanchor: "right", yanchor: "top", showarrow: false,
          text: `found ${Number(chart.lr.toPrecision(3))}`, font: { color: accent.color },
        }],
      })];
    },
  };

  const config = { displayModeBar: false, displaylogo: false, responsive: true, scrollZoom: false };

  function draw() {
    for (const plot of document.querySelectorAll(".plot")) {
      const chart = data.charts[plot.dataset.chart];
      plot.dataset.kind = chart.kind;
      Plotly.react(plot, ...drawers[chart.kind](chart), config);
    }
  }

  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const isShown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isShown));
      hidden[isShown ? "delete" : "add"](button.dataset.arm);
      draw();
    });
  }
  for (const query of [narrow, coarse, matchMedia("(prefers-color-scheme: dark)")]) {
    query.addEventListener("change", draw);
  }
  addEventListener("beforeprint", () => { root.classList.add("printing"); draw(); });
  addEventListener("afterprint", () => { root.classList.remove("printing"); draw(); });
  draw();
})();
