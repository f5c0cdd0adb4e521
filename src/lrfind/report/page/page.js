"use strict";
(() => {
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

  for (const button of table?.tHead.querySelectorAll("button") ?? []) {
    button.addEventListener("click", () => sortBy(button.parentNode, button.dataset.kind));
  }

  // ---- The legend: a click or a key on an arm hides it in every chart, or shows it again. ----

  const hidden = new Set();
  for (const button of document.querySelectorAll("[data-toggle]")) {
    button.addEventListener("click", () => {
      const arm = button.dataset.toggle, isHidden = !hidden.delete(arm);
      if (isHidden) hidden.add(arm);
      button.setAttribute("aria-pressed", String(!isHidden));
      for (const drawn of document.querySelectorAll("[data-arm]")) {
        if (drawn.dataset.arm === arm) drawn.toggleAttribute("hidden", isHidden);
      }
    });
  }

  // ---- The numbers at the place that is pointed at. ----

  const NEAR = 0.04;  // of a chart's width
  const charts = JSON.parse(document.getElementById("hover").textContent);
  const short = (value, digits = 4) => String(Number(value.toPrecision(digits)));

  function element(tag, name, text) {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text ?? "";
    return made;
  }

  /* What each visible series has nearest to a place, as [distance, x, place, name, colour, y]; far ones are left out. */
  function nearest(chart, place) {
    const { low, high, log } = chart.x, scale = log ? Math.log : Number;
    const share = (x) => (scale(x) - scale(low)) / (scale(high) - scale(low));
    const found = [];
    for (const [arm, colour, name, xs, ys] of chart.series) {
      if (hidden.has(arm)) continue;
      const points = xs.map((x, at) => [Math.abs(share(x) - place), x, share(x), name, colour, ys[at]]);
      const best = points.filter((point) => point[5] !== null).reduce((a, b) => (b[0] < a[0] ? b : a), [Infinity]);
      if (best[0] < NEAR) found.push(best);
    }
    return found;
  }

  for (const area of document.querySelectorAll("[data-hover]")) {
    const chart = charts[area.dataset.hover];
    const guide = element("i", "guide"), tip = element("div", "tip");
    guide.hidden = tip.hidden = true;
    area.append(guide, tip);
    const leave = () => { guide.hidden = tip.hidden = true; };
    const point = (event) => {
      const box = area.getBoundingClientRect(), found = nearest(chart, (event.clientX - box.left) / box.width);
      if (!found.length) return leave();
      const [, x, place] = found.reduce((a, b) => (b[0] < a[0] ? b : a));
      const { label } = chart.x;
      tip.replaceChildren(element("b", "", `${label}: ${label === "learning rate" ? short(x, 3) : x.toLocaleString("en")}`));
      for (const [, , , name, colour, y] of found) {
        const line = element("span", "", ""), swatch = element("i", "swatch");
        swatch.style.setProperty("--arm", `var(--arm-${colour})`);
        line.append(swatch, element("span", "", name), element("b", "", short(y)));
        tip.append(line);
      }
      guide.style.left = `${100 * place}%`;
      tip.style[place > 0.5 ? "right" : "left"] = `calc(${100 * (place > 0.5 ? 1 - place : place)}% + .6rem)`;
      tip.style[place > 0.5 ? "left" : "right"] = "auto";
      guide.hidden = tip.hidden = false;
    };
    area.addEventListener("pointermove", point);
    area.addEventListener("pointerdown", point);
    area.addEventListener("pointerleave", leave);
  }
})();
